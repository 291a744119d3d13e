/**
 * Cross-validation: a set in k parts, each validated by a training with the others. It uses every image of a small set to
 * validate with, where a part held out would have too few to tell anything.
 */
import { expectedGot, OptionError } from "../errors.ts";
import { countsOf } from "./classes.ts";
import { type Dataset, labelsOf, shuffled } from "./dataset.ts";

/** One part of the set, and the rest of it. */
export interface Fold {
  readonly train: Dataset;
  readonly val: Dataset;
}

/** What one fold's training found on its part. */
export interface FoldResult {
  readonly images: number;
  readonly loss: number;
  /** Of several labels, the share of right decisions. */
  readonly top1: number;
  /** Mean average precision, of several labels. */
  readonly map?: number;
  /** The epoch whose weights were kept. */
  readonly epoch: number;
}

/** What all folds found together. */
export interface CrossValidation {
  readonly folds: readonly FoldResult[];
  /** Over all images: each was validated once. */
  readonly top1: number;
  readonly loss: number;
}

/**
 * A set in k parts, each class spread over all of them as evenly as can be; the seed decides which image is where.
 *
 * @throws OptionError where a class has one image only: a training without it would not know the class
 */
export function foldsOf(dataset: Dataset, k: number, seed: number): readonly Fold[] {
  const { classes, examples } = dataset;
  const few = countsOf(dataset).findIndex((count) => count < 2);
  if (few >= 0) {
    const expected = `at least 2 images of every class`;
    throw new OptionError(
      "folds",
      expectedGot("folds", expected, `1 of ${classes[few]}`, "add images, or leave folds out"),
    );
  }
  // Of several labels the rarest decides; images without one are a group of their own.
  const counts = countsOf(dataset);
  const groups = examples.map((example) => {
    const labels = [...labelsOf(example)].sort((a, b) => counts[a]! - counts[b]!);
    return labels[0] ?? classes.length;
  });
  const folds = new Array<number>(examples.length);
  let next = 0;
  for (let group = 0; group <= classes.length; ++group) {
    const mine = [...groups.keys()].filter((i) => groups[i] === group);
    for (const i of shuffled(mine.length, seed + group)) folds[mine[i]!] = next++ % k;
  }
  return Array.from({ length: k }, (_, fold) => ({
    train: { classes, examples: examples.filter((_, i) => folds[i] !== fold) },
    val: { classes, examples: examples.filter((_, i) => folds[i] === fold) },
  }));
}

/** The results that a checkpoint has noted; none where it has no notes. */
export function foldResultsOf(notes: unknown): readonly FoldResult[] {
  return Array.isArray(notes) ? (notes as readonly FoldResult[]) : [];
}

/** Means over all images. */
export function together(folds: readonly FoldResult[]): CrossValidation {
  const images = folds.reduce((sum, fold) => sum + fold.images, 0);
  const mean = (of: (fold: FoldResult) => number): number =>
    Number((folds.reduce((sum, fold) => sum + fold.images * of(fold), 0) / images).toPrecision(6));
  return { folds, top1: mean(({ top1 }) => top1), loss: mean(({ loss }) => loss) };
}

/** The epochs that the folds needed, for a training with all images, which has none to validate with. */
export function epochsOf(folds: readonly FoldResult[], least: number): number {
  const mean = folds.reduce((sum, { epoch }) => sum + epoch, 0) / folds.length;
  return Math.max(1, Math.ceil(least), Math.round(mean));
}
