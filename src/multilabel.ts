/** Metrics of answers to images that may have several labels each, or none. */

/** What one image shows, and a score for every class. */
export interface Scores {
  readonly labels: readonly number[];
  /** 0…1, by class. */
  readonly scores: readonly number[];
}

/** The answer to a named image. */
export interface Scored extends Scores {
  readonly name: string;
}

/** How well one class was found. */
export interface ClassMetrics {
  readonly label: number;
  /** Images that have it. */
  readonly positives: number;
  /** Area under the precision-recall curve; absent for a class that no image has. */
  readonly averagePrecision: number | undefined;
  /** Share of images for which "at least the threshold" was right. */
  readonly accuracy: number;
}

/**
 * Average precision: the sum over the ranking of precision times the gain in recall, images of equal score taken together
 * (as scikit-learn's `average_precision_score`).
 */
export function averagePrecision(scores: readonly number[], isPositive: readonly boolean[]): number | undefined {
  const positives = isPositive.filter(Boolean).length;
  if (positives === 0) return undefined;
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  let [sum, right, before] = [0, 0, 0];
  for (const [at, index] of order.entries()) {
    if (isPositive[index]) right += 1;
    // The next image has the same score: their order means nothing.
    if (at + 1 < order.length && scores[order[at + 1]!] === scores[index]) continue;
    sum += ((right - before) / positives) * (right / (at + 1));
    before = right;
  }
  return sum;
}

/** Metrics of every class. */
export function classMetrics(answers: readonly Scores[], classes: number, threshold: number): readonly ClassMetrics[] {
  return Array.from({ length: classes }, (_, label) => {
    const scores = answers.map((answer) => answer.scores[label]!);
    const isPositive = answers.map(({ labels }) => labels.includes(label));
    const right = scores.filter((score, i) => score >= threshold === isPositive[i]).length;
    return {
      label,
      positives: isPositive.filter(Boolean).length,
      averagePrecision: averagePrecision(scores, isPositive),
      accuracy: right / answers.length,
    };
  });
}

/** Mean over the classes that some image has; 0 where there are none. */
export function meanAveragePrecision(metrics: readonly ClassMetrics[]): number {
  const known = metrics.flatMap(({ averagePrecision }) => averagePrecision ?? []);
  return known.reduce((sum, value) => sum + value, 0) / Math.max(1, known.length);
}

/** Share of images whose labels were all found, and no other. */
export function exactMatches(answers: readonly Scores[], threshold: number): number {
  const isExact = ({ labels, scores }: Scores): boolean =>
    scores.every((score, label) => score >= threshold === labels.includes(label));
  return answers.filter(isExact).length / answers.length;
}
