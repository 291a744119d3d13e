/**
 * Planning: a graph becomes addresses and a tape. Weights are placed once per model; activations are placed by lifetime,
 * once per batch and input size.
 *
 *     | static | zeros | packed weights | activations | workspace | scratch |
 *
 * Behind the weights lies, while they are being packed, the staging area of `weights.ts`.
 */

import { expectedGot, ModelError, OptionError } from "./errors.ts";
import { elementBytes, type Graph, type Node, pooled, type Shape, windowed } from "./graph.ts";
import type { Param, Place } from "./ops/op.ts";
import { opOf, parameterCount } from "./ops/ops.ts";
import type { Build, Step, Tape } from "./tape.ts";
import {
  chooseOf,
  type Dots,
  estimate,
  type Tuning,
  tilesOf,
  usualDots,
  type Variant,
  type Vectors,
} from "./variants.ts";

/** Where every node's packed weights are. */
export interface WeightPlan {
  /** As many f32 zeros as the widest activation has channels: what lies outside an image. */
  readonly zeros: number;
  /** How each convolution and linear layer is computed, by node name. */
  readonly variants: ReadonlyMap<string, Variant>;
  /** Byte address by node name. */
  readonly addresses: ReadonlyMap<string, number>;
  /** First byte after them. */
  readonly end: number;
}

/** What the steps are written for. */
export interface Target {
  /** Decides tile sizes. */
  readonly build: Build;
  /** How many have scratch of their own. */
  readonly threads: number;
  /** Decides tile sizes too; 128 when absent. */
  readonly vectors?: Vectors | undefined;
}

/** One network over one batch of one input size, ready to run. */
export interface Plan {
  readonly batch: number;
  readonly input: Shape;
  readonly tape: Tape;
  /** Bytes from one thread's scratch to the next. */
  readonly scratchBytes: number;
  /** Byte address of a node's output; by the end of a run only those of `kept` still hold it. */
  readonly addresses: ReadonlyMap<string, number>;
  /** First byte after everything: what the memory must hold. */
  readonly end: number;
}

/** Everything is placed on cache lines. */
const LINE = 64;
/** Bytes that a 32-bit address reaches. */
const ADDRESSABLE_BYTES = 2 ** 32;
/** Bytes at the start of memory that belong to the module itself: the messages of the debug build (the others have no data). */
export const STATIC_BYTES = 4096;

/** `bytes` rounded up to a whole cache line. */
export function align(bytes: number): number {
  return Math.ceil(bytes / LINE) * LINE;
}

/**
 * Places the packed weights of every node. The largest come first: while a node's weights are packed, what lies behind
 * them holds its tensors as the file has them, and behind the last ones little should be needed.
 */
export function planWeights(graph: Graph, variants: ReadonlyMap<string, Variant>): WeightPlan {
  const addresses = new Map<string, number>();
  const zeros = STATIC_BYTES;
  let end = align(zeros + 4 * Math.max(...graph.nodes.map((node) => node.shape[2])));
  const sizes = graph.nodes.map((node) => ({ node, elements: sum(opOf(node).params(node).map(elementCount)) }));
  for (const { node } of sizes.sort((a, b) => b.elements - a.elements)) {
    const bytes = opOf(node).weightBytes(node, variants.get(node.name));
    if (bytes === 0) continue;
    addresses.set(node.name, end);
    end = align(end + bytes);
  }
  return { zeros, variants, addresses, end };
}

