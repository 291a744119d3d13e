/** The contract in a page: leaves its outcomes in the title's place, where every driver can read them. */
import type * as Library from "../../src/runtimes/browser.ts";
import { type Expected, type Package, runContract } from "./contract.ts";

async function run(): Promise<string> {
  const entry = "/dist/runtimes/browser.js";
  const libheif = "/libheif.mjs";
  const library = (await import(entry)) as Package & Pick<typeof Library, "init">;
  // In every browser, also in those that could decode HEIC by themselves and do not ask for it.
  library.init({ libheif: () => import(libheif) });
  const bytesOf = async (name: string): Promise<Uint8Array> =>
    new Uint8Array(await (await fetch(`/${name}`)).arrayBuffer());
  const given = {
    ...{ f32: await bytesOf("f32"), int8: await bytesOf("int8"), photo: await bytesOf("photo") },
    ...{ torch: await bytesOf("torch"), onnx: await bytesOf("onnx") },
    ...{ stalled: "/stalled.safetensors", streams: false },
    ...(typeof SharedArrayBuffer === "undefined"
      ? { oneThread: crossOriginIsolated ? "no SharedArrayBuffer in this engine" : "the page is not isolated" }
      : {}),
  };
  const expected = (await (await fetch("/expected.json")).json()) as Expected;
  return JSON.stringify(await runContract(library, given, expected));
}

run()
  .catch((error) => JSON.stringify([{ name: "page", failed: `${error?.message} ${error?.stack}` }]))
  .then((outcomes) => {
    document.body.textContent = outcomes;
    document.title = "done";
  });
