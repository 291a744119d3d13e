/** What a page's worker for opening does: models are found, downloaded, opened and checked, and their tensors read. */
import { type ModelOptions, openModelWith, type Source } from "../model.ts";
import type { Runtime } from "../runtime.ts";
import { isMissed } from "./left-out.ts";
import { openFile, type PostedFile, postModel } from "./models.ts";
import { type Handler, Moved, type Peer } from "./peer.ts";

/** Instead of a model: it is the page's to open, whose readers are not in this worker's file. */
export const ELSEWHERE = "elsewhere";

/** Handlers for models. `page` is the other end, which hears of downloads. */
export function serveModels(runtime: Runtime, page: () => Peer): Readonly<Record<string, Handler>> {
  return {
    async open([id, source, given, isHeard], signal) {
      const onDownload = (progress: unknown): void =>
        void page()
          .call("onDownload", [id, progress])
          .catch(() => {});
      const options = { ...(given as ModelOptions), signal, ...(isHeard === true && { onDownload }) };
      const file = typeof source === "string" ? undefined : openFile(source as PostedFile);
      // Until it is known whose it is, it stays open: the page would read it from its beginning.
      let close = async (): Promise<void> => {};
      const from: Source = file === undefined ? (source as string) : { ...file, close: () => close() };
      try {
        const posted = postModel(await openModelWith(runtime, from, options));
        if (file !== undefined) close = () => file.close();
        return new Moved(posted, [posted.port]);
      } catch (error) {
        if (isMissed(error)) return ELSEWHERE;
        await file?.close();
        throw error;
      }
    },
  };
}
