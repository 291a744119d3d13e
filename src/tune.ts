/**
 * Tuning: the candidates of every convolution, timed once on this machine, instead of the cost model of `variants.ts`. The
 * result is plain JSON: save it, and load with it as often as you like.
 */

import { letEventsRun } from "./abort.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { engineTarget } from "./engine.ts";
import { expectedGot, ModelError } from "./errors.ts";
import { fold } from "./fold.ts";
import { asConv, type ConvNode, type Graph, NO_CLAMP, type Node, type Shape } from "./graph.ts";
import { type Build, type Kernels, loadKernels } from "./kernels.ts";
import type { ModelOptions, Source } from "./model.ts";
import { networkOfSource } from "./network.ts";
import { plan, planWeights } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import { run, type Tape } from "./tape.ts";
import { candidates, type Tuning, tuningKey, usualDots, type Variant, type Vectors } from "./variants.ts";
import { ensureMemory, packWeights } from "./weights.ts";

/** Bytes read between two runs, so that weights come from memory, as they do in a network: more than an L3 cache. */
const FLUSH_BYTES = 48 << 20;
const ROUNDS = 7;

/** One convolution as a network of its own, and its input's shape. Nothing is folded into it. */
export interface Alone {
  readonly node: ConvNode;
  readonly graph: Graph;
}

/** The distinct convolutions of a folded network, each alone; linear layers count as convolutions. */
export function convolutionsOf(graph: Graph): readonly Alone[] {
  const shapes = new Map<string, Shape>(graph.nodes.map((node) => [node.name, node.shape]));
  const found = new Map<string, Alone>();
  for (const original of graph.nodes) {
    const conv = original.op === "linear" ? asConv(original) : original;
    if (conv.op !== "conv") continue;
    const { norm: _folded, ...rest } = conv;
    const node: ConvNode = { ...rest, name: "conv", inputs: ["input"], bias: false, residual: false, clamp: NO_CLAMP };
    const input: Node = { op: "input", name: "input", inputs: [], shape: shapes.get(conv.inputs[0]!)! };
    found.set(tuningKey(node), { node, graph: { name: tuningKey(node), nodes: [input, node] } });
  }
  return [...found.values()];
}

/** A convolution with one variant, its weights packed, ready to run. */
export interface Ready {
  readonly variant: Variant;
  readonly kernels: Kernels;
  readonly tape: Tape;
  /** Byte address of a node's output. */
  readonly addresses: ReadonlyMap<string, number>;
}

/**
 * Packs `weight` `[out, in / groups, kh, kw]` for one variant.
 *
 * @param batch images at once
 * @param vectors which tiles
 */
export async function makeReady(
  runtime: Runtime,
  { graph, node }: Alone,
  variant: Variant,
  build: Build,
  weight: Float32Array,
  batch = 1,
  vectors: Vectors = 128,
): Promise<Ready> {
  const weights = planWeights(graph, new Map([["conv", variant]]));
  const kernels = await loadKernels(runtime, build, new WebAssembly.Memory({ initial: 1 }));
  const shape = [node.shape[2], node.channels / node.groups, ...node.kernel];
  const checkpoint: Checkpoint = {
    tensors: new Map([["conv.weight", { dtype: "F32", shape }]]),
    metadata: {},
    read: async () => new Uint8Array(weight.buffer, weight.byteOffset, weight.byteLength),
    close: async () => {},
  };
  await packWeights(graph.name, graph, weights, checkpoint, kernels);
  const { tape, addresses, end } = plan(
    graph,
    weights,
    { build, threads: 1, vectors },
    batch,
    graph.nodes[0]!.shape,
    [],
  );
  ensureMemory(kernels.memory, end);
  return { variant, kernels, tape, addresses };
}

export interface TuneOptions extends ModelOptions {
  /** Which kernels are measured; `auto`, the default, the best that this engine runs. */
  readonly build?: Build | "auto";
}

/**
 * Measures the algorithms of every convolution of a model on this machine. The result is plain JSON, for the option `tuning`.
 *
 * @param source as `load` takes it, or a name of `RESNETS`: times do not depend on weights
 */
export async function tuneWith(runtime: Runtime, source: Source, options: TuneOptions = {}): Promise<Tuning> {
  const { build } = engineTarget(options.build === undefined ? {} : { build: options.build });
  const { graph } = await networkOfSource(runtime, source, options);
  if (graph.nodes[0]!.int8 !== undefined) {
    const hint = "tune the model that it was quantized from: int8 layers are chosen by the CPU, without --tuning";
    throw new ModelError(
      "unsupported",
      expectedGot(graph.name, "a model with float weights", "one that is int8 already", hint),
    );
  }
  return tuneGraph(runtime, graph, build, options.signal);
}

/** Elements of a convolution's weight. */
export function weightElements({ node }: Alone): number {
  return (node.shape[2] * node.channels * node.kernel[0] * node.kernel[1]) / node.groups;
}

/**
 * Times every candidate of every distinct convolution of a network: the minimum of a few runs, interleaved, each after
 * other memory has passed through the caches. Takes a second or two.
 *
 * @param graph as trained or folded
 */
export async function tuneGraph(runtime: Runtime, graph: Graph, build: Build, signal?: AbortSignal): Promise<Tuning> {
  const other = new Float64Array(FLUSH_BYTES / 8);
  const vectors = (await runtime.measure?.vectors(build)) ?? 128;
  const tuning: Record<string, Record<string, number>> = {};
  for (const each of convolutionsOf(fold(graph))) {
    const variants = candidates(each.node, 1, undefined, usualDots(build));
    if (variants.length === 1) continue;
    const weight = new Float32Array(weightElements(each)).fill(0.01);
    const entries: Ready[] = [];
    for (const variant of variants) entries.push(await makeReady(runtime, each, variant, build, weight, 1, vectors));
    const times: Record<string, number> = {};
    for (let round = 0; round < ROUNDS; ++round) {
      await letEventsRun(signal);
      for (const { variant, kernels, tape } of round % 2 === 0 ? entries : entries.toReversed()) {
        other.fill(round);
        const start = performance.now();
        run(kernels.exports, tape);
        const ms = performance.now() - start;
        times[variant.algorithm] = Math.min(times[variant.algorithm] ?? ms, ms);
      }
    }
    tuning[tuningKey(each.node)] = times;
  }
  return { build, ms: tuning };
}
