/** Files of images, wherever they are: at an address, in memory, in a stream. */
import { ArgumentTypeError, expectedGot } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { brief, bytesAt, fromResponse } from "./address.ts";
import { checkBytes, collect, gather } from "./bytes.ts";
import { typeName } from "./raw.ts";

/** `fetchPhoto` of any image but pixels. */
export async function fetchOther(
  image: unknown,
  runtime: Runtime,
  signal?: AbortSignal,
): Promise<{ readonly encoded: Uint8Array; readonly name: string }> {
  const address = typeof image === "string" ? image : image instanceof URL ? image.href : undefined;
  const name = address === undefined ? "image" : brief(address);
  const encoded = address === undefined ? await bytesOf(image) : await bytesAt(address, runtime, signal);
  return { encoded, name };
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
