/** Methods of quantization by name, apart from what quantizes: a page has them without an engine. */

/**
 * How the range of an activation follows from what was seen of it: all of it, all but one value in ten thousand, or as
 * much as makes the squared error least.
 */
export const METHODS = ["minmax", "percentile", "mse"] as const;
export type Method = (typeof METHODS)[number];
