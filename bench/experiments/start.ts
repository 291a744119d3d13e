/**
 * `npm run experiments -- NAME [--quick] [--seed N] [--threads N] [--out DIR] [--data DIR]`: runs an experiment and writes its
 * tables, plots and `result.json`. The same command goes on after it was ended.
 */
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { interruptible } from "../../src/cli/interrupt.ts";
import { enableWideVectors } from "../../src/runtimes/node.ts";
import { isWideTested } from "../../src/runtimes/node-vectors.ts";
import { perform, type Run, type Summary } from "./run.ts";

interface Experiment {
  run(run: Run): Promise<Summary>;
}

const EXPERIMENTS: Readonly<Record<string, () => Promise<Experiment>>> = {
  cifar10: () => import("./cifar10.ts"),
  degradation: () => import("./degradation.ts"),
  initialisation: () => import("./initialisation.ts"),
  transfer: () => import("./transfer.ts"),
  "cifar10-94": () => import("./cifar10-94.ts"),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
    threads: { type: "string" },
    out: { type: "string" },
    data: { type: "string" },
  },
});
const [name = ""] = positionals;
const [open, seed] = [Object.hasOwn(EXPERIMENTS, name) ? EXPERIMENTS[name] : undefined, Number(values.seed)];
// Short runs do with one, so that a busy machine is not slower by it: threads wait for each other.
const threads = Number(values.threads ?? (values.quick ? 1 : availableParallelism()));
if (open === undefined || positionals.length !== 1 || !Number.isSafeInteger(seed)) {
  const got = positionals.length === 0 ? "nothing" : `${positionals.join(" ")} --seed ${values.seed}`;
  const names = Object.keys(EXPERIMENTS).join(", ");
  process.stderr.write(`experiments: expected one of ${names}, and a whole number as --seed, got ${got}\n`);
  process.exitCode = 2;
} else {
  const { quick, data } = values;
  if (isWideTested()) enableWideVectors();
  // A short run's results are not those of the experiment: they have a folder of their own.
  const out = resolve(values.out ?? join(import.meta.dirname, name, quick ? "quick" : ""));
  const experiment = await open();
  const command = ["npm run experiments --", ...process.argv.slice(2)].join(" ");
  const result = await perform(
    { name, quick, seed, threads, out, data, signal: interruptible() },
    experiment.run,
    command,
  );
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
}
