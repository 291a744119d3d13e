/** This Worker on this machine with a binding of Cloudflare Images, which miniflare simulates. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Miniflare } from "miniflare";
import { workerOptions } from "./miniflare-options.ts";

export interface ImagesWorker {
  /** Status and text of the answer to a photo. */
  classify(photo: Uint8Array<ArrayBuffer>): Promise<{ readonly status: number; readonly text: string }>;
  stop(): Promise<void>;
}

/** Starts it with these weights. */
export async function startImagesWorker(main: string, weights: Uint8Array<ArrayBuffer>): Promise<ImagesWorker> {
  const folder = mkdtempSync(join(tmpdir(), "resnet-images-"));
  const miniflare = new Miniflare({
    ...(await workerOptions(main, folder)),
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
