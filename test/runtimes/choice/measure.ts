/** How much slower `auto` is than the best way, in the engine that runs this. */
import type { Checkpoint } from "../../../src/checkpoint.ts";
import { measureDots } from "../../../src/dots.ts";
import { SAFETENSORS } from "../../../src/formats/open.ts";
import { openModelWith } from "../../../src/model.ts";
import { resnet, resnetSpec } from "../../../src/models/resnet.ts";
import type { ModuleName, Runtime } from "../../../src/runtime.ts";
import type { Build } from "../../../src/tape.ts";
import { initialise } from "../../../src/train/initialise.ts";
import { measureVectors } from "../../../src/vectors.ts";
import { LIMIT, type Ratio } from "./report.ts";
import { trainingWays, type Way, waysOf } from "./ways.ts";

export interface Environment {
  module(name: ModuleName): Promise<WebAssembly.Module>;
  /** Milliseconds from some moment on. */
  clock(): Promise<number>;
  /** Whether its own clock tells anything: at the edge nothing is measured. */
  readonly isMeasuring: boolean;
  /** A file of the site. */
  bytes(name: string): Promise<Uint8Array>;
  /** Which of the tasks; all when absent. */
  readonly only?: string | undefined;
}

/** Least time of a turn, in ms: the clock of a plain page in WebKit moves in steps of 1 ms. */
const TURN_MS = 30;
/** Turns of each way: while its code still becomes faster, then for every measurement at least and at most. */
const [WARM_UP, LEAST, MOST] = [3, 4, 12];
/** A way this much slower than the best, after as many rounds, is left out of the others: few are near it. */
const HOPELESS = [3, 1.6, 1.4, 1.2] as const;
/** Measurements that must all find `auto` too slow, before it is. */
const MEASUREMENTS = 3;

export async function measure(environment: Environment): Promise<readonly Ratio[]> {
  const modules = new Map<ModuleName, Promise<WebAssembly.Module>>();
  const runtime: Runtime = {
    name: "choice",
    formats: [SAFETENSORS],
    module(name: ModuleName) {
      const module = modules.get(name) ?? environment.module(name);
      modules.set(name, module);
      return module;
    },
    ...(environment.isMeasuring && {
      measure: {
        vectors: async (build: Build) => (await measureVectors(runtime, build, 10)).vectors,
        dots: (build: Build) => measureDots(runtime, build),
      },
    }),
  } as Partial<Runtime> as Runtime;
  const f32 = (arch: string) => async (): Promise<readonly Way[]> => {
    const graph = resnet(arch, resnetSpec(arch));
    return waysOf(runtime, { source: arch, graph, checkpoint: kept(initialise(graph, 1)) });
  };
  const int8 = (arch: string) => async (): Promise<readonly Way[]> => {
    return waysOf(runtime, await openModelWith(runtime, await environment.bytes(arch), {}));
  };
  const tasks: Readonly<Record<string, () => Promise<readonly Way[]>>> = {
    "ResNet-18 f32": f32("resnet18"),
    "ResNet-50 f32": f32("resnet50"),
    "ResNet-18 int8": int8("resnet18"),
    "ResNet-50 int8": int8("resnet50"),
    "ResNet-18 training": () => trainingWays(runtime, "resnet18"),
  };
  const ratios: Ratio[] = [];
  for (const [task, ways] of Object.entries(tasks)) {
    if (environment.only !== undefined && !task.includes(environment.only)) continue;
    ratios.push({ task, ...(await compare(await ways(), environment.clock)) });
  }
  return ratios;
}

/** The same checkpoint, whose tensors are made once for all ways. */
function kept(checkpoint: Checkpoint): Checkpoint {
  const made = new Map<string, Promise<Uint8Array>>();
  return {
    ...checkpoint,
    read(name) {
      const bytes = made.get(name) ?? checkpoint.read(name);
      made.set(name, bytes);
      return bytes;
    },
  };
}

interface Racer extends Way {
  best: number;
}

async function compare(ways: readonly Way[], clock: () => Promise<number>): Promise<Omit<Ratio, "task">> {
  const racers: Racer[] = ways.map((way) => ({ ...way, best: Number.POSITIVE_INFINITY }));
  let calls = 1;
  const turn = async (racer: Racer): Promise<void> => {
    // A page that never waits does not answer its driver.
    await new Promise((resolve) => setTimeout(resolve));
    const start = await clock();
    for (let call = 0; call < calls; ++call) await racer.run();
    racer.best = Math.min(racer.best, ((await clock()) - start) / calls);
  };
  for (const racer of racers) for (let i = 0; i < WARM_UP; ++i) await turn(racer);
  // The first turns were those of slower code.
  const auto = racers.find(({ isAuto }) => isAuto)!;
  const fastest = (): Racer => racers.reduce((a, b) => (b.best < a.best ? b : a));
  // As many for all: on a busy machine a longer turn is more often interrupted.
  calls = Math.ceil(TURN_MS / fastest().best);
  const seen: number[] = [];
  let rounds = 0;
  for (let measurement = 0; measurement < MEASUREMENTS; ++measurement) {
    if (measurement > 0) for (const racer of racers) racer.best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < MOST && (round < LEAST || auto.best > LIMIT * fastest().best); ++round, ++rounds) {
      const bound = (HOPELESS[round] ?? HOPELESS.at(-1)!) * fastest().best;
      const among = racers.filter((racer) => racer === auto || racer.best <= bound);
      for (const racer of round % 2 === 0 ? among : among.toReversed()) await turn(racer);
    }
    seen.push(auto.best / fastest().best);
    if (seen.at(-1)! <= LIMIT) break;
  }
  return {
    ratio: Math.min(...seen),
    auto: auto.name,
    ways: racers.map(({ name, best }) => ({ name, ms: best })).sort((a, b) => a.ms - b.ms),
    rounds,
  };
}
