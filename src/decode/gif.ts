/** The first picture of a GIF, by gifuct-js. */
import { decompressFrame, parseGIF } from "gifuct-js";
import type { Pixels } from "../image.ts";

/** Decodes the first picture, on the screen that the header describes. Throws when it is broken or larger than `maxPixels`. */
export function decodeGif(bytes: Uint8Array, maxPixels: number): Pixels {
  const { frames, gct, lsd } = parseGIF(new Uint8Array(bytes).buffer);
  const first = frames.find((frame) => "image" in frame && frame.image);
  if (first === undefined || !("image" in first)) throw new Error("no picture");
  const { width: across, height: down, left, top } = first.image.descriptor;
  if (across * down > maxPixels) throw new Error("a picture larger than its screen");
  const { pixels, patch } = decompressFrame(first, gct, true);
  if (pixels.some((index) => !(index >= 0))) throw new Error("too few pixels");
  const { width, height } = lsd;
  const out = new Uint32Array(width * height);
  const source = new Uint32Array(patch.buffer);
  for (let y = 0; y < Math.min(down, height - top); ++y) {
    const row = source.subarray(y * across, y * across + Math.max(0, Math.min(across, width - left)));
    out.set(row, (top + y) * width + left);
  }
  return { width, height, data: new Uint8Array(out.buffer) };
}
