/** Encoded images, however they arrive → bytes, within a limit. */
import { ArgumentTypeError, expectedGot, ImageError } from "../errors.ts";

/** Most bytes an encoded image may have: no photo within the limit of pixels needs as many. */
export const BYTE_LIMIT = 512e6;
/**
 * Most pixels an image may claim, 120 megapixels: 480 MB of RGBA, and a little more than the 108 that phones save. Checked before
 * anything is decoded.
 */
export const PIXEL_LIMIT = 120e6;

/** Throws ImageError "too-large" above the limit. */
export function checkBytes(name: string, bytes: number): void {
  if (bytes > BYTE_LIMIT) {
    const got = `${(bytes / 1e6).toFixed(0)} MB`;
    throw new ImageError("too-large", expectedGot(name, `at most ${BYTE_LIMIT / 1e6} MB`, got));
  }
}

/** All of a stream. */
export async function gather(stream: ReadableStream<Uint8Array>, name: string): Promise<Uint8Array> {
  const reader = stream.getReader();
  return collect(
    {
      async *[Symbol.asyncIterator]() {
        for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value!;
      },
    },
    name,
  ).finally(() => reader.cancel().catch(() => {}));
}

/** All chunks of bytes. */
export async function collect(chunks: AsyncIterable<Uint8Array>, name: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    if (!(chunk instanceof Uint8Array)) {
      throw new ArgumentTypeError("image", expectedGot(name, "a stream of bytes", typeof chunk));
    }
    length += chunk.byteLength;
    checkBytes(name, length);
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
