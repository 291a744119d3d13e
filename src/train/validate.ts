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

/** Validates over a whole source. */
export async function validate(
  trainer: Pick<Trainer, "evaluate">,
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
  const scored: Scores[] = [];
  let coming = groups.length === 0 ? undefined : source.batch(groups[0]!, 0);
  for (let i = 0; i < groups.length; ++i) {
    const { images, labels, indices } = await untilAborted(coming!, signal);
    coming = i + 1 < groups.length ? source.batch(groups[i + 1]!, 0) : undefined;
    coming?.catch(() => {});
    await letEventsRun(signal);
    const count = indices.length;
    if (count === 0) continue;
    const result = await trainer.evaluate(images, labels, { averaged });
    loss += result.loss * count;
    correct += result.correct;
    classes = result.logits.length / count;
    isMulti = labels instanceof Uint8Array;
    indices.forEach((index, j) => {
      const logits = result.logits.subarray(j * classes, (j + 1) * classes);
      const row = labels.subarray(j * classes, (j + 1) * classes);
      const shown = isMulti ? [...row.keys()].filter((at) => row[at] === 1) : [];
      if (isMulti) scored.push({ labels: shown, scores: Array.from(logits, sigmoid) });
      answers.push({ index, label: isMulti ? shown : labels[j]!, best: bestOf(logits, isMulti) });
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

function bestOf(logits: Float32Array, isMulti: boolean): Validated["best"] {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, x) => total + Math.exp(x - largest), 0);
  const probability = (x: number): number => (isMulti ? sigmoid(x) : Math.exp(x - largest) / sum);
  return [...logits.keys()]
    .sort((a, b) => logits[b]! - logits[a]! || a - b)
    .slice(0, BEST)
    .map((index) => [index, Number(probability(logits[index]!).toPrecision(6))] as const);
}

/** Examples in groups of one size; the last has the rest. */
export function groupsOf(indices: readonly number[], size: number): readonly (readonly number[])[] {
  return Array.from({ length: Math.ceil(indices.length / size) }, (_, i) => indices.slice(i * size, (i + 1) * size));
}
