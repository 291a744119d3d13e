/** HEIC and AVIF in browsers: by the browser itself where it can, which is AVIF everywhere and HEIC in Safari; else HEIC by libheif. */
import { drawnPixels } from "../decode/drawable.ts";
import { Fault } from "../decode/fault.ts";
import type { HeifCodec } from "../decode/kind.ts";
import type { Pixels } from "../image.ts";
import type { HeifSize } from "../runtime.ts";
import { decodeHeic, LIBHEIF } from "./heic.ts";
import { givenLibheif } from "./init.ts";

/** See `Runtime.decodeHeif`. */
export async function decodeHeif(codec: HeifCodec, bytes: Uint8Array, header: HeifSize): Promise<Pixels> {
  const file = new Blob([bytes as Uint8Array<ArrayBuffer>], { type: `image/${codec.toLowerCase()}` });
  const bitmap = await createImageBitmap(file).catch(() => undefined);
  if (bitmap === undefined) {
    if (codec === "HEIC") return decodeHeic(bytes, libheif);
    throw new Fault("malformed", "one that this browser cannot decode");
  }
  try {
    return await drawnPixels(bitmap, header.width * header.height);
  } finally {
    bitmap.close();
  }
}

/** The library as the caller imports it, or by its bare name, which a page without a bundler can map to an address. */
async function libheif(): Promise<unknown> {
  try {
    return await (givenLibheif() ?? import(/* webpackIgnore: true */ /* @vite-ignore */ LIBHEIF));
  } catch (cause) {
    const hint = `give init({ libheif: () => import("${LIBHEIF}") }), or convert it to JPEG`;
    throw Object.assign(new Fault("unsupported", `one that this browser cannot decode by itself; ${hint}`), { cause });
  }
}
