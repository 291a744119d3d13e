/** Heads without epochs: which one, and what every one of them gives. */

import { prototype } from "./prototype.ts";
import { type Known, ridge } from "./ridge.ts";
import type { Solver } from "./solve.ts";
import { rounded } from "./sums.ts";
import { calibrated } from "./temperature.ts";

/** How a head follows from features: `HEADS` without `logistic`, which takes epochs. */
export const SOLVED = ["ridge", "prototype"] as const;
export type SolvedHead = (typeof SOLVED)[number];

/** Most images of any class with which `auto` takes `prototype`: with two and five, ridge regression is a point better (bench/README.md). */
const FEW = 1;

/** A linear head whose softmax is calibrated, without a bias. */
export interface SolvedFit {
  readonly head: SolvedHead;
  /** `[classes, channels]`, as PyTorch's `nn.Linear` has it, for features as the network gives them. */
  readonly weights: Float32Array<ArrayBuffer>;
  /** `[images, classes]`: logits of each image by the head of all others; absent where only sums of images are known. */
  readonly left: Float32Array | undefined;
  /** Of `ridge`: what the weights' squares were multiplied by. */
  readonly lambda: number;
}

/** A set, and how long its features were before they all had one length. */
export interface Measured extends Known {
  /** Mean over all images. */
  readonly meanLength: number;
  /** Of an image whose features are known. */
  lengthOf(index: number): number;
}

/** Solves for the head of a set. The order of the images must be the same for the same bytes. */
export function solvedHead(solver: Solver, known: Measured, wanted: SolvedHead | "auto"): SolvedFit {
  const { channels, counts, labels, classes, meanLength } = known;
  const head = wanted === "auto" ? (Math.max(...counts) <= FEW ? "prototype" : "ridge") : wanted;
  const fit = (head === "ridge" ? ridge : prototype)(solver, known);
  // Longer features have larger logits in the saved model: so have they here.
  const lengths = Float64Array.from(labels, (_, i) => known.lengthOf(i) / (meanLength || 1));
  const left = fit.left?.map((score, at) => score * lengths[Math.floor(at / classes)]!);
  let { factor } = fit;
  if (left !== undefined) {
    // Without its only image nothing is known of a class.
    const seen = [...labels.keys()].filter((i) => counts[labels[i]!]! > 1);
    const scores = new Float32Array(seen.length * classes);
    seen.forEach((i, at) => {
      scores.set(left.subarray(i * classes, (i + 1) * classes), at * classes);
    });
    factor = calibrated(
      scores,
      Int32Array.from(seen, (i) => labels[i]!),
      classes,
      factor,
    );
  }
  const toFeatures = (factor * Math.sqrt(channels)) / (meanLength || 1);
  return {
    ...{ head, lambda: fit.lambda },
    weights: Float32Array.from(fit.weights, (value) => toFeatures * value),
    left: left?.map((score) => factor * score),
  };
}

/** Features as numbers of one length, √channels, rounded for exact sums; zeros stay zeros. */
export function unit(features: Float32Array): Float32Array {
  const length = lengthOf(features);
  const factor = length > 0 ? Math.sqrt(features.length) / length : 0;
  return rounded(Float64Array.from(features, (value) => factor * value));
}

/** The length of features, rounded as they are. */
export function lengthOf(features: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < features.length; ++i) sum += features[i]! * features[i]!;
  return Math.sqrt(sum);
}

/** Images in an order that does not depend on how they came: by class, then by their features. */
export function canonical<T extends { readonly features: Float32Array; readonly label: string }>(
  images: Iterable<T>,
): readonly T[] {
  return [...images].sort((a, b) => {
    if (a.label !== b.label) return a.label < b.label ? -1 : 1;
    for (let i = 0; i < a.features.length; ++i) {
      if (a.features[i] !== b.features[i]) return a.features[i]! - b.features[i]!;
    }
    return 0;
  });
}
