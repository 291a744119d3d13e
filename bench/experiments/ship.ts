/**
 * `npm run ship [-- --from DIR]`: makes `models/` of what `npm run experiments -- cifar10` has trained: f16 and int8 files, their card,
 * and `src/models/shipped.ts`.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { interruptible } from "../../src/cli/interrupt.ts";
import { cifarImages } from "./cifar.ts";
import { GOAL, type Origin, ship } from "./shipping.ts";

const { values } = parseArgs({ options: { from: { type: "string", default: join(import.meta.dirname, "cifar10") } } });
const root = join(import.meta.dirname, "../..");
const origin = JSON.parse(await readFile(join(values.from, "result.json"), "utf8")) as Origin;
const run = { signal: interruptible() };
const made = await ship(run, {
  ...{ name: "resnet20-cifar10", origin, goal: GOAL },
  weights: new Uint8Array(await readFile(join(values.from, `work/${origin.arch}-seed${origin.seed}.safetensors`))),
  ...{ calibration: await cifarImages(run, "train", 1000), test: await cifarImages(run, "test") },
  ...{ models: join(root, "models"), table: join(root, "src/models/shipped.ts") },
});
for (const { file, bytes, top1 } of made) process.stdout.write(`${file}: ${bytes.length} bytes, ${100 * top1} %\n`);
