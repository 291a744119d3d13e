/** A look at the validation set: loss, accuracy, and the answer to each image. */

import { averagePrecisions, decisionAccuracies, meanAveragePrecision } from "../multilabel.ts";
import type { BatchSource } from "./sources.ts";
import type { Trainer } from "./trainer.ts";

/** The answer to one validation image. */
export interface Validated {
  readonly index: number;
  /** Its class, or the classes that it shows. */
  readonly label: number | readonly number[];
  /** Best classes, best first, with their probabilities. */
  readonly best: readonly (readonly [index: number, probability: number])[];
}

/** How one class fares. */
export interface ClassAccuracy {
  /** Images that show it. */
  readonly images: number;
  /**
   * Of these the share that was taken for it; of several labels an image, the share of all images of which it was decided
   * rightly. 0 where there are none.
   */
  readonly accuracy: number;
  /** Of several labels, where any image shows the class. */
  readonly averagePrecision?: number;
}

export interface Validation {
  readonly loss: number;
  /** Top-1; of several labels an image, the share of right decisions over images and classes. */
  readonly top1: number;
  /** Mean average precision, of several labels. */
  readonly map?: number;
  readonly classes: readonly ClassAccuracy[];
  readonly answers: readonly Validated[];
}

const BEST = 5;

/** Validates over a whole source. */
export async function validate(
  trainer: Trainer,
  source: BatchSource,
  batch: number,
  averaged: boolean,
  signal?: AbortSignal,
): Promise<Validation> {
  const groups = groupsOf(
    Array.from({ length: source.count }, (_, i) => i),
    batch,
  );
  let [loss, correct, classes, isMulti] = [0, 0, 0, false];
  const answers: Validated[] = [];
  const scores: number[] = [];
  const targets: number[] = [];
  let coming = groups.length === 0 ? undefined : source.batch(groups[0]!, 0);
  for (let i = 0; i < groups.length; ++i) {
    const { images, labels, indices } = await coming!;
    coming = i + 1 < groups.length ? source.batch(groups[i + 1]!, 0) : undefined;
    coming?.catch(() => {});
    signal?.throwIfAborted();
    const count = indices.length;
    if (count === 0) continue;
    const result = await trainer.evaluate(images, labels, { averaged });
    loss += result.loss * count;
    correct += result.correct;
    classes = result.logits.length / count;
    isMulti = labels instanceof Uint8Array;
    if (isMulti) {
      scores.push(...result.logits);
      targets.push(...labels);
    }
    indices.forEach((index, j) => {
      const logits = result.logits.subarray(j * classes, (j + 1) * classes);
      const row = labels.subarray(j * classes, (j + 1) * classes);
      const label = isMulti ? [...row.keys()].filter((at) => row[at] === 1) : labels[j]!;
      answers.push({ index, label, best: bestOf(logits, isMulti) });
    });
  }
  const count = Math.max(1, answers.length);
  const shared = { loss: loss / count, top1: correct / count, answers };
  if (!isMulti) return { ...shared, classes: topAccuracies(answers, classes) };
  const scored = { classes, scores, targets };
  const accuracies = decisionAccuracies(scored, 0);
  const precisions = averagePrecisions(scored);
  return {
    ...shared,
    map: meanAveragePrecision(precisions),
    classes: accuracies.map((accuracy, c) => {
      const images = answers.filter(({ label }) => (label as readonly number[]).includes(c)).length;
      return { images, accuracy, ...(precisions[c] !== undefined && { averagePrecision: precisions[c] }) };
    }),
  };
}

/** For each class, the share of its images whose best class it was. */
function topAccuracies(answers: readonly Validated[], classes: number): readonly ClassAccuracy[] {
  const counts = Array.from({ length: classes }, () => ({ images: 0, right: 0 }));
  for (const { label, best } of answers) {
    const mine = counts[label as number]!;
    mine.images += 1;
    mine.right += Number(best[0]![0] === label);
  }
  return counts.map(({ images, right }) => ({ images, accuracy: right / Math.max(1, images) }));
}

function bestOf(logits: Float32Array, isMulti: boolean): Validated["best"] {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, x) => total + Math.exp(x - largest), 0);
  const probability = (x: number): number => (isMulti ? 1 / (1 + Math.exp(-x)) : Math.exp(x - largest) / sum);
  return [...logits.keys()]
    .sort((a, b) => logits[b]! - logits[a]! || a - b)
    .slice(0, BEST)
    .map((index) => [index, Number(probability(logits[index]!).toPrecision(6))] as const);
}

/** Examples in groups of one size; the last has the rest. */
export function groupsOf(indices: readonly number[], size: number): readonly (readonly number[])[] {
  return Array.from({ length: Math.ceil(indices.length / size) }, (_, i) => indices.slice(i * size, (i + 1) * size));
}
