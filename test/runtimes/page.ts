/** The contract in a page: leaves its outcomes in the title's place, where every driver can read them. */
import type * as Library from "../../src/runtimes/browser.ts";
import { type Expected, type Outcome, type Package, runContract } from "./contract.ts";
import { type Place, runInputs } from "./inputs.ts";

async function run(): Promise<string> {
  const entry = "/dist/runtimes/browser.js";
  const libheif = "/libheif.mjs";
  const library = (await import(entry)) as Package & Pick<typeof Library, "init">;
  // In every browser, also in those that could decode HEIC by themselves and do not ask for it.
  library.init({ libheif: () => import(libheif) });
  const bytesOf = async (name: string): Promise<Uint8Array<ArrayBuffer>> =>
    new Uint8Array(await (await fetch(`/${name}`)).arrayBuffer());
  const given = {
    ...{ f32: await bytesOf("f32"), int8: await bytesOf("int8"), photo: await bytesOf("photo") },
    ...{ torch: await bytesOf("torch"), onnx: await bytesOf("onnx") },
    ...{ stalled: "/stalled.safetensors", streams: false, path: "photo.jpg" },
    ...(typeof SharedArrayBuffer === "undefined"
      ? { oneThread: crossOriginIsolated ? "no SharedArrayBuffer in this engine" : "the page is not isolated" }
      : {}),
  };
  const expected = (await (await fetch("/expected.json")).json()) as Expected;
  const place = {
    ...{ model: given.int8, photo: given.photo, best: expected.best },
    // Pages of another host are of another origin, on the same server.
    ...{ url: `${location.origin}/photo.jpg`, foreign: `http://localhost:${location.port}/photo.jpg` },
  };
  return JSON.stringify([
    ...(await runContract(library, given, expected)),
    ...(await runInputs(library, { ...place, name: "images of a page" })),
    ...(await inWorker({ ...place, name: "images of a worker" })),
  ]);
}

function inWorker(place: Place): Promise<readonly Outcome[]> {
  const worker = new Worker("/inputs.js", { type: "module" });
  return new Promise<readonly Outcome[]>((done, failed) => {
    worker.addEventListener("message", ({ data }) => done(data));
    worker.addEventListener("error", ({ message }) => failed(new Error(`worker: ${message}`)));
    worker.postMessage(place);
  }).finally(() => worker.terminate());
}

run()
  .catch((error) => JSON.stringify([{ name: "page", failed: `${error?.message} ${error?.stack}` }]))
  .then((outcomes) => {
    document.body.textContent = outcomes;
    document.title = "done";
  });
