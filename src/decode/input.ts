/** An image in any of the shapes a caller may have it in, and what is fetched of it. */

import type { Pixels } from "../image.ts";
import type { Runtime } from "../runtime.ts";
import { PIXEL_LIMIT } from "./bytes.ts";
import type { Drawable } from "./drawable.ts";
import { isRaw, type RawPixels, rawPixels, type SharpPixels } from "./raw.ts";

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
  const { fetchOther } = await import("./fetch.ts");
  return fetchOther(image, runtime, signal);
}
