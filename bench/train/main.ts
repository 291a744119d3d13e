/**
 * Training steps of this project against PyTorch's, with the same network, batch and number of threads: a step each in
 * turn, the order reversed from round to round. Everything is trained; batch norms live; SGD with momentum. Packed vectors and
 * others have processes of their own, one after the other.
 */
import { parseArgs } from "node:util";
import { environment } from "../../src/cli/environment.ts";
import { table } from "../../src/cli/terminal.ts";
import type { Build } from "../../src/kernels.ts";
import type { Vectors } from "../../src/variants.ts";
import { runChild } from "../versus/child.ts";
import { vectorsOf } from "../versus/options.ts";
import type { Steps, StepsJob } from "./steps.ts";
import { tfjsSteps } from "./tfjs.js";

interface Row {
  readonly engine: string;
  readonly model: string;
  readonly batch: number;
  readonly threads: number;
  readonly vectors: Vectors;
  readonly minMs: number;
  readonly medianMs: number;
  readonly imagesPerSecond: number;
}

/** Batches as people train them. */
const BATCHES: Readonly<Record<string, number>> = { resnet18: 16, resnet20: 128 };
/** What TensorFlow.js computes in plain JavaScript, it computes few images of. */
const TFJS_BATCH = 8;

function rowOf({ engine, ms }: Steps, model: string, batch: number, threads: number, vectors: Vectors): Row {
  const sorted = [...ms].sort((a, b) => a - b);
  const [minMs, medianMs] = [sorted[0]!, sorted[sorted.length >> 1]!];
  return { engine, model, batch, threads, vectors, minMs, medianMs, imagesPerSecond: (1e3 * batch) / minMs };
}

/**
 * `bench train [--models resnet20,resnet18] [--threads 1,2] [--vectors both] [--rounds 9] [--build auto] [--python python3]
 * [--tfjs] [--json]`
 */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string", default: "resnet20,resnet18" },
      threads: { type: "string", default: "1,2" },
      vectors: { type: "string", default: "both" },
      rounds: { type: "string", default: "9" },
      build: { type: "string", default: "auto" },
      python: { type: "string", default: "python3" },
      tfjs: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const rows: Row[] = [];
  const { python } = values;
  const [build, rounds] = [values.build as Build | "auto", Number(values.rounds)];
  for (const model of values.models.split(",")) {
    const batch = BATCHES[model] ?? 16;
    for (const threads of values.threads.split(",").map(Number)) {
      for (const vectors of vectorsOf(values.vectors)) {
        const job: StepsJob = { model, batch, threads, vectors, build, python, rounds };
        const answer = await runChild<readonly Steps[]>(new URL("steps.ts", import.meta.url), job);
        if ("unavailable" in answer) process.stderr.write(`bench train: left out: ${answer.unavailable}\n`);
        else rows.push(...answer.result.map((steps) => rowOf(steps, model, batch, threads, vectors)));
      }
    }
  }
  if (values.tfjs) {
    const steps = { engine: "TensorFlow.js cpu", ms: await tfjsSteps(TFJS_BATCH, 3) };
    rows.push(rowOf(steps, "resnet20", TFJS_BATCH, 1, 128));
  }
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ ...environment(), rows }, undefined, 2)}\n`);
    return 0;
  }
  const number = (value: number): number => Number(value.toPrecision(4));
  const keys = ["model", "threads", "vectors"] as const;
  const rivalOf = (row: Row): Row | undefined =>
    rows.find((each) => each.engine.startsWith("PyTorch") && keys.every((key) => each[key] === row[key]));
  process.stdout.write(
    `${table([
      ["engine", "model", "batch", "threads", "vectors", "min ms", "median ms", "images/s", "of PyTorch's"],
      ...rows.map((row) => [
        ...[row.engine, row.model, row.batch, row.threads, row.vectors, number(row.minMs), number(row.medianMs)],
        ...[number(row.imagesPerSecond), number(row.imagesPerSecond / (rivalOf(row)?.imagesPerSecond ?? Number.NaN))],
      ]),
    ])}\n`,
  );
  return 0;
}
