/** The environment of a page's worker that computes: threads of its own, and the page's decoder for what it cannot decode. */
import { Fault } from "../decode/fault.ts";
import type { ImageErrorCode } from "../errors.ts";
import type { Peer } from "../remote/peer.ts";
import type { RgbaPixels, Runtime } from "../runtime.ts";
import { pageRuntime } from "./page.ts";
import { heifDecoder } from "./web-heif.ts";

/** What a page's decoder found wrong: a `Fault` as it is posted. */
export interface PostedFault {
  readonly fault: ImageErrorCode;
  readonly got: string;
}

export function computingRuntime(page: () => Peer): Runtime {
  const own = heifDecoder();
  return {
    ...pageRuntime(),
    async decodeHeif(codec, bytes, header) {
      try {
        return await own(codec, bytes, header);
      } catch (error) {
        if (!(error instanceof Fault && error.code === "unsupported")) throw error;
        // A function that imports a decoder cannot be posted.
        const decoded = (await page().call("decodeHeif", [codec, bytes, header])) as RgbaPixels | PostedFault;
        if ("fault" in decoded) throw new Fault(decoded.fault, decoded.got);
        return decoded;
      }
    },
  };
}
