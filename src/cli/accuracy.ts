/** What follows from the answers to a labelled set: accuracies, their uncertainty, calibration, confusions. */

/** The answer to one image. */
export interface Answered {
  readonly name: string;
  readonly label: number;
  /** Best classes, best first, with their probabilities. */
  readonly best: readonly (readonly [index: number, probability: number])[];
  /** Of an ensemble, each member's own best classes. */
  readonly members: readonly (readonly number[])[];
}

/** Wilson's interval for a proportion at 95 % (Wilson 1927): right for small samples and near 0 and 1. */
export function wilson(successes: number, count: number): readonly [lo: number, hi: number] {
  if (count === 0) return [0, 1];
  const z = 1.959964;
  const p = successes / count;
  const centre = p + (z * z) / (2 * count);
  const spread = z * Math.sqrt((p * (1 - p)) / count + (z * z) / (4 * count * count));
  const scale = 1 / (1 + (z * z) / count);
  return [Math.max(0, scale * (centre - spread)), Math.min(1, scale * (centre + spread))];
}

/** How many labels are among the first `k` of each answer. */
export function hits(answers: readonly Answered[], k: number): number {
  return answers.filter(({ label, best }) => best.slice(0, k).some(([index]) => index === label)).length;
}

/** One bar of a reliability diagram: answers of nearly the same confidence. */
export interface Bin {
  readonly confidence: number;
  readonly accuracy: number;
  readonly count: number;
}

const BINS = 10;

/** The reliability diagram (Guo et al. 2017, arXiv 1706.04599), its empty bins left out. */
export function reliability(answers: readonly Answered[]): readonly Bin[] {
  const bins = Array.from({ length: BINS }, () => ({ confidence: 0, right: 0, count: 0 }));
  for (const { label, best } of answers) {
    const [index, probability] = best[0]!;
    const bin = bins[Math.min(BINS - 1, Math.floor(probability * BINS))]!;
    bin.confidence += probability;
    bin.right += index === label ? 1 : 0;
    bin.count += 1;
  }
  return bins
    .filter(({ count }) => count > 0)
    .map(({ confidence, right, count }) => ({ confidence: confidence / count, accuracy: right / count, count }));
}

/** Expected calibration error: the mean gap between confidence and accuracy. */
export function calibrationError(bins: readonly Bin[]): number {
  const total = bins.reduce((sum, { count }) => sum + count, 0);
  return bins.reduce((sum, bin) => sum + bin.count * Math.abs(bin.accuracy - bin.confidence), 0) / total;
}

/** How often one class was taken for another. */
export interface Confusion {
  readonly label: number;
  readonly answer: number;
  readonly count: number;
}

/** Every pair of label and best answer that was seen, the most frequent first. */
export function confusions(answers: readonly Answered[]): readonly Confusion[] {
  const counts = new Map<string, { label: number; answer: number; count: number }>();
  for (const { label, best } of answers) {
    const answer = best[0]![0];
    const key = `${label} ${answer}`;
    const known = counts.get(key) ?? { label, answer, count: 0 };
    known.count += 1;
    counts.set(key, known);
  }
  return [...counts.values()].sort((a, b) => b.count - a.count || a.label - b.label || a.answer - b.answer);
}

/** Wrong answers, the most confident first. */
export function mistakes(answers: readonly Answered[]): readonly Answered[] {
  return answers.filter(({ label, best }) => best[0]![0] !== label).sort((a, b) => b.best[0]![1] - a.best[0]![1]);
}

/** Fewer images than this say nothing about chance. */
const TELLING = 10;

/**
 * What in the answers points at a mistake outside of the model: another preprocessing, classes in another order, a model
 * of something else. A sentence each.
 *
 * @param classes how many the model has
 */
export function suspicion(
  answers: readonly Answered[],
  classes: number,
  nameOf: (index: number) => string,
): readonly string[] {
  const remarks: string[] = [];
  const count = answers.length;
  const labels = new Set(answers.map(({ label }) => label));
  const given = new Set(answers.map(({ best }) => best[0]![0]));
  const hint = "are preprocessing and the order of classes right?";
  if (given.size === 1 && labels.size > 1) {
    remarks.push(`every image of ${labels.size} classes was classified as "${nameOf([...given][0]!)}": ${hint}`);
  }
  const right = hits(answers, 1);
  const [least] = wilson(right, count);
  if (right === 0 ? count > 2 : count >= TELLING && least <= 1 / classes) {
    const chance = `${(100 / classes).toFixed(1)} %`;
    remarks.push(
      `${right} of ${count} images right is what guessing among ${classes} classes gives (${chance}): ${hint}`,
    );
  }
  return remarks;
}
