/** This Worker on this machine with a binding of Cloudflare Images, which miniflare simulates. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Log, LogLevel, Miniflare } from "miniflare";
import { bundleWorker } from "./workerd.ts";

export interface ImagesWorker {
  /** Status and text of the answer to a photo. */
  classify(photo: Uint8Array<ArrayBuffer>): Promise<{ readonly status: number; readonly text: string }>;
  stop(): Promise<void>;
}

/** Starts it with these weights. */
export async function startImagesWorker(main: string, weights: Uint8Array<ArrayBuffer>): Promise<ImagesWorker> {
  const folder = mkdtempSync(join(tmpdir(), "resnet-images-"));
  const wasm = await bundleWorker(main, folder);
  const read = (path: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(folder, path)));
  const miniflare = new Miniflare({
    log: new Log(LogLevel.ERROR),
    modules: [
      { type: "ESModule", path: "main.js", contents: read("main.js") },
      ...wasm.map((path) => ({ type: "CompiledWasm" as const, path, contents: read(path) })),
    ],
    modulesRoot: "/",
    compatibilityDate: "2026-03-01",
    images: { binding: "IMAGES" },
    serviceBindings: { ASSETS: () => new Response(weights) },
  });
  const address = `${await miniflare.ready}classify`;
  return {
    async classify(photo) {
      const response = await fetch(address, { method: "POST", body: photo, headers: { connection: "close" } });
      return { status: response.status, text: await response.text() };
    },
    async stop() {
      await miniflare.dispose();
      rmSync(folder, { recursive: true });
    },
  };
}
