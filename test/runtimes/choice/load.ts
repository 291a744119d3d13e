/**
 * What one process chooses: `load.js SITE ENTRY LOADS`, prints what `inspect` announces, for f32 and int8, and fails where a load then
 * uses something else.
 */
import process from "node:process";
import type * as Library from "../../../src/runtimes/node.ts";

const [site, entry, loads] = process.argv.slice(2) as [string, string, string];
const { inspect, load } = (await import(entry)) as typeof Library;
/** Of wasm memory, in bytes. */
const PAGE = 65536;
const seen: string[] = [];
for (const name of ["f32", "int8"]) {
  const bytes = new Uint8Array(await (await fetch(`${site}/${name}`)).arrayBuffer());
  const { build, vectors, layers, memoryBytes, input } = await inspect(bytes);
  const image = { data: new Float32Array(input.reduce((a, b) => a * b, 1)), shape: [1, ...input] as const };
  const algorithms = layers.map(({ algorithm }) => algorithm ?? "").join();
  seen.push([name, build, vectors, memoryBytes, algorithms].join(" "));
  for (let i = 0; i < Number(loads); ++i) {
    const model = await load(bytes);
    await model.logits(image);
    const loaded = JSON.stringify([model.build, model.vectors, model.memoryBytes]);
    const announced = JSON.stringify([build, vectors, PAGE * Math.ceil(memoryBytes / PAGE)]);
    if (loaded !== announced) throw new Error(`load ${i}: expected ${announced}, as inspect says, got ${loaded}`);
    await model.dispose();
  }
}
process.stdout.write(`result ${JSON.stringify(seen)}\n`);
process.exit(0);
