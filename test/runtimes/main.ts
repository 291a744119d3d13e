/**
 * `npm run test:runtimes`: the contract in every runtime there is here, and the matrix of what held. With `--require-all` a
 * runtime that is not installed is a failure instead of a skip.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bundled, bundleFolder, columns, runLocally, type Task } from "./columns.ts";
import type { Expected, Outcome } from "./contract.ts";
import { fixtures, root, serve } from "./fixtures.ts";

/** `--only NAME`: one column. */
const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : undefined;
const requireAll = process.argv.includes("--require-all");
const folder = bundleFolder();
const { f32, int8, torch, onnx, photo } = await fixtures();
const local = await bundled(folder.path, "local", "node");
const page = readFileSync(await bundled(folder.path, "page", "browser"), "utf8");
const inputs = readFileSync(await bundled(folder.path, "inputs-worker", "browser"), "utf8");
const entry = join(root, "dist/runtimes/node.js");
/** What all runtimes gave when this was last changed on purpose: `node test/runtimes/main.ts --write`. */
const committed = join(import.meta.dirname, "expected.json");

/** The contract; `expected` is JSON, and a file of it. */
const taskOf = (expected: string, file: string): Task => ({
  local,
  localArguments: (program) => [file, /deno|bun/.test(program) ? entry : `file://${entry}`],
  worker: join(import.meta.dirname, "worker.ts"),
  site: (isolated) => {
    const files = { "/f32": f32, "/int8": int8, "/torch": torch, "/onnx": onnx, "/photo": photo, "/photo.jpg": photo };
    return serve({ ...files, "/inputs.js": inputs, "/expected.json": expected }, page, isolated);
  },
  timeoutMs: 300_000,
});

if (process.argv.includes("--write")) {
  const task = taskOf("{}", "none");
  const site = await task.site(false);
  const outcomes = (await runLocally(task, [process.execPath], site.url)) as readonly Outcome[];
  const seen = new Map(outcomes.map((outcome) => [outcome.name, outcome.seen]));
  const digest = seen.get("int8 digest, baseline");
  const expected = { best: seen.get("classify"), digest, losses: seen.get("fine-tune a head") };
  writeFileSync(committed, `${JSON.stringify(expected, undefined, 2)}\n`);
  site.close();
}
const expected = JSON.stringify(JSON.parse(readFileSync(committed, "utf8")) as Expected);
const expectedFile = join(folder.path, "expected.json");
writeFileSync(expectedFile, expected);

let [passed, failed] = [0, 0];
const results = new Map<string, ReadonlyMap<string, Outcome>>();
const names = new Set<string>();
for (const column of columns(taskOf(expected, expectedFile)).filter(
  ({ name }) => only === undefined || name.startsWith(only),
)) {
  let outcomes: readonly Outcome[];
  if (column.absent !== undefined) {
    process.stdout.write(`${column.name}: ${requireAll ? "FAILED" : "skipped"}, ${column.absent}\n`);
    if (requireAll) failed += 1;
    continue;
  }
  try {
    outcomes = (await column.run()) as readonly Outcome[];
  } catch (error) {
    outcomes = [{ name: "start", failed: `${(error as Error).stack}` }];
  }
  for (const { name, failed: message, skipped } of outcomes) {
    names.add(name);
    if (message !== undefined) {
      failed += 1;
      process.stdout.write(`FAILED ${column.name}: ${name}: ${message.slice(0, 600)}\n`);
    } else if (skipped === undefined) passed += 1;
    else process.stdout.write(`left out in ${column.name}: ${name}: ${skipped}\n`);
  }
  results.set(column.name, new Map(outcomes.map((outcome) => [outcome.name, outcome])));
}
folder.remove();

const mark = (outcome: Outcome | undefined): string => {
  if (outcome === undefined) return "";
  return outcome.failed !== undefined ? "FAILED" : outcome.skipped !== undefined ? "–" : "✓";
};
process.stdout.write(`\n| | ${[...names].join(" | ")} |\n| --- |${" --- |".repeat(names.size)}\n`);
for (const [runtime, outcomes] of results) {
  process.stdout.write(`| ${runtime} | ${[...names].map((name) => mark(outcomes.get(name))).join(" | ")} |\n`);
}
process.stdout.write(`\nchecks: ${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
