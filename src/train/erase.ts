/** Random erasing (Zhong et al., arXiv 1708.04896): a part of an image is not seen. */

/** The erased part's share of the image, and the range of its shape, as torchvision's `RandomErasing`. */
const [AREAS, SHAPES] = [
  [0.02, 0.33],
  [0.3, 3.3],
] as const;
/** Parts that are tried; where none fits nothing is erased. */
const TRIES = 10;

/**
 * Sets a rectangle of a prepared image to 0, the mean of all images, with a probability.
 *
 * @param input `[h, w, c]`, normalised
 * @param next numbers from 0, below 1
 */
export function erase(
  input: Float32Array,
  width: number,
  channels: number,
  probability: number,
  next: () => number,
): void {
  if (!(next() < probability)) return;
  const height = input.length / channels / width;
  for (let i = 0; i < TRIES; ++i) {
    const area = width * height * (AREAS[0] + (AREAS[1] - AREAS[0]) * next());
    const shape = Math.exp(Math.log(SHAPES[0]) + (Math.log(SHAPES[1]) - Math.log(SHAPES[0])) * next());
    const [w, h] = [Math.round(Math.sqrt(area * shape)), Math.round(Math.sqrt(area / shape))];
    if (w < 1 || h < 1 || w >= width || h >= height) continue;
    const left = Math.floor(next() * (width - w + 1));
    const top = Math.floor(next() * (height - h + 1));
    for (let y = top; y < top + h; ++y) input.fill(0, (y * width + left) * channels, (y * width + left + w) * channels);
    return;
  }
}
