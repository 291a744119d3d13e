/** The choice in a Worker: `GET /?site=…` answers with its ratios. Its clock stands still while it computes, so it asks the site. */
import baseline from "../../../wasm/baseline.wasm";
import relaxed from "../../../wasm/relaxed.wasm";
import { measure } from "./measure.ts";

export default {
  async fetch(request: Request): Promise<Response> {
    const site = new URL(request.url).searchParams.get("site")!;
    const bytes = async (path: string): Promise<Uint8Array<ArrayBuffer>> =>
      new Uint8Array(await (await fetch(`${site}/${path}`)).arrayBuffer());
    const text = async (path: string): Promise<string> => (await fetch(`${site}/${path}`)).text();
    const ratios = await measure({
      module: async (name) => (name === "baseline" ? baseline : relaxed),
      clock: async () => Number(await text("clock")),
      bytes,
      isMeasuring: false,
      only: (await text("only")) || undefined,
    });
    return Response.json(ratios);
  },
};
