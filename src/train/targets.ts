/** What images show, as a trainer takes it, and what the loss wants. */
import { ArgumentTypeError, expectedGot, OptionError } from "../errors.ts";
import { type Graph, inputShape, outputNode } from "../graph.ts";
import type { Loss } from "./options.ts";

/**
 * What images show. For `loss: "cross_entropy"` an `Int32Array` `[n]`, each below the number of classes; for `"bce"` a
 * `Uint8Array` `[n, classes]`, 1 for a class that the image shows and 0 for others. For both a `Float32Array` `[n, classes]`:
 * how much of each class an image shows, from 0; mixed images have such targets.
 */
export type Targets = Int32Array | Uint8Array | Float32Array;

/**
 * Checks that images and labels fit each other and the network.
 *
 * @param most images at once
 * @returns how many images there are
 * @throws OptionError or ArgumentTypeError when they do not
 */
export function countImages(graph: Graph, loss: Loss, images: Float32Array, labels: Targets, most: number): number {
  const [h, w, c] = inputShape(graph);
  const classes = outputNode(graph).shape[2];
  const isMulti = loss === "bce";
  const isSoft = labels instanceof Float32Array;
  if (!isSoft && isMulti !== labels instanceof Uint8Array) {
    const expected = isMulti ? "a Uint8Array [n, classes] for bce" : "an Int32Array [n] for cross_entropy";
    throw new ArgumentTypeError("labels", expectedGot("labels", expected, labels.constructor.name));
  }
  const n = isMulti || isSoft ? labels.length / classes : labels.length;
  if (!Number.isInteger(n) || n < 1 || n > most) {
    const limit = most === Number.MAX_SAFE_INTEGER ? "" : ` to ${most}`;
    throw new OptionError("labels", expectedGot("labels", `those of 1${limit} images`, `${labels.length} numbers`));
  }
  if (images.length !== n * h * w * c) {
    throw new OptionError("images", expectedGot("images", `${n} × ${h} × ${w} × ${c} numbers`, `${images.length}`));
  }
  const largest = isMulti || isSoft ? 1 : classes - 1;
  const bad = labels.find((label) => !(label >= 0 && label <= largest));
  if (bad !== undefined) throw new OptionError("labels", expectedGot("labels", `0 to ${largest}`, `${bad}`));
  return n;
}

/** How labels become what the loss wants. */
export interface Goals {
  readonly classes: number;
  readonly loss: Loss;
  /** Part of a label that is spread over all classes. */
  readonly smoothing: number;
  /** A factor on each class; none when absent. Of `cross_entropy` only. */
  readonly weights?: readonly number[] | undefined;
}

/**
 * The labels as shares of the classes, `[n, classes]`.
 *
 * @returns a new array, or `labels` where they are shares
 */
export function sharesOf(labels: Targets, classes: number): Float32Array {
  if (labels instanceof Float32Array) return labels;
  if (labels instanceof Uint8Array) return Float32Array.from(labels);
  const shares = new Float32Array(labels.length * classes);
  labels.forEach((label, i) => {
    shares[i * classes + label] = 1;
  });
  return shares;
}

/**
 * What the loss of a step wants, `[n, classes]`: with t the shares, s the smoothing and w the weights,
 *
 *     cross_entropy: q[c] = w[c] · ((1 − s) · t[c] + s / classes · Σ t) · n / Σ w · t
 *     bce:           q[c] = (1 − s) · t[c] + s / 2
 *
 * so that the mean over the images is PyTorch's `CrossEntropyLoss` with `weight` and `label_smoothing`, and
 * `BCEWithLogitsLoss`. The last factor is PyTorch's weighted mean, of shares too.
 */
export function targetsOf(labels: Targets, { classes, loss, smoothing, weights }: Goals): Float32Array<ArrayBuffer> {
  const shares = sharesOf(labels, classes);
  const out = new Float32Array(shares.length);
  if (loss === "bce") return out.map((_, i) => (1 - smoothing) * shares[i]! + smoothing / 2);
  const n = shares.length / classes;
  let all = n;
  if (weights !== undefined) all = shares.reduce((sum, share, i) => sum + share * weights[i % classes]!, 0);
  // Where no image has a weight there is nothing to learn.
  const factor = all > 0 ? n / all : 0;
  for (let first = 0; first < out.length; first += classes) {
    const row = shares.subarray(first, first + classes);
    const even = (smoothing / classes) * row.reduce((sum, share) => sum + share, 0);
    row.forEach((share, c) => {
      out[first + c] = ((1 - smoothing) * share + even) * (weights?.[c] ?? 1) * factor;
    });
  }
  return out;
}
