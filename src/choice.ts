/** What this machine computes a network with: the build, the tiles, and a variant for every layer. */

import type { Guess, Layout, PackedWeights } from "./checkpoint.ts";
import { type EngineOptions, type EngineTarget, engineTarget } from "./engine.ts";
import { expectedGot, OptionError } from "./errors.ts";
import { asConv, type Graph, outputNode } from "./graph.ts";
import { defaultMemory, fitWeights, memoryCounter, planWeights, type WeightPlan } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import { type Dots, formOf, isTuning, type Tuning, type Variant, variantOf } from "./variants.ts";
import { isPackedFor } from "./weights.ts";

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
  /**
   * Workers that each run whole images, decoding included, over one memory with the weights in it once: for images a second,
   * where `threads` are for the time of one image. The caller's thread then computes nothing, with 1 replica too.
   */
  readonly replicas?: number;
  /** Times that `tune` measured on this machine: they replace estimates when algorithms are chosen. */
  readonly tuning?: Tuning;
  readonly signal?: AbortSignal;
}

export interface Choice {
  readonly target: EngineTarget;
  readonly weights: WeightPlan;
  /** The int8 products that were chosen among. */
  readonly dots?: Dots | undefined;
  /** Convolutions and linear layers whose packed weights are not of the form that was chosen here. */
  readonly repacked: readonly string[];
}

/** Checks what can be checked before a model is opened or downloaded. Throws `OptionError`. */
export function checkBuildOptions(options: BuildOptions): EngineTarget {
  const target = engineTarget(options);
  const { build, threads } = target;
  const { memoryBytes, tuning, replicas } = options;
  if (replicas !== undefined) checkReplicas(replicas, threads);
  if (memoryBytes !== undefined && !(memoryBytes > 0 && memoryBytes <= MAX_BYTES)) {
    throw new OptionError("memoryBytes", expectedGot("memoryBytes", `from 1 to ${MAX_BYTES} bytes`, `${memoryBytes}`));
  }
  if (tuning !== undefined && !isTuning(tuning)) {
    throw new OptionError("tuning", expectedGot("tuning", "what tune returned", "something else"));
  }
  if (tuning !== undefined && tuning.build !== build) {
    const hint = "tune again, or choose the build with the option build";
    throw new OptionError("tuning", expectedGot("tuning", `times of the ${build} build`, `of ${tuning.build}`, hint));
  }
  return target;
}

function checkReplicas(replicas: number, threads: number): void {
  if (!Number.isInteger(replicas) || replicas < 1) {
    throw new OptionError("replicas", expectedGot("replicas", "a whole number from 1", `${replicas}`));
  }
  if (threads > 1) {
    const hint = "threads shorten the time of one image, replicas compute more images a second: choose one";
    throw new OptionError("replicas", expectedGot("replicas", "none beside threads", `${replicas}`, hint));
  }
  if (typeof SharedArrayBuffer === "undefined") {
    const hint = "a page must be cross-origin isolated (COOP and COEP headers) for replicas";
    throw new OptionError(
      "replicas",
      expectedGot("replicas", "none where there is no shared memory", `${replicas}`, hint),
    );
  }
}

/**
 * Chooses, and measures first what the choice depends on, once per process. A file of packed weights brings a choice with it, which
 * is taken where the build is the same, nothing else is asked for, and it fits the memory: then nothing is measured for it.
 *
 * @param graph folded
 * @throws OptionError when the memory is too small
 */
export async function chooseHere(
  runtime: Runtime,
  graph: Graph,
  options: BuildOptions,
  packed?: PackedWeights,
): Promise<Choice> {
  const asked = engineTarget(options);
  const vectors = asked.vectors ?? (await runtime.measure?.vectors(asked.build)) ?? 128;
  const target = { ...asked, vectors };
  const { memoryBytes: memory = defaultMemory(graph), tuning, winograd = true } = options;
  const layout = packed?.layout.build === target.build ? packed.layout : undefined;
  const isInt8 = graph.nodes[0]!.int8 !== undefined;
  const dots = isInt8 ? (layout?.dots ?? (await runtime.measure?.dots(target.build))) : undefined;
  const kept = outputNode(graph).inputs;
  const given = layout === undefined || tuning !== undefined ? undefined : variantsOf(graph, layout, winograd);
  const planned = given === undefined ? undefined : planWeights(graph, given);
  const weights =
    planned !== undefined && memoryCounter(graph, target, kept)(planned) <= memory
      ? planned
      : fitWeights(graph, target, { memory, winograd, tuning, dots }, kept);
  const repacked =
    packed === undefined ? [] : [...weights.variants].filter(([name, variant]) => isOther(packed, name, variant));
  return { target, weights, dots, repacked: repacked.map(([name]) => name) };
}

/** The variants that a layout names; undefined unless all are there, are right for their layers, and may be used. */
function variantsOf(graph: Graph, { layers }: Layout, winograd: boolean): ReadonlyMap<string, Variant> | undefined {
  const variants = new Map<string, Variant>();
  for (const node of graph.nodes) {
    const conv = node.op === "linear" ? asConv(node) : node;
    if (conv.op !== "conv") continue;
    const layer = Object.hasOwn(layers, node.name) ? layers[node.name] : undefined;
    const variant = layer === undefined ? undefined : variantOf(conv, layer.algorithm);
    if (variant === undefined || (!winograd && formOf(variant.algorithm) === undefined)) return undefined;
    variants.set(node.name, variant);
  }
  return variants;
}

function isOther(packed: PackedWeights, name: string, variant: Variant): boolean {
  return packed.form(name) !== undefined && !isPackedFor(packed, name, variant);
}

/** What is to be said of layers that were packed for another choice; nothing where there are none. */
export function repackingOf(packed: PackedWeights | undefined, { target, repacked }: Choice): readonly Guess[] {
  if (packed === undefined || repacked.length === 0) return [];
  const { build } = packed.layout;
  const here =
    build === target.build
      ? "for other algorithms than are used here"
      : `for the ${build} build, and this is ${target.build}`;
  const message = `${repacked.length} layers repacked: the file's weights are packed ${here}`;
  return [{ key: "layout", message }];
}
