/** What every Worker of the examples gives miniflare. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Log, LogLevel } from "miniflare";
import { bundleWorker } from "./workerd.ts";

/** Bundles a Worker's main module into `folder`; the options that run it from there. */
export async function workerOptions(main: string, folder: string) {
  const wasm = await bundleWorker(main, folder);
  const read = (path: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(folder, path)));
  return {
    log: new Log(LogLevel.ERROR),
    modules: [
      { type: "ESModule" as const, path: "main.js", contents: read("main.js") },
      ...wasm.map((path) => ({ type: "CompiledWasm" as const, path, contents: read(path) })),
    ],
    modulesRoot: "/",
    compatibilityDate: "2026-03-01",
  };
}
