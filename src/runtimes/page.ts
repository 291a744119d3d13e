/** Pages whose modules and workers are files beside the script. */

import { expectedGot, ModelError } from "../errors.ts";
import type { Format } from "../formats/open.ts";
import type { ModuleName, Runtime, WorkerHandle, WorkerJob } from "../runtime.ts";
import { givenAddresses } from "./init.ts";
import { fetchFile, webRuntime } from "./web.ts";

/** Where each module is. Literal addresses, one by one, because bundlers recognise nothing else. */
const MODULES: Readonly<Record<ModuleName, () => URL>> = {
  baseline: () => new URL("../../wasm/baseline.wasm", import.meta.url),
  relaxed: () => new URL("../../wasm/relaxed.wasm", import.meta.url),
  "baseline.shared": () => new URL("../../wasm/baseline.shared.wasm", import.meta.url),
  "relaxed.shared": () => new URL("../../wasm/relaxed.shared.wasm", import.meta.url),
  jpeg: () => new URL("../../wasm/jpeg.wasm", import.meta.url),
  solve: () => new URL("../../wasm/solve.wasm", import.meta.url),
  webp: () => new URL("../../wasm/webp.wasm.gz", import.meta.url),
};

/** After which a worker that was ended runs no more. */
const ENDING_MS = 500;

/**
 * The environment of a page.
 *
 * @param formats of weights, besides those that need no large reader
 */
export function pageRuntime(formats: readonly Format[] = []): Runtime {
  return webRuntime({ compile: compileHere, startWorker, models, importLibheif, formats });
}

/** A page's worker that starts no others: its file must not lead to itself, which bundlers take for a circle. */
export function workerRuntime(): Runtime {
  const startWorker = (): never => {
    throw new ModelError("runtime", expectedGot("a worker", "a page, which starts workers", "a worker"));
  };
  return webRuntime({ compile: compileHere, startWorker, importLibheif });
}

/** By `String`, because bundlers take a literal address of a folder for all of its files. */
function models(): string | URL {
  return givenAddresses().models ?? new URL("../../models/", String(import.meta.url));
}

function compileHere(name: ModuleName): Promise<WebAssembly.Module> {
  return compile(MODULES[name]());
}

async function importLibheif(): Promise<unknown> {
  const { importLibheif } = await import("./heic.ts");
  return importLibheif();
}

async function compile(url: URL): Promise<WebAssembly.Module> {
  const { name, read, size } = await fetchFile(url.href);
  const sent = await read(0, size);
  const bytes = sent[0] === 0x1f && sent[1] === 0x8b ? await inflated(sent) : sent;
  if (bytes[0] !== 0x00 || bytes[1] !== 0x61) {
    const got = bytes[0] === 0x3c ? "a web page" : "something else";
    throw new ModelError(
      "runtime",
      expectedGot(name, "a WebAssembly module", got, "the server must serve the package's wasm folder"),
    );
  }
  return WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
}

/** A server may have said that a compressed file is compressed: then it comes as it was before. */
async function inflated(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function startWorker(
  onMessage: (message: unknown) => void,
  onExit: (reason: string) => void,
  job: WorkerJob,
): WorkerHandle {
  // Bundlers understand a literal address and nothing else.
  const starts: Readonly<Record<WorkerJob, () => Worker>> = {
    worker: () => new Worker(new URL("./browser-worker.js", import.meta.url), { type: "module" }),
    replica: () => new Worker(new URL("./browser-replica.js", import.meta.url), { type: "module" }),
    preparer: () => new Worker(new URL("./browser-preparer.js", import.meta.url), { type: "module" }),
  };
  const worker = starts[job]();
  worker.addEventListener("message", ({ data }) => onMessage(data));
  worker.addEventListener("error", (event) => onExit(event.message || "an error while it started"));
  return {
    post: (message) => worker.postMessage(message),
    // A page lives as long as its reader wants.
    setBusy() {},
    async terminate() {
      worker.terminate();
      // No event says when it has ended; it may finish the kernel call that it is in, some milliseconds.
      await new Promise((done) => setTimeout(done, ENDING_MS));
    },
  };
}
