/** How many images each class has, and what follows from it. */
import { type Dataset, labelsOf } from "./dataset.ts";

/** Images of each class. */
export function countsOf({ classes, examples }: Dataset): readonly number[] {
  const counts = new Array<number>(classes.length).fill(0);
  for (const example of examples) for (const label of labelsOf(example)) counts[label]! += 1;
  return counts;
}

/** Images of the largest class for one of the smallest. */
export function imbalanceOf(dataset: Dataset): number {
  const counts = countsOf(dataset);
  return Math.max(...counts) / Math.max(1, Math.min(...counts));
}

/** Weights by which each class counts as much as any other; 1 on average over the images. */
export function balancedWeights(dataset: Dataset): readonly number[] {
  const counts = countsOf(dataset);
  const images = counts.reduce((a, b) => a + b, 0);
  return counts.map((count) => (count === 0 ? 0 : images / (counts.length * count)));
}
