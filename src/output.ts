/** What the numbers of a network's last node mean. */

/**
 * `softmax`: logits of classes that exclude each other. `sigmoid`: logits of classes that are each present or absent.
 * `none`: no classes; the numbers are features or other values, and are not turned into probabilities.
 */
export const OUTPUT_KINDS = ["softmax", "sigmoid", "none"] as const;
export type OutputKind = (typeof OUTPUT_KINDS)[number];

/** Softmax in f64, shifted by the largest logit so that it never overflows. */
export function softmax(logits: Float32Array): Float64Array {
  const top = logits.reduce((a, b) => Math.max(a, b));
  const parts = Float64Array.from(logits, (logit) => Math.exp(logit - top));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / sum);
}
