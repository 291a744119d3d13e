/**
 * Training steps of this project against PyTorch's, with the same network, batch and number of threads: a step each in
 * turn, the order reversed from round to round. Everything is trained; batch norms live; SGD with momentum.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { environment } from "../../src/cli/environment.ts";
import { table } from "../../src/cli/terminal.ts";
import type { Build } from "../../src/kernels.ts";
import { uniform } from "../../src/models/random.ts";
import { defaultSize, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { initialise } from "../../src/train/initialise.ts";
import { trainWith } from "../../src/train/trainer.ts";
import { tfjsSteps } from "./tfjs.js";

/** One who trains. */
interface Engine {
  readonly name: string;
  /** Milliseconds of one step. */
  step(): Promise<number>;
  end(): Promise<void>;
}

interface Row {
  readonly engine: string;
  readonly model: string;
  readonly batch: number;
  readonly threads: number;
  readonly minMs: number;
  readonly medianMs: number;
  readonly imagesPerSecond: number;
}

/** Batches as people train them. */
const BATCHES: Readonly<Record<string, number>> = { resnet18: 16, resnet20: 128 };
/** What TensorFlow.js computes in plain JavaScript, it computes few images of. */
const TFJS_BATCH = 8;

async function ours(model: string, batch: number, threads: number, build: Build | "auto"): Promise<Engine> {
  const spec = resnetSpec(model);
  const graph = resnet(model, spec);
  const network = { source: model, graph, checkpoint: initialise(graph, 1) };
  const trainer = await trainWith(nodeRuntime(), network, { batch, threads, build, learningRate: 0.01 });
  const next = uniform(1);
  const side = defaultSize(spec);
  const images = Float32Array.from({ length: batch * side * side * 3 }, () => 2 * next() - 1);
  const labels = Int32Array.from({ length: batch }, () => Math.floor(next() * spec.classes));
  return {
    name: `resnet-wasm ${trainer.build}`,
    async step() {
      const start = performance.now();
      await trainer.step(images, labels);
      return performance.now() - start;
    },
    end: () => trainer.dispose(),
  };
}

/** A process of PyTorch's; `undefined` where there is none. */
async function torch(python: string, model: string, batch: number, threads: number): Promise<Engine | undefined> {
  const script = new URL("pytorch.py", import.meta.url).pathname;
  const child: ChildProcess = spawn(python, [script, model, `${batch}`, `${threads}`], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  child.on("error", () => {});
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const { value: version } = await lines.next();
  if (version === undefined) return undefined;
  return {
    name: `PyTorch ${version}`,
    async step() {
      child.stdin!.write("\n");
      return Number((await lines.next()).value);
    },
    async end() {
      child.kill();
    },
  };
}

function rowOf(name: string, model: string, batch: number, threads: number, times: readonly number[]): Row {
  const sorted = [...times].sort((a, b) => a - b);
  const [minMs, medianMs] = [sorted[0]!, sorted[sorted.length >> 1]!];
  return { engine: name, model, batch, threads, minMs, medianMs, imagesPerSecond: (1e3 * batch) / minMs };
}

/** `bench train [--models resnet20,resnet18] [--threads 1,2] [--rounds 9] [--build auto] [--python python3] [--tfjs] [--json]` */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string", default: "resnet20,resnet18" },
      threads: { type: "string", default: "1,2" },
      rounds: { type: "string", default: "9" },
      build: { type: "string", default: "auto" },
      python: { type: "string", default: "python3" },
      tfjs: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const rows: Row[] = [];
  for (const model of values.models.split(",")) {
    const batch = BATCHES[model] ?? 16;
    for (const threads of values.threads.split(",").map(Number)) {
      const rival = await torch(values.python, model, batch, threads);
      if (rival === undefined)
        process.stderr.write(`bench train: ${values.python} has no torch: nothing to compare with\n`);
      const mine = await ours(model, batch, threads, values.build as Build | "auto");
      const engines = [mine, ...(rival === undefined ? [] : [rival])];
      const times = engines.map((): number[] => []);
      for (let round = 0; round <= Number(values.rounds); ++round) {
        const order = [...engines.keys()];
        for (const i of round % 2 === 0 ? order : order.reverse()) {
          const ms = await engines[i]!.step();
          // The first round compiles.
          if (round > 0) times[i]!.push(ms);
        }
      }
      engines.forEach((engine, i) => {
        rows.push(rowOf(engine.name, model, batch, threads, times[i]!));
      });
      for (const engine of engines) await engine.end();
    }
  }
  if (values.tfjs) rows.push(rowOf("TensorFlow.js cpu", "resnet20", TFJS_BATCH, 1, await tfjsSteps(TFJS_BATCH, 3)));
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ ...environment(), rows }, undefined, 2)}\n`);
    return 0;
  }
  const number = (value: number): number => Number(value.toPrecision(4));
  const rivalOf = (row: Row): Row | undefined =>
    rows.find(
      ({ engine, model, threads }) => engine.startsWith("PyTorch") && model === row.model && threads === row.threads,
    );
  process.stdout.write(
    `${table([
      ["engine", "model", "batch", "threads", "min ms", "median ms", "images/s", "of PyTorch's"],
      ...rows.map((row) => [
        ...[row.engine, row.model, row.batch, row.threads, number(row.minMs), number(row.medianMs)],
        ...[number(row.imagesPerSecond), number(row.imagesPerSecond / (rivalOf(row)?.imagesPerSecond ?? Number.NaN))],
      ]),
    ])}\n`,
  );
  return 0;
}
