/** HEIC and AVIF in browsers: by the browser itself where it can, which is AVIF everywhere and HEIC in Safari; else HEIC by libheif. */
import { drawnPixels } from "../decode/drawable.ts";
import { Fault } from "../decode/fault.ts";
import type { Runtime } from "../runtime.ts";
import { decodeHeic, LIBHEIF } from "./heic.ts";
import { givenLibheif } from "./init.ts";

/**
 * `Runtime.decodeHeif` of a page.
 *
 * @param byName imports libheif-js where the page has not said how (`init`); absent where nothing may be imported
 */
export function heifDecoder(byName?: () => Promise<unknown>): NonNullable<Runtime["decodeHeif"]> {
  const library = async (): Promise<unknown> => {
    const hint = `give init a "libheif" that imports ${LIBHEIF}, or convert it to JPEG`;
    const fault = new Fault("unsupported", `one that this browser cannot decode by itself; ${hint}`);
    const importing = givenLibheif() ?? byName?.();
    if (importing === undefined) throw fault;
    return importing.catch((cause) => {
      throw Object.assign(fault, { cause });
    });
  };
  return async (codec, bytes, header) => {
    const file = new Blob([bytes as Uint8Array<ArrayBuffer>], { type: `image/${codec.toLowerCase()}` });
    const bitmap = await createImageBitmap(file).catch(() => undefined);
    if (bitmap === undefined) {
      if (codec === "HEIC") return decodeHeic(bytes, library);
      throw new Fault("malformed", "one that this browser cannot decode");
    }
    try {
      return await drawnPixels(bitmap, header.width * header.height);
    } finally {
      bitmap.close();
    }
  };
}
