/**
 * One model in a process of its own, whose V8 packs vectors or does not: a step each in turn with PyTorch's process, the
 * order reversed from round to round.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { expectedGot } from "../../src/errors.ts";
import type { Build } from "../../src/kernels.ts";
import { uniform } from "../../src/models/random.ts";
import { defaultSize, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { initialise } from "../../src/train/initialise.ts";
import { trainWith } from "../../src/train/trainer.ts";
import type { Vectors } from "../../src/variants.ts";
import { measureVectors } from "../../src/vectors.ts";
import { answer, useVectors } from "../versus/child.ts";
import { Unavailable } from "../versus/engines/unavailable.ts";

export interface StepsJob {
  readonly model: string;
  readonly batch: number;
  readonly threads: number;
  readonly vectors: Vectors;
  readonly build: Build | "auto";
  readonly python: string;
  readonly rounds: number;
}

/** One engine's steps, in the order measured. */
export interface Steps {
  readonly engine: string;
  readonly ms: readonly number[];
}

/** One who trains. */
interface Engine {
  readonly name: string;
  /** Milliseconds of one step. */
  step(): Promise<number>;
  end(): Promise<void>;
}

await answer(async (job: StepsJob): Promise<readonly Steps[]> => {
  useVectors(job.vectors);
  const rival = await torch(job);
  if (rival === undefined) process.stderr.write(`bench train: ${job.python} has no torch: nothing to compare with\n`);
  const engines = [await ours(job), ...(rival === undefined ? [] : [rival])];
  const times = engines.map((): number[] => []);
  for (let round = 0; round <= job.rounds; ++round) {
    const order = [...engines.keys()];
    for (const i of round % 2 === 0 ? order : order.reverse()) {
      const ms = await engines[i]!.step();
      // The first round compiles.
      if (round > 0) times[i]!.push(ms);
    }
  }
  for (const engine of engines) await engine.end();
  return engines.map(({ name }, i) => ({ engine: name, ms: times[i]! }));
});

async function ours({ model, batch, threads, vectors, build }: StepsJob): Promise<Engine> {
  const spec = resnetSpec(model);
  const graph = resnet(model, spec);
  const network = { source: model, graph, checkpoint: initialise(graph, 1) };
  const trainer = await trainWith(nodeRuntime(), network, { batch, threads, build, learningRate: 0.01 });
  const measured = await measureVectors(nodeRuntime(), trainer.build);
  if (measured.vectors !== vectors) {
    const got = `${measured.vectors} by its own measurement`;
    throw new Unavailable(expectedGot("ours", `vectors of ${vectors} bits`, got));
  }
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
async function torch({ python, model, batch, threads }: StepsJob): Promise<Engine | undefined> {
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
