/**
 * Runs this example on this machine: a thousand images in a bucket, their names on a queue, a consumer that classifies them.
 * Without options the images are made here and the network has random weights: it shows the way, not the classes.
 *
 *     node examples/batch/start.ts [--model FILE.safetensors] [--images DIR]
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { png, smallModel } from "../small.ts";
import { startBatch } from "./local.ts";

const { values } = parseArgs({ options: { model: { type: "string" }, images: { type: "string" } } });
const state = mkdtempSync(join(tmpdir(), "resnet-batch-state-"));
const batch = await startBatch(join(import.meta.dirname, "src/index.ts"), state);
try {
  const { bucket } = batch;
  await bucket.put("model.safetensors", values.model === undefined ? await smallModel() : readFileSync(values.model));
  const folder = values.images;
  const names =
    folder === undefined
      ? Array.from({ length: 1000 }, (_, i) => `${String(i).padStart(4, "0")}.png`)
      : readdirSync(folder).filter((name) => /\.(jpe?g|png|webp|gif)$/i.test(name));
  for (const [i, name] of names.entries()) {
    await bucket.put(`images/${name}`, folder === undefined ? png(32, 32, i) : readFileSync(join(folder, name)));
  }
  const began = performance.now();
  await batch.startWalk();
  process.stdout.write(`${(await batch.walked(600)).enqueued} images on the queue\n`);
  for (let done = 0; done < names.length; ) {
    await new Promise((wait) => setTimeout(wait, 500));
    done = (await batch.names("results/")).size + (await batch.names("failed/")).size;
    process.stdout.write(`${done} of ${names.length} done\n`);
  }
  const seconds = (performance.now() - began) / 1000;
  process.stdout.write(
    `${names.length} images in ${seconds.toFixed(1)} s, ${(names.length / seconds).toFixed(0)} a second\n`,
  );
  const first = await bucket.get(`results/${names[0]}`);
  process.stdout.write(`results/${names[0]}: ${(await first?.text())?.slice(0, 200)}\n`);
} finally {
  await batch.stop();
  rmSync(state, { recursive: true, force: true });
}
