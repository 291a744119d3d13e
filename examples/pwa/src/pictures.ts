/** Pictures in the worker: frames made smaller, photos made square to be kept. */
import type { Picture } from "./protocol.ts";

/** Short side of a camera's frame for the network, in pixels: it takes 224 of 256. */
const FRAME_SIDE = 320;
/** Side of a kept photo, in pixels. */
const KEPT_SIDE = 320;

interface Size {
  readonly width: number;
  readonly height: number;
}

function sizeOf(frame: ImageBitmap | VideoFrame): Size {
  if ("displayWidth" in frame) return { width: frame.displayWidth, height: frame.displayHeight };
  return frame;
}

function drawn(
  frame: ImageBitmap | VideoFrame,
  from: readonly [number, number, number, number],
  { width, height }: Size,
): OffscreenCanvas {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  context.drawImage(frame, ...from, 0, 0, width, height);
  return canvas;
}

/** A frame that is no larger than the network needs; a file as it is. Frames are closed. */
export function forNetwork(picture: Picture): Blob | OffscreenCanvas {
  if (picture instanceof Blob) return picture;
  const { width, height } = sizeOf(picture);
  const scale = Math.min(1, FRAME_SIDE / Math.min(width, height));
  const size = { width: Math.round(width * scale), height: Math.round(height * scale) };
  const canvas = drawn(picture, [0, 0, width, height], size);
  picture.close();
  return canvas;
}

/** The square in the middle, as it is kept: what the network sees of a picture. Frames are closed. */
export async function square(picture: Picture): Promise<OffscreenCanvas> {
  const frame = picture instanceof Blob ? await createImageBitmap(picture) : picture;
  const { width, height } = sizeOf(frame);
  const side = Math.min(width, height);
  const canvas = drawn(frame, [(width - side) / 2, (height - side) / 2, side, side], {
    width: KEPT_SIDE,
    height: KEPT_SIDE,
  });
  frame.close();
  return canvas;
}

/** A JPEG of a canvas. */
export function jpegOf(canvas: OffscreenCanvas): Promise<Blob> {
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}
