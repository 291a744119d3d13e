/**
 * Encoded images → RGBA pixels, by the decoders of @jsquash (mozjpeg and the Rust `png` crate, as WebAssembly, so that
 * every runtime decodes alike). What is not JPEG or PNG is refused by name.
 */
import decodeJpeg, { init as initJpeg } from "@jsquash/jpeg/decode.js";
import decodePng, { init as initPng } from "@jsquash/png/decode.js";
import type { Pixels } from "./image.ts";
import type { Runtime } from "./runtime.ts";
import { complaint } from "./tensor.ts";

/** Most pixels an image may claim, 100 megapixels: 400 MB of RGBA. Checked before anything is decoded. */
export const PIXEL_LIMIT = 100e6;

const READABLE = "a JPEG or PNG image";

/** What the first bytes say a file is. */
function kindOf(bytes: Uint8Array): string {
  const ascii = (from: number, length: number): string => String.fromCharCode(...bytes.subarray(from, from + length));
  if (bytes.length === 0) return "an empty file";
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return "JPEG";
  if (ascii(0, 8) === "\x89PNG\r\n\x1a\n") return "PNG";
  if (/^GIF8[79]a/.test(ascii(0, 6))) return "a GIF";
  if (ascii(0, 4) === "RIFF" && ascii(8, 4) === "WEBP") return "a WebP image";
  if (ascii(4, 4) === "ftyp")
    return /^(heic|heix|mif1|hevc)/.test(ascii(8, 4)) ? "a HEIC image" : "an AVIF image or a video";
  if (ascii(0, 2) === "BM") return "a BMP image";
  if (/^(II\*\0|MM\0\*)/.test(ascii(0, 4))) return "a TIFF image";
  if (/^\s*<(!doctype|html|\?xml|svg)/i.test(ascii(0, 64))) return "a page or SVG text";
  return `something that begins ${[...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}`;
}

/** Width and height from a JPEG's frame header, and whether its end is there. */
function jpegHeader(bytes: Uint8Array): { width: number; height: number; whole: boolean } | undefined {
  let at = 2;
  let size: { width: number; height: number } | undefined;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && at + 9 <= bytes.length) {
      size = { height: (bytes[at + 5]! << 8) | bytes[at + 6]!, width: (bytes[at + 7]! << 8) | bytes[at + 8]! };
    }
    if (marker === 0xda) {
      // The picture ends with FF D9; a cut file has none behind its first scan.
      let end = bytes.length - 2;
      while (end > at && !(bytes[end] === 0xff && bytes[end + 1] === 0xd9)) end -= 1;
      return size === undefined ? undefined : { ...size, whole: end > at };
    }
    at += 2 + length;
  }
  return undefined;
}

function pngHeader(bytes: Uint8Array): { width: number; height: number; whole: boolean } | undefined {
  if (bytes.length < 33) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = String.fromCharCode(...bytes.subarray(-8, -4));
  return { width: view.getUint32(16), height: view.getUint32(20), whole: end === "IEND" };
}

/**
 * Decodes one image. Orientation tags are left alone, as Pillow's `Image.open` does.
 *
 * @param name what to call it in an error
 * @throws Error for what is no JPEG or PNG, or a broken one; RangeError above `PIXEL_LIMIT`
 */
export async function decodeImage(bytes: Uint8Array, runtime: Runtime, name: string): Promise<Pixels> {
  const kind = kindOf(bytes);
  if (kind !== "JPEG" && kind !== "PNG") throw new Error(complaint(name, READABLE, kind));
  const header = kind === "JPEG" ? jpegHeader(bytes) : pngHeader(bytes);
  if (header === undefined) throw new Error(complaint(name, `a ${kind} with its header`, "a broken one"));
  const { width, height, whole } = header;
  if (width * height > PIXEL_LIMIT) {
    throw new RangeError(complaint(name, `at most ${PIXEL_LIMIT / 1e6} megapixels`, `${width}×${height}`));
  }
  if (width === 0 || height === 0) throw new Error(complaint(name, "at least one pixel", `${width}×${height}`));
  if (!whole) throw new Error(complaint(name, `a whole ${kind}`, "one that is cut short"));
  try {
    return kind === "JPEG" ? await jpeg(bytes, runtime) : await png(bytes, runtime);
  } catch (error) {
    throw new Error(complaint(name, `a ${kind} that can be decoded`, "a broken one"), { cause: error });
  }
}

async function jpeg(bytes: Uint8Array, runtime: Runtime): Promise<Pixels> {
  // A fresh instance each time: one that met a broken file is not to be trusted with the next.
  const module = await runtime.module("jpeg");
  await initJpeg({
    print() {},
    printErr() {},
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
      const instance = new WebAssembly.Instance(module, imports);
      done(instance);
      return instance.exports;
    },
  });
  return decodeJpeg(copy(bytes));
}

async function png(bytes: Uint8Array, runtime: Runtime): Promise<Pixels> {
  await initPng(await runtime.module("png"));
  return decodePng(copy(bytes));
}

/** The bytes in a buffer of their own, as the decoders want them. */
function copy(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer;
}
