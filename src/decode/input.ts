/** An image in any of the shapes a caller may have it in. */

import type { ByteSource } from "../bytes.ts";
import { ArgumentTypeError, expectedGot, ImageError, ModelError } from "../errors.ts";
import type { Pixels } from "../image.ts";
import type { Runtime } from "../runtime.ts";
import { decodeImage } from "./image.ts";

/**
 * An image as a caller may have it: a path or URL where the runtime has files, an encoded file as bytes, a Blob, a response or
 * a stream, or pixels: `{ width, height, data }` with RGBA or RGB bytes, so an `ImageData` too.
 */
export type ImageInput =
  | string
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | Response
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | Pixels;

/** Most bytes an encoded image may have: no photo within the limit of pixels needs as many. */
export const BYTE_LIMIT = 512e6;

/**
 * The pixels of an image.
 *
 * @param maxPixels a limit below `PIXEL_LIMIT` for encoded images
 * @throws ArgumentTypeError for something that is no image; ImageError for an image that is not there, is above a limit or
 * cannot be decoded
 */
export async function toPixels(image: ImageInput, runtime: Runtime, maxPixels?: number): Promise<Pixels> {
  if (typeof image === "string") {
    const file = await openFile(image, runtime);
    try {
      checkBytes(image, file.size);
      return await decodeImage(await file.read(0, file.size), runtime, image, maxPixels);
    } finally {
      await file.close();
    }
  }
  const bytes = await bytesOf(image);
  return bytes === undefined ? withAlpha(image as Pixels) : decodeImage(bytes, runtime, "image", maxPixels);
}

async function openFile(path: string, runtime: Runtime): Promise<ByteSource> {
  try {
    return await runtime.openFile(path);
  } catch (error) {
    // A file that is not there is the image's fault; a runtime without files is not.
    if (!(error instanceof ModelError) || error.code === "runtime") throw error;
    throw new ImageError("not-found", error.message, { cause: error });
  }
}

/** RGB as RGBA; anything else as it is, to be checked where it is used. */
function withAlpha(pixels: Pixels): Pixels {
  const { width, height, data } = pixels ?? {};
  if (data === undefined || data.length !== 3 * width * height) return pixels;
  const out = new Uint8Array(4 * width * height).fill(255);
  for (let p = 0; p < width * height; ++p) {
    for (let i = 0; i < 3; ++i) out[4 * p + i] = data[3 * p + i]!;
  }
  return { width, height, data: out };
}

/** The bytes of an encoded image; `undefined` for what may be pixels. */
async function bytesOf(image: Exclude<ImageInput, string>): Promise<Uint8Array | undefined> {
  if (image instanceof ArrayBuffer) return new Uint8Array(image);
  if (ArrayBuffer.isView(image)) return new Uint8Array(image.buffer as ArrayBuffer, image.byteOffset, image.byteLength);
  if (image instanceof Blob) {
    checkBytes("image", image.size);
    return new Uint8Array(await image.arrayBuffer());
  }
  if (image instanceof Response) {
    if (!image.ok)
      throw new ImageError(
        "not-found",
        expectedGot(image.url || "image", "a response with an image", `status ${image.status}`),
      );
    return image.body === null ? new Uint8Array(0) : gather(image.body);
  }
  if (image instanceof ReadableStream) return gather(image);
  if (typeof image === "object" && image !== null && Symbol.asyncIterator in image) return collect(image);
  return undefined;
}

async function gather(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const reader = stream.getReader();
  return collect({
    async *[Symbol.asyncIterator]() {
      for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value!;
    },
  }).finally(() => reader.cancel().catch(() => {}));
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    if (!(chunk instanceof Uint8Array))
      throw new ArgumentTypeError("image", expectedGot("image", "a stream of bytes", typeof chunk));
    length += chunk.byteLength;
    checkBytes("image", length);
    parts.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

function checkBytes(name: string, bytes: number): void {
  if (bytes > BYTE_LIMIT) {
    throw new ImageError(
      "too-large",
      expectedGot(name, `at most ${BYTE_LIMIT / 1e6} MB`, `${(bytes / 1e6).toFixed(0)} MB`),
    );
  }
}