function elementCount({ shape }: Param): number {
  return shape.reduce((a, b) => a * b, 1);
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/** The same network over another input size. Throws `RangeError` when the size leaves a node without pixels. */
export function resize(graph: Graph, input: Shape): Graph {
  const shapes = new Map<string, Shape>();
  const nodes = graph.nodes.map((node): Node => {
    const from = shapes.get(node.inputs[0] ?? "") ?? input;
    const c = node.shape[2];
    let shape: Shape = [from[0], from[1], c];
    if (node.op === "input") shape = input;
    else if (node.op === "conv") {
      const [top, left, bottom, right] = node.pads;
      shape = [
        windowed(from[0], node.kernel[0], node.stride[0], node.dilation[0], top + bottom),
        windowed(from[1], node.kernel[1], node.stride[1], node.dilation[1], left + right),
        c,
      ];
    } else if (node.op === "maxpool" || node.op === "avgpool") {
      const [top, left, bottom, right] = node.pads;
      shape = [
        pooled(from[0], node.kernel[0], node.stride[0], [top, bottom], node.ceil),
        pooled(from[1], node.kernel[1], node.stride[1], [left, right], node.ceil),
        c,
      ];
    } else if (node.op === "shortcut") {
      shape = [Math.ceil(from[0] / node.stride), Math.ceil(from[1] / node.stride), c];
    } else if (node.op === "globalpool" || node.op === "linear") shape = [1, 1, c];
    if (shape[0] < 1 || shape[1] < 1) {
      throw new RangeError(expectedGot(node.name, "at least one pixel", `an input of ${input[0]}×${input[1]}`));
    }
    shapes.set(node.name, shape);
    return { ...node, shape };
  });
  return { ...graph, nodes };
}

/** A stretch of the tape during which a buffer holds something. */
export interface Buffer {
  readonly names: string[];
  readonly bytes: number;
  readonly first: number;
  last: number;
}

/**
 * Buffers by lifetime. A node whose kernel may write over an operand that nobody reads later takes that operand's buffer.
 *
 * @param kept nodes whose output must outlive the run
 */
export function lifetimes(graph: Graph, batch: number, kept: readonly string[]): readonly Buffer[] {
  const lastRead = new Map<string, number>();
  graph.nodes.forEach((node, i) => {
    for (const input of node.inputs) lastRead.set(input, i);
  });
  for (const name of kept) lastRead.set(name, graph.nodes.length);
  const holder = new Map<string, Buffer>();
  const buffers: Buffer[] = [];
  graph.nodes.forEach((node, i) => {
    const bytes = align(batch * node.shape[0] * node.shape[1] * node.shape[2] * elementBytes(node));
    const last = lastRead.get(node.name) ?? i;
    const over = overwritable(node).find((name) => lastRead.get(name) === i && holder.get(name)!.bytes === bytes);
    const buffer = over === undefined ? { names: [], bytes, first: i, last } : holder.get(over)!;
    if (over === undefined) buffers.push(buffer);
    buffer.names.push(node.name);
    buffer.last = Math.max(buffer.last, last);
    holder.set(node.name, buffer);
  });
  return buffers;
}

/** Operands that a node's kernel may overwrite with its output. */
export function overwritable(node: Node): readonly string[] {
  if (node.op === "conv") return node.residual ? [node.inputs[1]!] : [];
  if (node.op === "gate") return [node.inputs[0]!];
  return ["add", "clamp", "norm", "sigmoid"].includes(node.op) ? node.inputs : [];
}

/** Greedy placement by size (Pisarchyk & Lee 2020, arXiv 2001.03288): the largest first, each at the lowest free offset. */
export function place(buffers: readonly Buffer[], base: number): { addresses: Map<string, number>; end: number } {
  const placed: { buffer: Buffer; at: number }[] = [];
  const addresses = new Map<string, number>();
  let end = base;
  for (const buffer of [...buffers].sort((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    const rivals = placed
      .filter(({ buffer: other }) => other.first <= buffer.last && buffer.first <= other.last)
      .sort((a, b) => a.at - b.at);
    let at = base;
    for (const rival of rivals) {
      if (at + buffer.bytes <= rival.at) break;
      at = Math.max(at, rival.at + rival.buffer.bytes);
    }
    placed.push({ buffer, at });
    for (const name of buffer.names) addresses.set(name, at);
    end = Math.max(end, at + buffer.bytes);
  }
  return { addresses, end };
}

function placeActivations(
  graph: Graph,
  weights: WeightPlan,
  batch: number,
  kept: readonly string[],
): { readonly addresses: ReadonlyMap<string, number>; readonly end: number } {
  return place(lifetimes(graph, batch, [...kept, graph.nodes.at(-1)!.name]), weights.end);
}

/** A plan whose steps are not written yet, or not with their last addresses. */
interface Draft {
  readonly addresses: ReadonlyMap<string, number>;
  /** Writes the steps; those that follow the largest workspace have their scratch before it until all were written once. */
  write(): Step[];
  /** Bytes of the running thread's own, and the first byte after everything: known when the steps were written. */
  scratchBytes(): number;
  end(): number;
}

/** @throws ModelError with the code `memory` when the activations do not fit into 32-bit addresses */
function draft(
  network: Graph,
  weights: WeightPlan,
  { build, threads, vectors = 128 }: Target,
  batch: number,
  input: Shape,
  kept: readonly string[],
): Draft {
  const graph = resize(network, input);
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  const { addresses, end } = placeActivations(graph, weights, batch, kept);
  if (end > ADDRESSABLE_BYTES) {
    const needed = `${(end / 1e9).toFixed(1)} GB for ${batch} × ${input[0]}×${input[1]} pixels`;
    throw new ModelError("memory", expectedGot("memory", "at most 4.3 GB", needed, "use a smaller batch or image"));
  }
  let [workspaceBytes, scratchBytes] = [0, 0];
  const where: Place = {
    tiles: tilesOf(build, vectors),
    batch,
    zeros: weights.zeros,
    node: (name) => nodes.get(name)!,
    variant: (name) => weights.variants.get(name)!,
    address: (name) => addresses.get(name)!,
    weights: (name) => weights.addresses.get(name)!,
    workspace(bytes) {
      workspaceBytes = Math.max(workspaceBytes, align(bytes));
      return end;
    },
    scratch(bytes) {
      scratchBytes = Math.max(scratchBytes, align(bytes));
      return end + workspaceBytes;
    },
  };
  return {
    addresses,
    write: () => graph.nodes.flatMap((node) => opOf(node).forward(node, where)),
    scratchBytes: () => scratchBytes,
    end: () => end + workspaceBytes + threads * scratchBytes,
  };
}

/**
 * Plans one batch of one input size.
 *
 * @param kept nodes whose output is read after the run; the last node always is
 * @throws ModelError with the code `memory` when the activations do not fit into 32-bit addresses
 */
export function plan(
  network: Graph,
  weights: WeightPlan,
  target: Target,
  batch: number,
  input: Shape,
  kept: readonly string[],
): Plan {
  const { addresses, write, scratchBytes, end } = draft(network, weights, target, batch, input, kept);
  // Once to learn how large the workspace is, and again with scratch behind it.
  write();
  const tape = write();
  return { batch, input, tape, scratchBytes: scratchBytes(), addresses, end: end() };
}

/**
 * Counts the bytes that one image of the network's own input size needs on one thread, its weights included. Of several weight
 * plans only the layers that change are looked at again.
 *
 * @param kept as in `plan`
 */
export function memoryCounter(
  network: Graph,
  { build, vectors = 128 }: Omit<Target, "threads">,
  kept: readonly string[],
): (weights: WeightPlan) => number {
  // Throws where a node has no pixels.
  const graph = resize(network, network.nodes[0]!.shape);
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  const activations = activationBytes(graph, kept);
  /** By node and variant: bytes that its steps share, and of each thread's own. */
  const known = new Map<Node, Map<Variant | undefined, readonly [workspace: number, scratch: number]>>();
  const count = (node: Node, variant: Variant | undefined): readonly [number, number] => {
    let [workspace, scratch] = [0, 0];
    opOf(node).forward(node, {
      tiles: tilesOf(build, vectors),
      batch: 1,
      zeros: 0,
      node: (name) => nodes.get(name)!,
      variant: () => variant!,
      address: () => 0,
      weights: () => 0,
      workspace(bytes) {
        workspace = Math.max(workspace, align(bytes));
        return 0;
      },
      scratch(bytes) {
        scratch = Math.max(scratch, align(bytes));
        return 0;
      },
    });
    return [workspace, scratch];
  };
  return ({ variants, end }) => {
    let [workspace, scratch] = [0, 0];
    // An absurd input size has too many steps to list.
    if (!(end + activations <= ADDRESSABLE_BYTES)) return end + activations;
    for (const node of graph.nodes) {
      const variant = variants.get(node.name);
      const counted = known.get(node) ?? new Map();
      const one = counted.get(variant) ?? count(node, variant);
      known.set(node, counted.set(variant, one));
      workspace = Math.max(workspace, one[0]);
      scratch = Math.max(scratch, one[1]);
    }
    return end + activations + workspace + scratch;
  };
}

/** Bytes of all activations of one image of the network's own input size. */
function activationBytes(graph: Graph, kept: readonly string[]): number {
  return place(lifetimes(graph, 1, [...kept, graph.nodes.at(-1)!.name]), 0).end;
}

/**
 * Bytes of wasm memory a model may use by default: twice its f32 weights, or 180 MB where that is more (all that
 * ResNet-18 can use); in int8 two and a half times its weights, or 64 MB. Winograd's larger weights are what it is spent on.
 */
export function defaultMemory(graph: Graph): number {
  const parameters = parameterCount(graph);
  const isInt8 = graph.nodes[0]!.int8 !== undefined;
  return isInt8 ? Math.max(2.5 * parameters, 64e6) : Math.max(2 * 4 * parameters, 180e6);
}

/** What bounds the choice of algorithms. */
export interface Budget {
  /** Bytes of wasm memory. */
  readonly memory: number;
  /** `false` keeps to direct sums. */
  readonly winograd: boolean;
  /** Measured times instead of estimates. */
  readonly tuning?: Tuning | undefined;
  /** Which int8 products are faster here. */
  readonly dots?: Dots | undefined;
}

/**
 * The fastest weight plan with which one image of the network's own input size fits into `memory` bytes, everything
 * counted but the scratch of further threads: the number of threads must not change how anything is computed, or it would
 * change the result.
 *
 * @throws OptionError when even the smallest does not
 */
export function fitWeights(
  graph: Graph,
  target: Omit<Target, "threads">,
  { memory, winograd, tuning, dots = usualDots(target.build) }: Budget,
  kept: readonly string[],
): WeightPlan {
  const refuse = (bytes: number): never => {
    const mb = (value: number): string => `${(value / 1e6).toFixed(1)} MB`;
    const message = expectedGot("memoryBytes", `at least ${mb(bytes)} for ${graph.name}`, mb(memory));
    throw new OptionError("memoryBytes", message);
  };
  // Before any step is listed: an absurd input size has too many.
  const estimates = estimate(graph, 1, tuning, dots);
  const least = planWeights(graph, chooseOf(estimates, 0)).end + activationBytes(graph, kept);
  if (!(least <= memory)) refuse(least);
  const bytesOf = memoryCounter(graph, target, kept);
  let allowed = winograd ? memory : 0;
  for (;;) {
    const weights = planWeights(graph, chooseOf(estimates, allowed));
    const excess = bytesOf(weights) - memory;
    if (excess <= 0) return weights;
    if (!(allowed > 0 && Number.isFinite(excess))) refuse(memory + excess);
    allowed = Math.max(0, Math.min(allowed, weights.end) - excess);
  }
}
