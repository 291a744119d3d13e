/**
 * Encoded images → RGBA pixels, upright. JPEG by mozjpeg and WebP by libwebp, both as WebAssembly, so that every runtime decodes
 * alike; PNG by the platform's inflate; HEIC and AVIF by decoders that the runtime finds outside the package, where it can; CMYK JPEGs by jpeg-js, slower and in JavaScript; the first picture of a GIF by
 * `gif.ts`. Anything else is refused by name.
 *
 * As Pillow's `convert("RGB")` does, transparency is dropped, not blended. EXIF's orientation is applied, as browsers apply it;
 * torchvision's datasets do not.
 *
 * Every format has the same budget, spent before the work: pixels, and pixels times passes. What a file claims beyond it is
 * refused from its headers.
 */
import mozjpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.js";
import { release } from "../bytes.ts";
import { expectedGot, ImageError, type ImageErrorCode } from "../errors.ts";
import { type Pixels, SIDE_LIMIT } from "../image.ts";
import type { Runtime } from "../runtime.ts";
import { decodeCmyk } from "./cmyk.ts";
import { decodeBy, type Factory } from "./emscripten.ts";
import { Fault } from "./fault.ts";
import { decodeGif, gifHeader } from "./gif.ts";
import { type Header, webpHeader } from "./header.ts";
import { type HeifHeader, heifHeader } from "./heif-header.ts";
import { jpegHeader } from "./jpeg-header.ts";
import { type Codec, type HeifCodec, kindOf } from "./kind.ts";
import { orientationOf, upright } from "./orientation.ts";
import { decodePng, pngHeader } from "./png.ts";
import { Turn } from "./turn.ts";
import { decodeWebp } from "./webp.ts";

/** What decoding takes of a runtime. */
export type Decoders = Pick<Runtime, "name" | "module" | "imageBytes" | "decodeHeif">;

/** Most pixels an image may claim, 100 megapixels: 400 MB of RGBA. Checked before anything is decoded. */
export const PIXEL_LIMIT = 100e6;
/** Most passes over the pixels that may be allowed: a progressive photo takes about 5, of a file at the limit of pixels. */
export const PASS_LIMIT = 8;
/** Most pixels of a CMYK JPEG: its decoder takes 60 bytes and 0.2 µs for each. */
export const CMYK_PIXEL_LIMIT = 16e6;

const READABLE = "a JPEG, PNG, WebP, GIF, HEIC or AVIF image";

const HEADERS: Readonly<Record<Codec, (bytes: Uint8Array) => Header | undefined>> = {
  JPEG: jpegHeader,
  PNG: pngHeader,
  WebP: webpHeader,
  GIF: gifHeader,
  HEIC: heifHeader,
  AVIF: heifHeader,
};

/**
 * Decodes one image.
 *
 * @param name what to call it in an error
 * @param maxPixels a limit below `PIXEL_LIMIT`
 * @param turn keeps the memory of the pixels taken until the caller lets it go; else it counts while they are decoded
 * @throws ImageError: "not-an-image" or "unsupported" for other formats, "malformed" or "truncated" for a damaged file,
 * "too-large" above the limits, "memory" when there is no memory for the pixels
 */
export async function decodeImage(
  bytes: Uint8Array,
  runtime: Decoders,
  name: string,
  maxPixels = PIXEL_LIMIT,
  turn?: Turn,
): Promise<Pixels> {
  const kind = kindOf(bytes);
  if ("other" in kind) throw new ImageError(kind.code, expectedGot(name, READABLE, kind.other, "convert it to JPEG"));
  const { codec } = kind;
  const own = turn ?? new Turn();
  try {
    const header = checkedHeader(codec, bytes, name, maxPixels);
    await own.take(decodingBytes(codec, header), runtime.imageBytes);
    const pixels = await decodeAs(codec, header, bytes, runtime);
    if (pixels.width !== header.width || pixels.height !== header.height) {
      throw new Fault("malformed", `one of ${pixels.width}×${pixels.height} pixels where its header says otherwise`);
    }
    const turned = upright(pixels, orientationOf(header.exif));
    if (turned.data.buffer !== pixels.data.buffer) release(pixels.data);
    own.keep(turned.data.byteLength);
    return turned;
  } catch (cause) {
    throw cause instanceof ImageError ? cause : undecodable(codec, name, cause);
  } finally {
    if (turn === undefined) own.release();
  }
}

