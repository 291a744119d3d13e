/** What the numbers of a network's last node mean. */

export const OUTPUT_KINDS = ["softmax", "sigmoid", "none"] as const;

/**
 * `softmax`: logits of classes that exclude each other. `sigmoid`: logits of classes that are each present or absent.
 * `none`: no classes; the numbers are features or other values, and are not turned into probabilities.
 */
export type OutputKind = (typeof OUTPUT_KINDS)[number];

/** Softmax in f64, shifted by the largest logit so that it never overflows. */
export function softmax(logits: Float32Array): Float64Array {
  const top = logits.reduce((a, b) => Math.max(a, b));
  const parts = Float64Array.from(logits, (logit) => Math.exp(logit - top));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / sum);
}

/** Classes that a network's outputs tell apart: one logit with two labels is the second against the first. */
export function classCount(outputs: number, labels: readonly string[]): number {
  return outputs === 1 && labels.length === 2 ? 2 : outputs;
}

/**
 * Probabilities of the classes of one image, in f64.
 *
 * @param logits `[outputs]`
 * @param classes as `classCount` says
 * @returns `[classes]`: they sum to 1 for softmax, and for one logit of two classes
 */
export function probabilitiesOf(
  kind: Exclude<OutputKind, "none">,
  logits: Float32Array,
  classes: number,
): Float64Array {
  if (kind === "softmax") return softmax(logits);
  const present = Float64Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit)));
  return classes === 2 && logits.length === 1 ? Float64Array.of(1 - present[0]!, present[0]!) : present;
}
