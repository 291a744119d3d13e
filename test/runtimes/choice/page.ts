/** The choice in a page: leaves its ratios in the page, where every driver can read them. */
import { measure } from "./measure.ts";

const bytes = async (path: string): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await (await fetch(`/${path}`)).arrayBuffer());

measure({
  module: async (name) => WebAssembly.compile(await bytes(`wasm/${name}.wasm`)),
  clock: async () => performance.now(),
  bytes,
  isMeasuring: true,
  only: (await (await fetch("/only")).text()) || undefined,
})
  .catch((error) => `${error?.message} ${error?.stack}`)
  .then((result) => {
    document.body.textContent = JSON.stringify(result);
    document.title = "done";
  });
