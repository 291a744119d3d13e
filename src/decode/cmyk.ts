/** JPEGs of four components, CMYK or Adobe's YCCK, which mozjpeg does not turn into RGB; by jpeg-js, slowly. */
import decode from "jpeg-js/lib/decoder.js";
import type { Pixels } from "../image.ts";

/** Decodes one. Throws when it is broken. */
export function decodeCmyk(bytes: Uint8Array, pixels: number): Pixels {
  // Coefficients and samples of four components, and the result.
  const maxMemoryUsageInMB = 64 + Math.ceil((60 * pixels) / 1e6);
  const { width, height, data } = decode(bytes, { useTArray: true, tolerantDecoding: false, maxMemoryUsageInMB });
  return { width, height, data };
}
