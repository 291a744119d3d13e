/**
 * Encoded images → RGBA pixels, upright. JPEG by this project's decoder and WebP by libwebp, both as WebAssembly, so that every
 * runtime decodes alike; PNG by the platform's inflate; HEIC and AVIF by decoders that the runtime finds outside the package, where
 * it can; the first picture of a GIF by `gif.ts`. Anything else is refused by name.
 *
 * As Pillow's `convert("RGB")` does, transparency is dropped, not blended. EXIF's orientation is applied, as browsers apply it;
 * torchvision's datasets do not.
 *
 * Every format has the same budget, spent before the work: pixels, pixels times passes, and the memory that decoding takes. What a file
 * claims beyond it is refused from its headers.
 */
import { release } from "../bytes.ts";
import { expectedGot, ImageError, type ImageErrorCode } from "../errors.ts";
import { type Pixels, SIDE_LIMIT } from "../image.ts";
import type { Runtime } from "../runtime.ts";
import { Fault } from "./fault.ts";
import { decodeGif, gifHeader } from "./gif.ts";
import { type Header, webpHeader } from "./header.ts";
import { type HeifHeader, heifHeader } from "./heif-header.ts";
import { decodeJpeg, decodeResized } from "./jpeg.ts";
import type { Scale } from "./jpeg-geometry.ts";
import { jpegHeader } from "./jpeg-header.ts";
import { planResize, type ResizePlan } from "./jpeg-resize.ts";
import { type Codec, type HeifCodec, kindOf } from "./kind.ts";
import { type Orientation, orientationOf, upright } from "./orientation.ts";
import { decodePng, pngHeader } from "./png.ts";
import { Turn } from "./turn.ts";
import { isReduced, type Picture, type Size, scaled, scaleFor, type Wanted, wholeView } from "./wanted.ts";
import { decodeWebp } from "./webp.ts";

/** What decoding takes of a runtime. */
export type Decoders = Pick<
  Runtime,
  "name" | "module" | "imageBytes" | "maxDecodeBytes" | "decodeHeif" | "transcodeHeif"
>;

/**
 * Most pixels an image may claim, 120 megapixels: 480 MB of RGBA, and a little more than the 108 that phones save. Checked before
 * anything is decoded.
 */
export const PIXEL_LIMIT = 120e6;
/** Most passes over the pixels that may be allowed: a progressive photo takes about 5, of a file at the limit of pixels. */
export const PASS_LIMIT = 8;

const READABLE = "a JPEG, PNG, WebP, GIF, HEIC or AVIF image";

const HEADERS: Readonly<Record<Codec, (bytes: Uint8Array) => Header | undefined>> = {
  JPEG: jpegHeader,
  PNG: pngHeader,
  WebP: webpHeader,
  GIF: gifHeader,
  HEIC: heifHeader,
  AVIF: heifHeader,
};

export interface DecodeOptions {
  /** A limit below `PIXEL_LIMIT`. */
  readonly maxPixels?: number | undefined;
  /** A limit for the memory that decoding takes; the runtime's when absent. */
  readonly maxDecodeBytes?: number | undefined;
  /** Keeps the memory of the pixels taken until the caller lets it go; else it counts while they are decoded. */
  readonly turn?: Turn | undefined;
  /** What will be seen; everything when absent. */
  readonly wanted?: Wanted | undefined;
  /** Takes a JPEG that is cut short for what is there of it, gray where nothing is. */
  readonly truncated?: boolean | undefined;
}

/**
 * Decodes one image.
 *
 * @param name what to call it in an error
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
  const { pixels } = await decodePicture(bytes, runtime, name, { maxPixels, turn });
  return pixels;
}

/**
 * Decodes one image, or the view of it that is wanted.
 *
 * @param name what to call it in an error
 * @throws as `decodeImage`
 */
export async function decodePicture(
  bytes: Uint8Array,
  runtime: Decoders,
  name: string,
  { maxPixels = PIXEL_LIMIT, maxDecodeBytes = runtime.maxDecodeBytes, turn, wanted, truncated = false }: DecodeOptions,
): Promise<Picture> {
  const kind = kindOf(bytes);
  if ("other" in kind) throw new ImageError(kind.code, expectedGot(name, READABLE, kind.other, "convert it to JPEG"));
  const { codec } = kind;
  const own = turn ?? new Turn();
  try {
    const header = checkedHeader(codec, bytes, name, maxPixels, truncated && codec === "JPEG");
    if ((codec === "HEIC" || codec === "AVIF") && runtime.transcodeHeif !== undefined) {
      // Nobody decodes these bit for bit alike, so that there is no exact picture to keep.
      const scale = wanted === undefined ? 8 : scaleFor(header, { ...wanted, decode: "fast" });
      const made = await runtime.transcodeHeif(codec, bytes, scaled(header, scale));
      const options = { maxPixels, maxDecodeBytes, turn: own, wanted };
      if (made[0] !== 0xff) throw new Fault("malformed", "one that was not made a JPEG");
      return await decodePicture(made, runtime, name, options);
    }
    const orientation = orientationOf(header.exif);
    const size = turned(header, orientation);
    const job = codec === "JPEG" && wanted !== undefined ? viewJob(header, orientation, wanted) : undefined;
    const memory = decodingBytes(codec, header, job);
    checkMemory(codec, header, name, memory, maxDecodeBytes);
    await own.take(memory, runtime.imageBytes);
    if (job?.isResized === true) {
      const module = await runtime.module("jpeg");
      const pixels = decodeResized(module, bytes, job.scale, job.plan, wanted?.gray === true);
      own.keep(pixels.data.byteLength);
      return { size, pixels, view: wholeView(pixels) };
    }
    const pixels =
      codec === "JPEG"
        ? decodeJpeg(await runtime.module("jpeg"), bytes, job?.scale)
        : await decodeAs(codec, header, bytes, runtime);
    const { width, height } = scaled(header, job?.scale ?? 8);
    if (pixels.width !== width || pixels.height !== height) {
      throw new Fault("malformed", `one of ${pixels.width}×${pixels.height} pixels where its header says otherwise`);
    }
    const shown = upright(pixels, orientation);
    if (shown.data.buffer !== pixels.data.buffer) release(pixels.data);
    own.keep(shown.data.byteLength);
    return { size, pixels: shown, view: undefined };
  } catch (cause) {
    throw cause instanceof ImageError ? cause : undecodable(codec, name, cause);
  } finally {
    if (turn === undefined) own.release();
  }
}

