/**
 * Int8 networks: a folded graph whose nodes know the steps of what they read and write. Weights are signed 8 bits per
 * output channel; activations behind a ReLU are 0…127, others −127…127, one step a tensor; sums are exact in i32, so that
 * every build, thread count and runtime gives the same bytes.
 */

import { expectedGot, ModelError } from "./errors.ts";
import { type Graph, type Int8, type Node, nodeOf } from "./graph.ts";
import type { Preprocess } from "./preprocess.ts";

/** What an int8 file says of its activations, in `__metadata__`. */
export interface Quantization {
  /** By folded node: what one unit of its output stands for. Nodes that only move values have none. */
  readonly steps: Readonly<Record<string, number>>;
  /** By convolution or linear layer: the largest sum of magnitudes of one output's weights. */
  readonly weightSums: Readonly<Record<string, number>>;
}

/**
 * Largest step; the smallest is its inverse. Steps of trained networks are within 1e-4…10. Sums are multiplied by quotients of
 * steps, which stay finite in f32 within these bounds.
 */
const MAX_STEP = 2 ** 40;

/** Activations are at most this, on either side. */
export const LIMIT = 127;

/** The step of the input: seven bits of a pixel's byte. Mean and deviation are in the first convolution's weights. */
const PIXEL = 1;

/** Nodes whose output has the step of their input. */
function keepsStep(node: Node): boolean {
  return node.op === "maxpool" || node.op === "avgpool" || node.op === "shortcut";
}

/** Why a node cannot be computed in int8, or `undefined`. */
export function obstacle(node: Node): string | undefined {
  if (node.op === "gate" || node.op === "sigmoid") return "squeeze-and-excitation";
  if (node.op === "norm") return "a batch norm that no convolution could take in";
  if (node.op === "clamp") return "a ReLU that no convolution could take in";
  if (node.op !== "conv") return undefined;
  const depth = node.channels / node.groups;
  if (depth % 2 === 0) return undefined;
  return node.groups === 1 && node.dilation.every((each) => each === 1) ? undefined : `${depth} channels in a group`;
}

/** What a pixel outside the image is: zero after normalisation, to the nearest of 0…127. */
function pixelPads({ mean, order }: Preprocess): readonly number[] {
  const pads = mean.map((value) => Math.max(0, Math.min(LIMIT, Math.round(127.5 * value - 0.25))));
  return order === "rgb" ? pads : pads.reverse();
}

/**
 * Gives every node of a folded graph its steps.
 *
 * @throws ModelError naming a node that has no step, a bad one, or cannot be computed in int8
 */
export function toInt8(where: string, graph: Graph, { steps, weightSums }: Quantization, way: Preprocess): Graph {
  const made = new Map<string, { readonly step: number; readonly signed: boolean }>();
  const nodes = graph.nodes.map((node): Node => {
    const isLast = node === graph.nodes.at(-1);
    const reason = isLast && node.op !== "linear" ? `${node.op} at the end` : obstacle(node);
    if (reason !== undefined)
      throw new ModelError("metadata", expectedGot(`${where}: "${node.name}"`, "what int8 has", reason));
    if (node.op === "input") {
      made.set(node.name, { step: PIXEL, signed: false });
      return { ...node, int8: { inputs: [], signed: false, step: PIXEL } };
    }
    const before = node.inputs.map((name) => made.get(name)!);
    const step = keepsStep(node) ? before[0]!.step : isLast ? undefined : checkStep(where, node.name, steps[node.name]);
    const reads = nodeOf(graph, node.inputs[0]!);
    const int8: Int8 = {
      inputs: before.map((each) => each.step),
      signed: before[0]!.signed,
      ...(step === undefined ? {} : { step }),
      ...(reads.op === "input" ? { pads: pixelPads(way) } : {}),
      ...(weightSums[node.name] === undefined ? {} : { weightSum: weightSums[node.name]! }),
    };
    const isClamped = "clamp" in node ? node.clamp[0] >= 0 : !before[0]!.signed;
    if (step !== undefined) made.set(node.name, { step, signed: !isClamped });
    return { ...node, int8 };
  });
  return { ...graph, nodes };
}

function checkStep(where: string, name: string, step: unknown): number {
  if (typeof step === "number" && step >= 1 / MAX_STEP && step <= MAX_STEP) return step;
  const got = step === undefined ? "none" : `${step}`;
  throw new ModelError(
    "metadata",
    expectedGot(`${where}: "${name}"`, "a step above 0 for its activations", got, "quantize again"),
  );
}

/**
 * The quantization in a file's `__metadata__`, or `undefined` when there is none.
 *
 * @throws ModelError when it is not what `quantize` writes
 */
export function readQuantization(where: string, metadata: Readonly<Record<string, string>>): Quantization | undefined {
  const text = metadata.quantization;
  if (text === undefined) return undefined;
  let value: Partial<Quantization> | null = null;
  try {
    value = JSON.parse(text);
  } catch {}
  const isRecord = (record: unknown): boolean =>
    typeof record === "object" && record !== null && Object.values(record).every((each) => typeof each === "number");
  if (value !== null && isRecord(value.steps) && isRecord(value.weightSums)) return value as Quantization;
  throw new ModelError(
    "metadata",
    expectedGot(`${where}: __metadata__ "quantization"`, "steps and weightSums", text.slice(0, 80)),
  );
}

/** Bounds of a node's int8 output: those of its clamp, in steps, within `LIMIT`. */
export function boundsOf(node: Node): readonly [lo: number, hi: number] {
  const [lo, hi] = "clamp" in node ? node.clamp : [-Infinity, Infinity];
  const step = node.int8!.step ?? 1;
  return [Math.max(-LIMIT, Math.round(lo / step)), Math.min(LIMIT, Math.round(hi / step))];
}
