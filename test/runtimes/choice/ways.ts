/** Every way to compute a network in an engine, and which of them `auto` takes; every way to train one. */
import { type Choice, chooseHere } from "../../../src/choice.ts";
import { measureDots } from "../../../src/dots.ts";
import { createEngine } from "../../../src/engine.ts";
import { fold } from "../../../src/fold.ts";
import { inputShape, outputNode } from "../../../src/graph.ts";
import { BUILDS, type Build, supportsRelaxed } from "../../../src/kernels.ts";
import { resnet, resnetSpec } from "../../../src/models/resnet.ts";
import { defaultMemory, fitWeights, plan } from "../../../src/plan.ts";
import type { Runtime } from "../../../src/runtime.ts";
import { run } from "../../../src/tape.ts";
import { initialise } from "../../../src/train/initialise.ts";
import { type Trainable, trainWith } from "../../../src/train/trainer.ts";
import type { Dots, Vectors } from "../../../src/variants.ts";
import { measureVectors } from "../../../src/vectors.ts";
import { ensureMemory, packWeights } from "../../../src/weights.ts";

export interface Way {
  readonly name: string;
  /** What `auto` takes. */
  readonly isAuto: boolean;
  /** Computes once. */
  run(): Promise<void>;
}

const VECTORS: readonly Vectors[] = [128, 256];
const DOTS: Readonly<Record<Build, readonly Dots[]>> = { baseline: ["dot16"], relaxed: ["dot8", "both", "dot16"] };
/** Images of a training step. */
const BATCH = 2;

function buildsHere(): readonly Build[] {
  return supportsRelaxed() ? BUILDS : ["baseline"];
}

/** What a choice comes to: two that are the same here are one way. */
function keyOf({ target: { build, vectors }, weights }: Choice): string {
  return JSON.stringify([build, vectors, [...weights.variants].map(([name, { algorithm }]) => [name, algorithm])]);
}

/** The ways to compute a model, each loaded. */
export async function waysOf(runtime: Runtime, model: Trainable): Promise<readonly Way[]> {
  const graph = fold(model.graph);
  const memory = defaultMemory(graph);
  const auto = await chooseHere(runtime, graph, {});
  const choices = new Map([[keyOf(auto), { name: "", choice: auto }]]);
  const isInt8 = graph.nodes[0]!.int8 !== undefined;
  const add = (build: Build, vectors: Vectors, dots: Dots | undefined, winograd: boolean): void => {
    const target = { build, threads: 1, vectors };
    const weights = fitWeights(graph, target, { memory, winograd, dots }, outputNode(graph).inputs);
    const choice = { target, weights, repacked: [] };
    const key = keyOf(choice);
    const name = [build, vectors, ...(isInt8 ? [dots] : []), ...(winograd ? [] : ["no Winograd"])].join(" ");
    if (!choices.has(key) || choices.get(key)!.name === "") choices.set(key, { name, choice });
  };
  const { vectors = 128 } = auto.target;
  for (const build of buildsHere()) {
    if (!isInt8) for (const each of VECTORS) add(build, each, undefined, true);
    else for (const dots of DOTS[build]) add(build, vectors, dots, true);
  }
  if (isInt8) {
    const { build } = auto.target;
    for (const each of VECTORS) add(build, each, await measureDots(runtime, build), true);
    // In f32 other numbers come of it, so there it is no way to choose from.
    add(build, vectors, "dot16", false);
  }
  const ways: Way[] = [];
  for (const [key, { name, choice }] of choices) {
    ways.push({ name, isAuto: key === keyOf(auto), run: await ready(runtime, model, choice) });
  }
  return ways;
}

/** A model in memory of its own, as a choice has it; and any image. */
async function ready(runtime: Runtime, model: Trainable, { target, weights }: Choice): Promise<() => Promise<void>> {
  const graph = fold(model.graph);
  const engine = await createEngine(runtime, model.source, target, { bytes: weights.end, plans: 1 });
  await packWeights(model.source, graph, weights, model.checkpoint, engine.kernels);
  const { tape, end, addresses } = plan(graph, weights, target, 1, inputShape(graph), []);
  ensureMemory(engine.kernels.memory, end);
  const elements = inputShape(graph).reduce((a, b) => a * b, 1);
  const address = addresses.get(graph.nodes[0]!.name)!;
  if (graph.nodes[0]!.int8 !== undefined)
    engine.bytes(address, elements).set(Uint8Array.from({ length: elements }, (_, i) => i % 127));
  else engine.floats(address, elements).set(Float32Array.from({ length: elements }, (_, i) => Math.sin(i)));
  return async () => run(engine.kernels.exports, tape);
}

/** The ways to train a network from new weights, each with its trainer. */
export async function trainingWays(runtime: Runtime, arch: string): Promise<readonly Way[]> {
  const graph = resnet(arch, resnetSpec(arch));
  const images = new Float32Array(BATCH * inputShape(graph).reduce((a, b) => a * b, 1)).map((_, i) => Math.sin(i));
  const labels = Int32Array.from({ length: BATCH }, (_, i) => i);
  const ways: Way[] = [];
  const builds = buildsHere();
  for (const build of builds) {
    const auto = (await measureVectors(runtime, build)).vectors;
    for (const vectors of auto === 256 ? (["auto", 128] as const) : (["auto"] as const)) {
      const model = { source: arch, graph, checkpoint: initialise(graph, 1) };
      const trainer = await trainWith(runtime, model, { build, vectors, batch: BATCH, learningRate: 1e-6 });
      ways.push({
        name: `${build} ${vectors === "auto" ? auto : vectors}`,
        isAuto: build === builds.at(-1) && vectors === "auto",
        run: async () => void (await trainer.step(images, labels)),
      });
    }
  }
  return ways;
}