/** How a JPEG is decoded for a view of it. */
interface ViewJob {
  readonly scale: Scale;
  /** Whether its rows go into the resize, and no picture is kept. */
  readonly isResized: boolean;
  plan(): ResizePlan;
}

/** The size at which stored pixels are shown. */
function turned({ width, height }: Size, orientation: Orientation): Size {
  return orientation > 4 ? { width: height, height: width } : { width, height };
}

function viewJob(header: Header, orientation: Orientation, wanted: Wanted): ViewJob {
  const scale = scaleFor(turned(header, orientation), wanted);
  const size = turned(scaled(header, scale), orientation);
  const view = wanted.view(size);
  return { scale, isResized: isReduced(size, view), plan: () => planResize(size, view, wanted.filter, orientation) };
}

/**
 * Bytes that decoders take for each pixel, their results among them; upright pixels are a copy, and what is inflated of a PNG waits for
 * the garbage collector.
 */
const BYTES_PER_PIXEL: Readonly<Record<Codec, number>> = { JPEG: 8, PNG: 8, WebP: 12, GIF: 5, HEIC: 12, AVIF: 12 };
/** What a JPEG takes for each pixel of a row: the rows of samples, and sums of a resize. */
const ROW_BYTES = 200;
/** The same of one of several scans: coefficients of a row of MCUs, of 32 rows at most, for three components or four. */
const [COEFFICIENT_BYTES, CMYK_COEFFICIENT_BYTES] = [192, 256];
/** What each of these scans takes: a window of its codes, and its tables. */
const SCAN_BYTES = 26_000;

function decodingBytes(codec: Codec, { width, height, cmyk, scans = 0 }: Header, job: ViewJob | undefined): number {
  const coefficients = scans === 0 ? 0 : (cmyk === true ? CMYK_COEFFICIENT_BYTES : COEFFICIENT_BYTES) * width;
  const picture = job?.isResized === true ? ROW_BYTES * width : BYTES_PER_PIXEL[codec] * width * height;
  return picture + coefficients + SCAN_BYTES * scans;
}

/** Throws ImageError "too-large" for an image that takes more memory than it may. */
function checkMemory(codec: Codec, { width, height }: Header, name: string, bytes: number, limit = Infinity): void {
  if (bytes <= limit) return;
  const mb = (value: number): string => `${Number((value / 1e6).toFixed(1))} MB`;
  const got = `${mb(bytes)} for ${named(codec)} of ${width}×${height}`;
  const hint =
    codec === "JPEG"
      ? "make it smaller, or raise maxDecodeBytes"
      : "convert it to JPEG, which is decoded row by row, make it smaller, or raise maxDecodeBytes";
  throw new ImageError("too-large", expectedGot(name, `at most ${mb(limit)} of memory to decode it`, got, hint));
}

/** What the headers say, when it is within the budget. */
function checkedHeader(codec: Codec, bytes: Uint8Array, name: string, limit: number, mayBeCut: boolean): Header {
  const refuse = (code: ImageErrorCode, expected: string, got: string): never => {
    throw new ImageError(code, expectedGot(name, expected, got));
  };
  const header = HEADERS[codec](bytes);
  if (header === undefined) return refuse("malformed", `${named(codec)} with its header`, "a broken one");
  const { width, height, complete, passed = 0 } = header;
  if (width * height > limit) refuse("too-large", `at most ${limit / 1e6} megapixels`, `${width}×${height}`);
  if (Math.max(width, height) > SIDE_LIMIT) {
    refuse("too-large", `sides of at most ${SIDE_LIMIT} pixels`, `${width}×${height}`);
  }
  if (width === 0 || height === 0) refuse("malformed", "at least one pixel", `${width}×${height}`);
  if (!complete && !mayBeCut) refuse("truncated", `a complete ${codec}`, "one that is cut short");
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

async function decodeAs(
  codec: Exclude<Codec, "JPEG">,
  header: Header,
  bytes: Uint8Array,
  runtime: Decoders,
): Promise<Pixels> {
  switch (codec) {
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
