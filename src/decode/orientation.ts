/**
 * EXIF orientation. Cameras store the sensor's rows, and the turn that makes them upright as a tag (TIFF 6.0, tag 274).
 *
 * The tag is read here: it is one entry of a list, and libraries for EXIF bring hundreds of tags and much code.
 */
import type { Pixels } from "../image.ts";

/** 1 upright; 2 mirrored, 3 turned by 180°, 4 both; 5–8 the same with rows and columns exchanged. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

const TAG = 274;
const SHORT = 3;

/** The orientation in an EXIF block; 1 when it has none, or an invalid one. */
export function orientationOf(exif: Uint8Array | undefined): Orientation {
  if (exif === undefined) return 1;
  // WebP files of some cameras keep JPEG's prefix.
  const prefixed = String.fromCharCode(...exif.subarray(0, 6)) === "Exif\0\0";
  const bytes = prefixed ? exif.subarray(6) : exif;
  if (bytes.length < 14) return 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const order = view.getUint16(0);
  if (order !== 0x4949 && order !== 0x4d4d) return 1;
  const little = order === 0x4949;
  const list = view.getUint32(4, little);
  if (list + 2 > bytes.length) return 1;
  const count = view.getUint16(list, little);
  for (let i = 0; i < count; ++i) {
    const entry = list + 2 + 12 * i;
    if (entry + 12 > bytes.length) return 1;
    if (view.getUint16(entry, little) !== TAG || view.getUint16(entry + 2, little) !== SHORT) continue;
    const value = view.getUint16(entry + 8, little);
    return value >= 1 && value <= 8 ? (value as Orientation) : 1;
  }
  return 1;
}

/** The pixels, upright. */
export function upright({ width, height, data }: Pixels, orientation: Orientation): Pixels {
  if (orientation === 1) return { width, height, data };
  const transposed = orientation > 4;
  const [w, h] = transposed ? [height, width] : [width, height];
  // Which axes of the source run backwards.
  const flipX = [2, 3, 7, 8].includes(orientation);
  const flipY = [3, 4, 6, 7].includes(orientation);
  const source = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const out = new Uint32Array(w * h);
  for (let y = 0; y < h; ++y) {
    for (let x = 0; x < w; ++x) {
      const [u, v] = transposed ? [y, x] : [x, y];
      out[y * w + x] = source[(flipY ? height - 1 - v : v) * width + (flipX ? width - 1 - u : u)]!;
    }
  }
  return { width: w, height: h, data: new Uint8Array(out.buffer) };
}
