/** An image in any of the shapes a caller may have it in. */

import { release } from "../bytes.ts";
import { ArgumentTypeError, expectedGot } from "../errors.ts";
import type { Pixels } from "../image.ts";
import type { Runtime } from "../runtime.ts";
import { brief, bytesAt, fromResponse } from "./address.ts";
import { checkBytes, collect, gather } from "./bytes.ts";
import { type Drawable, drawnPixels, isDrawable } from "./drawable.ts";
import { type DecodeOptions, decodePicture, PIXEL_LIMIT } from "./image.ts";
import { type RawPixels, rawPixels, typeName } from "./raw.ts";
import { Turn } from "./turn.ts";
import type { Picture } from "./wanted.ts";

/**
 * An image as a caller may have it: a path where the runtime has files, a URL (`https:`, `http:`, `file:`, `data:`, `blob:`),
 * an encoded file as bytes, a Blob, a response or a stream; pixels; or what the platform draws: elements of a page, canvases,
 * bitmaps, video frames.
 */
export type ImageInput =
  | string
  | URL
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | Response
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | RawPixels
  | Drawable;

/**
 * The pixels of an image.
 *
 * @param maxPixels a limit below `PIXEL_LIMIT` for encoded images
 * @throws ArgumentTypeError for something that is no image; OptionError for pixels whose size and length disagree; ImageError
 * for an image that is not there, is above a limit or cannot be decoded
 */
export async function toPixels(image: ImageInput, runtime: Runtime, maxPixels = PIXEL_LIMIT): Promise<Pixels> {
  const { pixels } = await toPicture(image, runtime, { maxPixels });
  return pixels;
}

/** The pixels of an image, or of the view of it that is wanted. Throws as `toPixels`. */
async function toPicture(image: ImageInput, runtime: Runtime, options: DecodeOptions): Promise<Picture> {
  if (isRaw(image)) return { pixels: rawPixels(image), view: undefined };
  if (isDrawable(image)) {
    return { pixels: await drawnPixels(image, options.maxPixels ?? PIXEL_LIMIT), view: undefined };
  }
  const address = typeof image === "string" ? image : image instanceof URL ? image.href : undefined;
  const name = address === undefined ? "image" : brief(address);
  const bytes = address === undefined ? await bytesOf(image) : await bytesAt(address, runtime);
  return decodePicture(bytes, runtime, name, options);
}

/**
 * Does `work` with the pixels of an image, or of the view that is wanted of it, whose memory counts against the limit until it is
 * done. Afterwards the memory goes, unless the pixels are the caller's.
 *
 * @throws as `toPixels`
 */
export async function withPicture<T>(
  image: ImageInput,
  runtime: Runtime,
  options: Omit<DecodeOptions, "turn">,
  work: (picture: Picture) => Promise<T>,
): Promise<T> {
  const turn = new Turn();
  try {
    const picture = await toPicture(image, runtime, { ...options, turn });
    const result = await work(picture);
    if (!isRaw(image)) release(picture.pixels.data);
    return result;
  } finally {
    turn.release();
  }
}

/** Whether an image is pixels already, so that nothing is decoded. */
function isRaw(image: ImageInput): image is RawPixels {
  return typeof image === "object" && image !== null && "data" in image && "width" in image && "height" in image;
}

/** The bytes of an encoded image. */
async function bytesOf(image: unknown): Promise<Uint8Array> {
  if (image instanceof ArrayBuffer) return new Uint8Array(image);
  if (ArrayBuffer.isView(image)) return new Uint8Array(image.buffer as ArrayBuffer, image.byteOffset, image.byteLength);
  if (image instanceof Blob) {
    checkBytes("image", image.size);
    return new Uint8Array(await image.arrayBuffer());
  }
  if (image instanceof Response) return fromResponse(image, brief(image.url || "image"));
  if (image instanceof ReadableStream) return gather(image, "image");
  if (typeof image === "object" && image !== null && Symbol.asyncIterator in image) {
    return collect(image as AsyncIterable<Uint8Array>, "image");
  }
  const expected = "a path, a URL, an encoded image, or { width, height, data }";
  throw new ArgumentTypeError("image", expectedGot("image", expected, typeName(image)));
}
