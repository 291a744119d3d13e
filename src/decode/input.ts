/** An image in any of the shapes a caller may have it in. */

import { release } from "../bytes.ts";
import { ArgumentTypeError, expectedGot } from "../errors.ts";
import type { Pixels } from "../image.ts";
import type { Runtime } from "../runtime.ts";
import { brief, bytesAt, fromResponse } from "./address.ts";
import { checkBytes, collect, gather } from "./bytes.ts";
import type { Drawable } from "./drawable.ts";
import { type DecodeOptions, type Decoders, decodePicture, PIXEL_LIMIT } from "./image.ts";
import { isRaw, type RawPixels, rawPixels, type SharpPixels, typeName } from "./raw.ts";
import { Turn } from "./turn.ts";
import type { Picture } from "./wanted.ts";

/**
 * An image as a caller may have it: a path where the runtime has files, a URL (`https:`, `http:`, `file:`, `data:`, `blob:`),
 * an encoded file as bytes, a Blob, a response or a stream; pixels, sharp's raw output among them; or what the platform draws: elements
 * of a page, canvases, bitmaps, video frames. Canvases and videos are read when the call is made.
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
  | SharpPixels
  | Drawable;

/** An image that has been fetched, as it can be posted to a worker: pixels, or a file that is still encoded. */
export type Photo =
  | {
      readonly pixels: Pixels /** Whether the pixels are the caller's, whose memory is not to be freed. */;
      readonly isOwned: boolean;
    }
  | { readonly encoded: Uint8Array /** What to call it in an error. */; readonly name: string };

/**
 * Fetches an image, without decoding it.
 *
 * @param maxPixels a limit for what the platform draws
 * @param signal ends a download
 * @throws ArgumentTypeError for something that is no image; OptionError for pixels whose size and length disagree; ImageError
 * for an image that is not there or has too many bytes
 */
export async function fetchPhoto(
  image: ImageInput,
  runtime: Runtime,
  maxPixels = PIXEL_LIMIT,
  signal?: AbortSignal,
): Promise<Photo> {
  const drawn = runtime.drawn?.(image, maxPixels);
  if (drawn !== undefined) return { pixels: await drawn, isOwned: false };
  if (isRaw(image)) return { pixels: rawPixels(image), isOwned: true };
  const address = typeof image === "string" ? image : image instanceof URL ? image.href : undefined;
  const name = address === undefined ? "image" : brief(address);
  const encoded = address === undefined ? await bytesOf(image) : await bytesAt(address, runtime, signal);
  return { encoded, name };
}

/**
 * The pixels of an image.
 *
 * @throws as `fetchPhoto`, and ImageError for an image that is above a limit or cannot be decoded
 */
export async function toPixels(image: ImageInput, runtime: Runtime, maxPixels = PIXEL_LIMIT): Promise<Pixels> {
  const { pixels } = await decodePhoto(await fetchPhoto(image, runtime, maxPixels), runtime, { maxPixels });
  return pixels;
}

/** The pixels of a photo, or of the view of it that is wanted. */
async function decodePhoto(photo: Photo, decoders: Decoders, options: DecodeOptions): Promise<Picture> {
  if ("pixels" in photo) return { size: photo.pixels, pixels: photo.pixels, view: undefined };
  return decodePicture(photo.encoded, decoders, photo.name, options);
}

/**
 * Does `work` with the pixels of an image, or of the view that is wanted of it, whose memory counts against the limit until it is
 * done. Afterwards the memory goes, unless the pixels are the caller's.
 *
 * @param maxPixels a limit below `PIXEL_LIMIT` for encoded images
 * @throws as `decodeImage`
 */
export async function withPicture<T>(
  photo: Photo,
  decoders: Decoders,
  options: Omit<DecodeOptions, "turn">,
  work: (picture: Picture) => Promise<T>,
): Promise<T> {
  const turn = new Turn();
  try {
    const picture = await decodePhoto(photo, decoders, { ...options, turn });
    const result = await work(picture);
    if (!("isOwned" in photo && photo.isOwned)) release(picture.pixels.data);
    return result;
  } finally {
    turn.release();
  }
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
