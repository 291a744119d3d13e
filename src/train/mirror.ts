/** The same images, mirrored: a second view to validate with. */
import type { BatchSource } from "./sources.ts";

/** Mirrors images `[n, h, w, c]` left to right. */
export function mirrored(images: Float32Array, width: number, channels: number): Float32Array {
  const out = new Float32Array(images.length);
  const row = width * channels;
  for (let first = 0; first < images.length; first += row) {
    for (let x = 0; x < row; x += channels) {
      const from = first + row - channels - x;
      for (let c = 0; c < channels; ++c) out[first + x + c] = images[from + c]!;
    }
  }
  return out;
}

/** A source of the same examples, each mirrored. */
export function mirroredSource(source: BatchSource, width: number, channels: number): BatchSource {
  return {
    count: source.count,
    async batch(indices, epoch) {
      const { images, ...rest } = await source.batch(indices, epoch);
      return { ...rest, images: mirrored(images, width, channels) };
    },
  };
}
