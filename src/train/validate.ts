/** A look at the validation set: loss, accuracy, and the answer to each image. */

import { letEventsRun, untilAborted } from "../abort.ts";
import { classMetrics, meanAveragePrecision, type Scores } from "../multilabel.ts";
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

/**
 * Validates over a whole set.
 *
 * @param views sources of the same examples; an image's probabilities are the means over them, and so is its loss
 */
export async function validate(
  trainer: Pick<Trainer, "evaluate">,
  views: readonly BatchSource[],
  batch: number,
  averaged: boolean,
  signal?: AbortSignal,
): Promise<Validation> {
  const all = Array.from({ length: views[0]!.count }, (_, i) => i);
  // Each group in all its views, one after the other.
  const groups = groupsOf(all, batch).flatMap((group) => views.map((view, at) => ({ group, view, at })));
  let [loss, correct, classes, isMulti] = [0, 0, 0, false];
  const answers: Validated[] = [];
  const scored: Scores[] = [];
  let sums = new Float64Array();
  let coming = groups[0]?.view.batch(groups[0].group, 0);
  for (const [i, { at }] of groups.entries()) {
    const { images, labels, indices } = await untilAborted(coming!, signal);
    const after = groups[i + 1];
    coming = after?.view.batch(after.group, 0);
    coming?.catch(() => {});
    await letEventsRun(signal);
    const count = indices.length;
    if (count === 0) continue;
    const result = await trainer.evaluate(images, labels, { averaged });
    loss += (result.loss * count) / views.length;
    classes = result.logits.length / count;
    isMulti = labels instanceof Uint8Array;
    if (at === 0) sums = new Float64Array(count * classes);
    addProbabilities(sums, result.logits, classes, isMulti);
    if (at + 1 < views.length) continue;
    indices.forEach((index, j) => {
      const scores = sums.subarray(j * classes, (j + 1) * classes).map((sum) => sum / views.length);
      const row = labels.subarray(j * classes, (j + 1) * classes);
      const shown = isMulti ? [...row.keys()].filter((at) => row[at] === 1) : [];
      if (isMulti) scored.push({ labels: shown, scores: [...scores] });
      const best = bestOf(scores);
      if (isMulti) correct += scores.reduce((sum, p, c) => sum + Number(p > 0.5 === (row[c] === 1)), 0) / classes;
      else correct += Number(best[0]![0] === labels[j]);
      answers.push({ index, label: isMulti ? shown : labels[j]!, best });
    });
  }
  const count = Math.max(1, answers.length);
  const shared = { loss: loss / count, top1: correct / count, answers };
  if (!isMulti) return { ...shared, classes: topAccuracies(answers, classes) };
  const metrics = classMetrics(scored, classes, 0.5);
  return {
    ...shared,
    map: meanAveragePrecision(metrics),
    classes: metrics.map(({ positives, accuracy, averagePrecision }) => {
      return { images: positives, accuracy, ...(averagePrecision !== undefined && { averagePrecision }) };
    }),
  };
}

function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
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

/** Adds the probabilities of each image's logits to `sums`: of a softmax, or of a sigmoid for each class. */
function addProbabilities(sums: Float64Array, logits: Float32Array, classes: number, isMulti: boolean): void {
  for (let first = 0; first < logits.length; first += classes) {
    const row = logits.subarray(first, first + classes);
    const largest = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((total, x) => total + Math.exp(x - largest), 0);
    row.forEach((x, c) => {
      sums[first + c]! += isMulti ? sigmoid(x) : Math.exp(x - largest) / sum;
    });
  }
}

function bestOf(scores: Float64Array): Validated["best"] {
  return [...scores.keys()]
    .sort((a, b) => scores[b]! - scores[a]! || a - b)
    .slice(0, BEST)
    .map((index) => [index, Number(scores[index]!.toPrecision(6))] as const);
}

/** Examples in groups of one size; the last has the rest. */
export function groupsOf(indices: readonly number[], size: number): readonly (readonly number[])[] {
  return Array.from({ length: Math.ceil(indices.length / size) }, (_, i) => indices.slice(i * size, (i + 1) * size));
}
