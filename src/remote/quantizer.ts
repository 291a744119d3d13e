/** What a page's worker for quantizing does. */
import { quantizeWith } from "../quantizer.ts";
import type { Runtime } from "../runtime.ts";
import { openImage } from "./images.ts";
import { openModel, type PostedModel } from "./models.ts";
import { openOptions, type PostedOptions } from "./options.ts";
import { type Handler, Moved, type Peer } from "./peer.ts";

/** The handler of `quantize`. `page` is the other end: it has the images, and hears of events. */
export function serveQuantizing(runtime: Runtime, page: () => Peer): Readonly<Record<string, Handler>> {
  return {
    async quantize([posted, given], signal) {
      const images = (async function* () {
        for (let index = 0; ; ++index) {
          const asked = (await page().call("image", ["train", index])) as { readonly image: unknown } | undefined;
          if (asked === undefined) return;
          yield openImage(asked.image);
        }
      })();
      const options = openOptions(page, given as PostedOptions, signal);
      const result = await quantizeWith(runtime, openModel(posted as PostedModel), images, options);
      return new Moved(result, [result.bytes.buffer]);
    },
  };
}
