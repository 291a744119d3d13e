/** What the numbers of a network's last node mean. */

/**
 * `softmax`: logits of classes that exclude each other. `sigmoid`: logits of classes that are each present or absent.
 * `none`: no classes; the numbers are features or other values, and are not turned into probabilities.
 */
export type OutputKind = "softmax" | "sigmoid" | "none";
