/** examples/worker with a binding of Cloudflare Images, which miniflare simulates. */
import { mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleWorker } from "../examples/worker/workerd.ts";
import { root } from "./checks.ts";

// Both are installed among the examples.
const require = createRequire(join(root, "examples/package.json"));

export interface ImagesWorker {
  /** Status and text of the answer to a photo. */
  classify(photo: Uint8Array<ArrayBuffer>): Promise<{ readonly status: number; readonly text: string }>;
  stop(): Promise<void>;
}

/** Starts it with these weights. */
export async function startImagesWorker(main: string, weights: Uint8Array<ArrayBuffer>): Promise<ImagesWorker> {
  const { Log, LogLevel, Miniflare } = require("miniflare") as typeof import("miniflare");
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
      const response = await fetch(address, { method: "POST", body: photo });
      return { status: response.status, text: await response.text() };
    },
    stop: () => miniflare.dispose(),
  };
}

interface Sharp {
  resize(width: number, height: number, options: { readonly fit: "fill" }): Sharp;
  avif(options: { readonly quality: number; readonly effort: number }): Sharp;
  toBuffer(): Promise<Buffer<ArrayBuffer>>;
}

/** A photo as an AVIF of this size. */
export function avifOf(photo: Uint8Array, width: number, height: number): Promise<Buffer<ArrayBuffer>> {
  const sharp = require("sharp") as (bytes: Uint8Array) => Sharp;
  return sharp(photo).resize(width, height, { fit: "fill" }).avif({ quality: 70, effort: 0 }).toBuffer();
}
