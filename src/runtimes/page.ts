/** Pages whose modules and workers are files beside the script. */

import { expectedGot, ModelError } from "../errors.ts";
import type { Format } from "../formats/open.ts";
import type { ModuleName, PageStorage, Runtime, WorkerHandle, WorkerJob } from "../runtime.ts";
import { givenInit } from "./init.ts";
import { webRuntime } from "./web.ts";

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
  return webRuntime({ compile, compileAt, keep, startWorker, importLibheif, formats });
}

/** A page's worker that starts no others: its file must not lead to itself, which bundlers take for a circle. */
export function workerRuntime(): Runtime {
  const startWorker = (): never => {
    throw new ModelError("runtime", expectedGot("a worker", "a page, which starts workers", "a worker"));
  };
  return webRuntime({ compile, compileAt, startWorker, importLibheif });
}

function compile(name: ModuleName): Promise<WebAssembly.Module> {
  return compileAt(name, MODULES[name]().href);
}

async function compileAt(name: ModuleName, url: string): Promise<WebAssembly.Module> {
  const { keptModule } = await import("./web-modules.ts");
  return (await keptModule(name, url)).module;
}

const keep: PageStorage["keep"] = async (names, options) => {
  const { keepModules } = await import("./web-modules.ts");
  return keepModules(names.flatMap(addressOf), options);
};

/** Where a module is, unless it was given whole. */
function addressOf(name: ModuleName): readonly { readonly name: ModuleName; readonly url: string }[] {
  const given = givenInit(name);
  if (given === undefined) return [{ name, url: MODULES[name]().href }];
  return "url" in given ? [{ name, url: `${given.url}` }] : [];
}

async function importLibheif(): Promise<unknown> {
  const { importLibheif } = await import("./heic.ts");
  return importLibheif();
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
