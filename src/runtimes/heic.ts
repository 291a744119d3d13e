/**
 * HEIC by libheif and libde265: the package libheif-js, WebAssembly in one file of 2 MB. It is under the LGPL, so it is not bundled: it is
 * imported when the first HEIC is met, from where it was installed.
 */
import { Fault } from "../decode/fault.ts";
import type { Pixels } from "../image.ts";

/** What is used of it (libheif 1.23). Where a call fails, an object with a `code` and a `message` takes the result's place. */
interface LibHeif {
  readonly ready: Promise<unknown>;
  readonly HEAPU8: Uint8Array;
  readonly heif_colorspace: { readonly heif_colorspace_RGB: object };
  readonly heif_chroma: { readonly heif_chroma_interleaved_RGBA: object };
  heif_context_alloc(): object;
  heif_context_free(context: object): void;
  heif_context_read_from_memory(context: object, bytes: Uint8Array): { readonly message: string };
  heif_js_context_get_primary_image_handle(context: object): object | Failure;
  heif_image_handle_release(handle: object): void;
  heif_image_release(image: object): void;
  heif_js_decode_image2(handle: object, colours: object, chroma: object): Decoded | Failure;
}
interface Failure {
  readonly code: object;
  readonly message: string;
}
interface Decoded {
  readonly image: object;
  readonly channels: readonly {
    readonly width: number;
    readonly height: number;
    /** Bytes of a row. */
    readonly stride: number;
    readonly data: Uint8Array;
  }[];
}

/** The file that brings its WebAssembly along. */
export const LIBHEIF = "libheif-js/libheif-wasm/libheif-bundle.mjs";
/** Imports it by its bare name, which a page without a bundler can map to an address. */
export function importLibheif(): Promise<unknown> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ LIBHEIF);
}

/** An instance with more memory is not kept: wasm memory never shrinks. */
const KEPT_BYTES = 64 * 2 ** 20;

let kept: LibHeif | undefined;

/**
 * The primary image of a HEIC, turned as it is shown.
 *
 * @param importLibrary imports `LIBHEIF`
 * @throws Fault "malformed" when it is broken
 */
export async function decodeHeic(bytes: Uint8Array, importLibrary: () => Promise<unknown>): Promise<Pixels> {
  const library = kept ?? ((await importLibrary()) as { default: () => LibHeif }).default();
  await library.ready;
  const checked = <T extends object>(result: T | Failure): T => {
    if ("code" in result) throw new Fault("malformed", `a broken one (libheif: ${result.message})`);
    return result;
  };
  const context = library.heif_context_alloc();
  try {
    const { message } = library.heif_context_read_from_memory(context, bytes);
    if (message !== "Success") throw new Fault("malformed", `a broken one (libheif: ${message})`);
    const handle = checked(library.heif_js_context_get_primary_image_handle(context));
    try {
      const { heif_colorspace, heif_chroma } = library;
      const decoded = library.heif_js_decode_image2(
        handle,
        heif_colorspace.heif_colorspace_RGB,
        heif_chroma.heif_chroma_interleaved_RGBA,
      );
      const { image, channels } = checked(decoded);
      try {
        return packed(channels[0]!);
      } finally {
        library.heif_image_release(image);
      }
    } finally {
      library.heif_image_handle_release(handle);
    }
  } finally {
    library.heif_context_free(context);
    kept = library.HEAPU8.byteLength <= KEPT_BYTES ? library : undefined;
  }
}

/** Rows side by side, in memory of their own. */
function packed({ width, height, stride, data }: Decoded["channels"][number]): Pixels {
  const row = 4 * width;
  const out = new Uint8Array(row * height);
  for (let y = 0; y < height; ++y) out.set(data.subarray(y * stride, y * stride + row), y * row);
  return { width, height, data: out };
}
