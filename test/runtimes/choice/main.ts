/**
 * `node test/runtimes/choice/main.ts`: whether what `auto` takes is within 5 % of the best of all builds and ways, in every engine that
 * is here, for inference in f32 and int8 and for training. Prints a line for each, and README's matrix.
 *
 * `--only NAME` one column, `--task WORD` the tasks with this word, `--require-all` fails for an engine that is not here.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { network, randomPixels, randomWeights } from "../../../bench/versus/network.ts";
import { writeSafetensors } from "../../../src/formats/safetensors.ts";
import { quantize } from "../../../src/runtimes/node.ts";
import { bundled, bundleFolder, type Column, columns, inPackedNode, type Task } from "../columns.ts";
import { serve } from "../fixtures.ts";
import { LIMIT, type Ratio } from "./report.ts";

const { values } = parseArgs({
  options: { only: { type: "string" }, task: { type: "string", default: "" }, "require-all": { type: "boolean" } },
});

/** An int8 network of random weights. */
async function int8Of(arch: string): Promise<Uint8Array> {
  const graph = network(arch);
  const tensors = [...randomWeights(graph)].map(([name, { shape, data }]) => ({
    ...{ name, dtype: "F32" as const, shape, bytes: new Uint8Array(data.buffer) },
  }));
  return (await quantize(writeSafetensors(tensors), randomPixels(graph, 2), { arch })).bytes;
}

const folder = bundleFolder();
const page = readFileSync(await bundled(folder.path, "choice/page", "browser"), "utf8");
const files = {
  "/resnet18": await int8Of("resnet18"),
  "/resnet50": await int8Of("resnet50"),
  "/only": values.task,
};
const task: Task = {
  local: await bundled(folder.path, "choice/local", "node"),
  localArguments: () => (values.task === "" ? [] : [values.task]),
  worker: join(import.meta.dirname, "worker.ts"),
  site: (isolated) => serve(files, page, isolated),
  timeoutMs: 900_000,
};
/** Under QEMU times say nothing; an isolated page computes as a plain one does, whose clock is coarser. */
const isMeasured = ({ name }: Column): boolean => !/^arm64|isolated/.test(name);
const [first, ...rest] = columns(task).filter(isMeasured);

async function ratiosIn(column: Column): Promise<readonly Ratio[]> {
  const result = await column.run();
  if (Array.isArray(result)) return result;
  throw new Error(`expected ratios, got ${JSON.stringify(result)}`);
}

let [passed, failed] = [0, 0];
const rows: string[] = [];
let tasks: readonly string[] = [];
for (const column of [first!, inPackedNode(task), ...rest]) {
  if (values.only !== undefined && !column.name.startsWith(values.only)) continue;
  if (column.absent !== undefined) {
    process.stdout.write(`${column.name}: ${column.absent}\n`);
    if (values["require-all"] === true) failed += 1;
    continue;
  }
  const start = performance.now();
  try {
    const seen = await ratiosIn(column);
    // Who shares the machine may disturb one probe, of a load, for good: a choice that is wrong is wrong in a second process too.
    const again = seen.every(({ ratio }) => ratio <= LIMIT) ? undefined : await ratiosIn(column);
    const ratios =
      again === undefined ? seen : seen.map((each, i) => (again[i]!.ratio < each.ratio ? again[i]! : each));
    if (again !== undefined) process.stdout.write(`       ${column.name}: looked twice\n`);
    for (const { task, ratio, auto, ways, rounds } of ratios) {
      const holds = ratio <= LIMIT;
      if (holds) passed += 1;
      else failed += 1;
      const times = ways.map(({ name, ms }) => `${name} ${ms.toFixed(1)}`).join(", ");
      process.stdout.write(
        `${holds ? "ok    " : "FAILED"} ${column.name}, ${task}: ${ratio.toFixed(3)}, auto is ${auto}; ms in ${rounds} rounds: ${times}\n`,
      );
    }
    tasks = ratios.map(({ task }) => task);
    rows.push(`| ${[column.name, ...ratios.map(({ ratio }) => ratio.toFixed(2))].join(" | ")} |`);
  } catch (error) {
    failed += 1;
    process.stdout.write(`FAILED ${column.name}: ${(error as Error).stack}\n`);
  }
  process.stdout.write(`       ${column.name}: ${((performance.now() - start) / 1000).toFixed(0)} s\n`);
}
folder.remove();
process.stdout.write(
  `\n| auto ÷ best | ${tasks.join(" | ")} |\n| --- |${" --- |".repeat(tasks.length)}\n${rows.join("\n")}\n`,
);
process.stdout.write(`\nchecks: ${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
