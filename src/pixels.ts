/** What is known of pixels before any are resized: how many there may be, and what an int8 network takes for them. */
import type { Preprocess } from "./preprocess.ts";

/** Longest side of an image, in pixels: what JPEG can have. It bounds the weights of a resize. */
export const SIDE_LIMIT = 65_535;

/** Whether an image may have these sides. */
export function areSides(width: number, height: number): boolean {
  return [width, height].every((side) => Number.isInteger(side) && side > 0 && side <= SIDE_LIMIT);
}

/** Which of R, G, B each channel of the input is; of a gray pixel they are equal. */
export function channelIndices({ order }: Pick<Preprocess, "order">): readonly number[] {
  return { rgb: [0, 1, 2], bgr: [2, 1, 0], gray: [0] }[order];
}

/**
 * From a normalised input to what an int8 network takes, the upper seven bits of each byte: a factor for each channel, then a
 * shift for each. A byte `p` is half of itself less a quarter, which is never half-way between two numbers.
 */
export function pixelAffine(preprocess: Preprocess): Float32Array {
  const { mean, std } = preprocess;
  const channels = channelIndices(preprocess);
  return Float32Array.from([...channels.map((i) => 127.5 * std[i]!), ...channels.map((i) => 127.5 * mean[i]! - 0.25)]);
}
