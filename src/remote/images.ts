/** Images on their way from a page to its worker: what a page alone can read becomes what can be posted, without decoding. */
import { drawnPixels, isDrawable } from "../decode/drawable.ts";
import type { ImageInput } from "../decode/input.ts";
import { isRaw } from "../decode/raw.ts";

/** An image as it is posted, and what of it moves. */
export interface PostedImage {
  readonly image: unknown;
  readonly transfer: Transferable[];
}

/** A response: its body, and what errors say of it. */
interface PostedResponse {
  readonly kind: "response";
  /** Absent where the server gave none. */
  readonly body: Blob | undefined;
  readonly status: number;
  readonly url: string;
}

/** `HTMLMediaElement.HAVE_CURRENT_DATA`. */
const HAS_FRAME = 2;

/**
 * What to post of an image. A canvas or a video is read before it returns.
 *
 * @throws as `fetchPhoto` for what cannot be read
 */
export async function postImage(image: ImageInput, maxPixels?: number): Promise<PostedImage> {
  if (image instanceof URL) return { image: image.href, transfer: [] };
  if (typeof image === "string" || image instanceof Blob) return { image, transfer: [] };
  if (isDrawable(image)) return postDrawable(image, maxPixels);
  if (isRaw(image)) {
    const data = copyOf(image.data);
    const posted = "info" in image ? { info: image.info } : { width: image.width, height: image.height };
    return { image: { ...posted, data }, transfer: data === image.data ? [] : [data.buffer] };
  }
  if (image instanceof ArrayBuffer) return { image, transfer: [] };
  // A view alone: posted as it is, it would take all that is behind it along.
  if (ArrayBuffer.isView(image)) {
    const copy = new Uint8Array(image.buffer, image.byteOffset, image.byteLength).slice();
    return { image: copy, transfer: [copy.buffer] };
  }
  if (image instanceof Response) {
    const { ok, status, url } = image;
    const body = ok ? await image.blob() : undefined;
    return { image: { kind: "response", body, status, url } satisfies PostedResponse, transfer: [] };
  }
  // Streams, and what is no image, which throws here.
  const { fetchOther } = await import("../decode/fetch.ts");
  const { encoded } = await fetchOther(image, undefined as never);
  return { image: encoded, transfer: [encoded.buffer as ArrayBuffer] };
}

/** The pixels of what the platform draws, read here: where it cannot be posted, and to say why. */
export async function postPixels(image: ImageInput, maxPixels?: number): Promise<PostedImage> {
  const { width, height, data } = await drawnPixels(image as never, maxPixels ?? Number.POSITIVE_INFINITY);
  return { image: { width, height, data }, transfer: [data.buffer as ArrayBuffer] };
}

async function postDrawable(image: ImageInput, maxPixels: number | undefined): Promise<PostedImage> {
  const tag = Object.prototype.toString.call(image).slice(8, -1);
  if (tag === "ImageData") return { image, transfer: [] };
  const isFrameless = tag === "HTMLVideoElement" && (image as HTMLVideoElement).readyState < HAS_FRAME;
  try {
    // Nothing is awaited before a canvas or a video is read.
    if (isFrameless) return await postPixels(image, maxPixels);
    if (tag === "VideoFrame") {
      const frame = (image as VideoFrame).clone();
      return { image: frame, transfer: [frame] };
    }
    const isElement = tag === "HTMLImageElement" || tag === "SVGImageElement";
    const drawn = isElement ? await loadedElement(image as HTMLImageElement) : (image as ImageBitmap);
    const bitmap = await createImageBitmap(drawn);
    return { image: bitmap, transfer: [bitmap] };
  } catch {
    return postPixels(image, maxPixels);
  }
}

async function loadedElement(element: HTMLImageElement): Promise<HTMLImageElement> {
  const { loaded } = await import("../decode/element.ts");
  return loaded(element);
}

/** The same numbers in memory of their own; what is no array of numbers as it is, to be refused. */
function copyOf<T>(data: T): T & { readonly buffer: ArrayBuffer } {
  const isNumbers = ArrayBuffer.isView(data) && "slice" in data;
  return (isNumbers ? (data as unknown as Uint8Array).slice() : data) as T & { readonly buffer: ArrayBuffer };
}

/** An image as it was posted. */
export function openImage(image: unknown): ImageInput {
  const { kind, body, status, url } = (image ?? {}) as Partial<PostedResponse>;
  if (kind !== "response") return image as ImageInput;
  const response = body === undefined ? new Response(null, { status: Math.max(status!, 400) }) : new Response(body);
  return Object.defineProperty(response, "url", { value: url });
}

/** Lets an image go that was posted. */
export function closeImage(image: unknown): void {
  if (typeof image === "object" && image !== null && "close" in image) (image as ImageBitmap).close();
}
