/** The pixels of an image, for as long as somebody works with them. */
import { release } from "../bytes.ts";
import type { Pixels } from "../image.ts";
import type { Runtime } from "../runtime.ts";
import { PIXEL_LIMIT } from "./bytes.ts";
import { type DecodeOptions, type Decoders, decodePicture } from "./image.ts";
import { fetchPhoto, type ImageInput, type Photo } from "./input.ts";
import { Turn } from "./turn.ts";
import type { Picture } from "./wanted.ts";

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
