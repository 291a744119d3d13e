/**
 * Encoded images → RGBA pixels, by the decoders of @jsquash (mozjpeg and the Rust `png` crate, as WebAssembly, so that
 * every runtime decodes alike). What is not JPEG or PNG is refused by name.
 *
 * Each image gets an instance of its own, which goes when the image is decoded: one that met a broken file has leaked and
 * is not to be trusted with the next, and images decoded at once do not meet. @jsquash's own `decode.js` shares one
 * instance and leaves a global `ImageData` behind, so its modules are called here without it.
 */
import mozjpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.js";
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

/** What is known before decoding: the size, whether the end is there, whether the colours are four inks. */
interface Header {
  readonly width: number;
  readonly height: number;
  readonly whole: boolean;
  readonly inks: boolean;
}

/** From a JPEG's frame header and its end. */
function jpegHeader(bytes: Uint8Array): Header | undefined {
  let at = 2;
  let frame: Omit<Header, "whole"> | undefined;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && at + 10 <= bytes.length) {
      const height = (bytes[at + 5]! << 8) | bytes[at + 6]!;
      frame = { width: (bytes[at + 7]! << 8) | bytes[at + 8]!, height, inks: bytes[at + 9] === 4 };
    }
    if (marker === 0xda) {
      // The picture ends with FF D9; a cut file has none behind its first scan.
      let end = bytes.length - 2;
      while (end > at && !(bytes[end] === 0xff && bytes[end + 1] === 0xd9)) end -= 1;
      return frame === undefined ? undefined : { ...frame, whole: end > at };
    }
    at += 2 + length;
  }
  return undefined;
}

/** From a PNG's first chunk, and whether its last chunk is there. */
function pngHeader(bytes: Uint8Array): Header | undefined {
  const typeAt = (at: number): string => String.fromCharCode(...bytes.subarray(at + 4, at + 8));
  if (bytes.length < 33 || typeAt(8) !== "IHDR") return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = { width: view.getUint32(16), height: view.getUint32(20), inks: false };
  // A chunk: length, type, contents, checksum. What follows the last one is nobody's.
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
    if (typeAt(at) === "IEND") return { ...size, whole: true };
  }
  return { ...size, whole: false };
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
  const { width, height, whole, inks } = header;
  if (width * height > PIXEL_LIMIT) {
    throw new RangeError(complaint(name, `at most ${PIXEL_LIMIT / 1e6} megapixels`, `${width}×${height}`));
  }
  if (width === 0 || height === 0) throw new Error(complaint(name, "at least one pixel", `${width}×${height}`));
  if (inks) throw new Error(complaint(name, "a JPEG in colour or grey", "CMYK", "save it as RGB"));
  if (!whole) throw new Error(complaint(name, `a whole ${kind}`, "one that is cut short"));
  try {
    return kind === "JPEG" ? await jpeg(bytes, runtime) : await png(bytes, runtime);
  } catch (error) {
    throw new Error(complaint(name, `a ${kind} that can be decoded`, "a broken one"), { cause: error });
  }
}

async function jpeg(bytes: Uint8Array, runtime: Runtime): Promise<Pixels> {
  const module = await runtime.module("jpeg");
  const decoder = await new Promise<Awaited<ReturnType<typeof mozjpeg>>>((resolve, reject) => {
    lendImageData(() =>
      mozjpeg({
        noInitialRun: true,
        print() {},
        printErr() {},
        instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
          WebAssembly.instantiate(module, imports).then(done).catch(reject);
          return {};
        },
      }),
    ).then(resolve, reject);
  });
  const pixels = lendImageData(() => decoder.decode(bytes as BufferSource, false));
  if (!pixels) throw new Error("no pixels");
  return pixels;
}

/**
 * Runs `work`, which is synchronous, with a global `ImageData`: mozjpeg's glue makes its result with one, and where there
 * is none installs one for good. Nobody else sees this one.
 */
function lendImageData<T>(work: () => T): T {
  const own = Object.getOwnPropertyDescriptor(globalThis, "ImageData");
  const value = function ImageData(data: Uint8ClampedArray, width: number, height: number): Pixels {
    return { data, width, height };
  };
  Object.defineProperty(globalThis, "ImageData", { value, configurable: true, writable: true });
  try {
    return work();
  } finally {
    if (own === undefined) Reflect.deleteProperty(globalThis, "ImageData");
    else Object.defineProperty(globalThis, "ImageData", own);
  }
}

/** What `squoosh_png` (wasm-bindgen) exports, of which only this is used. */
interface PngExports {
  readonly memory: WebAssembly.Memory;
  __wbindgen_malloc(bytes: number, align: number): number;
  decode(address: number, bytes: number): number;
}

async function png(bytes: Uint8Array, runtime: Runtime): Promise<Pixels> {
  const module = await runtime.module("png");
  let exports: PngExports;
  let pixels: Pixels | undefined;
  const imported: Readonly<Record<string, (...args: number[]) => number>> = {
    newwithownedu8clampedarrayandsh(address, length, width, height) {
      const data = new Uint8ClampedArray(exports.memory.buffer, address! >>> 0, length).slice();
      pixels = { data, width: width! >>> 0, height: height! >>> 0 };
      return 0;
    },
    throw(address, length) {
      throw new Error(new TextDecoder().decode(new Uint8Array(exports.memory.buffer, address! >>> 0, length)));
    },
  };
  // wasm-bindgen's names are `__wbg_<what>_<hash>` and `__wbindgen_<what>`; what 16-bit results would need is never called.
  const wbg = Object.fromEntries(
    WebAssembly.Module.imports(module).map(({ name }) => [
      name,
      imported[name.replace(/^__wbg_|^__wbindgen_/, "").replace(/_[0-9a-f]{16}$/, "")] ?? (() => 0),
    ]),
  );
  exports = (await WebAssembly.instantiate(module, { wbg })).exports as unknown as PngExports;
  const address = exports.__wbindgen_malloc(bytes.length, 1) >>> 0;
  new Uint8Array(exports.memory.buffer, address, bytes.length).set(bytes);
  exports.decode(address, bytes.length);
  if (pixels === undefined) throw new Error("no pixels");
  return pixels;
}
