/** Pictures in a report: small JPEGs inside the page. */
import { encode } from "jpeg-js";
import type { ImageInput } from "../../decode/input.ts";
import { toPixels } from "../../decode/photo.ts";
import type { Pixels } from "../../image.ts";
import { nodeRuntime } from "../../runtimes/node.ts";

/** Longest side of a picture. */
const SIDE = 240;
const QUALITY = 80;

/** Each pixel the mean of those it stands for. */
function shrunk({ width, height, data }: Pixels): Pixels {
  const scale = Math.max(1, Math.max(width, height) / SIDE);
  const [w, h] = [width, height].map((side) => Math.max(1, Math.floor(side / scale))) as [number, number];
  const out = new Uint8Array(4 * w * h);
  for (let y = 0; y < h; ++y) {
    const [top, bottom] = [Math.floor(y * scale), Math.max(Math.floor(y * scale) + 1, Math.floor((y + 1) * scale))];
    for (let x = 0; x < w; ++x) {
      const [left, right] = [Math.floor(x * scale), Math.max(Math.floor(x * scale) + 1, Math.floor((x + 1) * scale))];
      for (let i = 0; i < 4; ++i) {
        let sum = 0;
        for (let v = top; v < bottom; ++v) for (let u = left; u < right; ++u) sum += data[4 * (v * width + u) + i]!;
        out[4 * (y * w + x) + i] = sum / ((bottom - top) * (right - left));
      }
    }
  }
  return { width: w, height: h, data: out };
}

/** The image as a `data:` address. */
export async function thumbnail(image: ImageInput): Promise<string> {
  const { data, width, height } = shrunk(await toPixels(image, nodeRuntime()));
  return `data:image/jpeg;base64,${encode({ data, width, height }, QUALITY).data.toString("base64")}`;
}