/** Bytes that decoders take for each pixel, their results among them. */
const BYTES_PER_PIXEL: Readonly<Record<Codec, number>> = { JPEG: 8, PNG: 4, WebP: 12, GIF: 5, HEIC: 12, AVIF: 12 };
/** What a progressive JPEG takes beside: its coefficients. */
const COEFFICIENT_BYTES = 6;
const CMYK_BYTES = 64;

function decodingBytes(codec: Codec, { width, height, cmyk, passed = 0 }: Header): number {
  const pixels = width * height;
  if (cmyk === true) return CMYK_BYTES * pixels;
  return (BYTES_PER_PIXEL[codec] + (passed > 1.5 * pixels ? COEFFICIENT_BYTES : 0)) * pixels;
}

/** What the headers say, when it is within the budget. */
function checkedHeader(codec: Codec, bytes: Uint8Array, name: string, maxPixels: number): Header {
  const refuse = (code: ImageErrorCode, expected: string, got: string): never => {
    throw new ImageError(code, expectedGot(name, expected, got));
  };
  const header = HEADERS[codec](bytes);
  if (header === undefined) return refuse("malformed", `${named(codec)} with its header`, "a broken one");
  const { width, height, complete, cmyk = false, passed = 0 } = header;
  const limit = cmyk ? Math.min(maxPixels, CMYK_PIXEL_LIMIT) : maxPixels;
  if (width * height > limit) {
    refuse("too-large", `at most ${limit / 1e6} megapixels${cmyk ? " of CMYK" : ""}`, `${width}×${height}`);
  }
  if (Math.max(width, height) > SIDE_LIMIT) {
    refuse("too-large", `sides of at most ${SIDE_LIMIT} pixels`, `${width}×${height}`);
  }
  if (width === 0 || height === 0) refuse("malformed", "at least one pixel", `${width}×${height}`);
  if (!complete) refuse("truncated", `a complete ${codec}`, "one that is cut short");
  if (passed > PASS_LIMIT * limit) {
    const most = `at most ${(PASS_LIMIT * limit) / 1e6} megapixels in all its scans`;
    refuse("too-large", most, `${Math.ceil(passed / 1e6)}`);
  }
  return header;
}

function named(codec: Codec): string {
  return `${codec === "AVIF" ? "an" : "a"} ${codec}`;
}

/** What a decoder's failure means. */
function undecodable(codec: Codec, name: string, cause: unknown): ImageError {
  const isFull = cause instanceof RangeError;
  const code = cause instanceof Fault ? cause.code : isFull ? "memory" : "malformed";
  const got = cause instanceof Fault ? cause.message : isFull ? "one that does not fit into memory" : "a broken one";
  return new ImageError(code, expectedGot(name, `${named(codec)} that can be decoded`, got), { cause });
}

async function decodeAs(codec: Codec, header: Header, bytes: Uint8Array, runtime: Decoders): Promise<Pixels> {
  switch (codec) {
    case "JPEG":
      if (header.cmyk === true) return decodeCmyk(bytes, header.width * header.height);
      return decodeBy(mozjpeg as unknown as Factory, await runtime.module("jpeg"), bytes, false);
    case "PNG":
      return decodePng(bytes);
    case "WebP":
      return decodeWebp(await runtime.module("webp"), bytes, header);
    case "GIF":
      return decodeGif(bytes, header);
    case "HEIC":
    case "AVIF":
      return decodeHeif(codec, header as HeifHeader, bytes, runtime);
  }
}

async function decodeHeif(
  codec: HeifCodec,
  header: HeifHeader,
  bytes: Uint8Array,
  { decodeHeif, name }: Decoders,
): Promise<Pixels> {
  if (decodeHeif !== undefined) return decodeHeif(codec, bytes, header);
  throw new Fault("unsupported", `one where ${name} has no decoder for it; convert it to JPEG`);
}
