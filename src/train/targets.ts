/** What images show, as a trainer takes it. */
import { ArgumentTypeError, expectedGot, OptionError } from "../errors.ts";
import { type Graph, inputShape, outputNode } from "../graph.ts";
import type { Loss } from "./options.ts";

/**
 * What images show. For `loss: "cross_entropy"` `[n]`, each below the number of classes; for `"bce"` `[n, classes]`, 1 for a
 * class that the image shows and 0 for others.
 */
export type Targets = Int32Array | Uint8Array;

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
  if (isMulti !== labels instanceof Uint8Array) {
    const expected = isMulti ? "a Uint8Array [n, classes] for bce" : "an Int32Array [n] for cross_entropy";
    throw new ArgumentTypeError("labels", expectedGot("labels", expected, labels.constructor.name));
  }
  const n = isMulti ? labels.length / classes : labels.length;
  if (!Number.isInteger(n) || n < 1 || n > most) {
    const limit = most === Number.MAX_SAFE_INTEGER ? "" : ` to ${most}`;
    throw new OptionError("labels", expectedGot("labels", `those of 1${limit} images`, `${labels.length} numbers`));
  }
  if (images.length !== n * h * w * c) {
    throw new OptionError("images", expectedGot("images", `${n} × ${h} × ${w} × ${c} numbers`, `${images.length}`));
  }
  const largest = isMulti ? 1 : classes - 1;
  const bad = labels.find((label) => label < 0 || label > largest);
  if (bad !== undefined) throw new OptionError("labels", expectedGot("labels", `0 to ${largest}`, `${bad}`));
  return n;
}
