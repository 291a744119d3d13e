/** What this machine computes a network with: the build, the tiles, and a variant for every layer. */

import { measureDots } from "./dots.ts";
import { type EngineOptions, type EngineTarget, engineTarget } from "./engine.ts";
import { expectedGot, OptionError } from "./errors.ts";
import { type Graph, outputNode } from "./graph.ts";
import { defaultMemory, fitWeights, type WeightPlan } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import { isTuning, type Tuning } from "./variants.ts";
import { measureVectors } from "./vectors.ts";

/** Bytes that a 32-bit memory can have. */
const MAX_BYTES = 2 ** 32;

/** How an opened model is put into memory. */
export interface BuildOptions extends EngineOptions {
  /**
   * Bytes of wasm memory for weights and the activations of one image: a smaller budget gives up speed. Twice the f32
   * weights when absent, and at least 180 MB. Batches and decoded photos come on top.
   */
  readonly memoryBytes?: number;
  /** `false` computes every convolution by direct sums: slower, and about two digits closer to exact. */
  readonly winograd?: boolean;
  /** Times that `tune` measured on this machine: they replace estimates when algorithms are chosen. */
  readonly tuning?: Tuning;
  readonly signal?: AbortSignal;
}

export interface Choice {
  readonly target: EngineTarget;
  readonly weights: WeightPlan;
}

/** Checks what can be checked before a model is opened or downloaded. Throws `OptionError`. */
export function checkBuildOptions(options: BuildOptions): void {
  const { build } = engineTarget(options);
  const { memoryBytes, tuning } = options;
  if (memoryBytes !== undefined && !(memoryBytes > 0 && memoryBytes <= MAX_BYTES)) {
    throw new OptionError("memoryBytes", expectedGot("memoryBytes", `from 1 to ${MAX_BYTES} bytes`, `${memoryBytes}`));
  }
  if (tuning !== undefined && !isTuning(tuning)) {
    throw new OptionError("tuning", expectedGot("tuning", "what tune returned", "something else"));
  }
  if (tuning !== undefined && tuning.build !== build) {
    const hint = "tune again, or choose the build with --build";
    throw new OptionError("tuning", expectedGot("tuning", `times of the ${build} build`, `of ${tuning.build}`, hint));
  }
}

/**
 * Chooses, and measures first what the choice depends on, once per process.
 *
 * @param graph folded
 * @throws OptionError when the memory is too small
 */
export async function chooseHere(runtime: Runtime, graph: Graph, options: BuildOptions): Promise<Choice> {
  const asked = engineTarget(options);
  const vectors = asked.vectors ?? (await measureVectors(runtime, asked.build)).vectors;
  const target = { ...asked, vectors };
  const { memoryBytes: memory = defaultMemory(graph), tuning, winograd = true } = options;
  const isInt8 = graph.nodes[0]!.int8 !== undefined;
  const dots = isInt8 ? await measureDots(runtime, target.build) : undefined;
  const weights = fitWeights(graph, target, { memory, winograd, tuning, dots }, outputNode(graph).inputs);
  return { target, weights };
}
