/**
 * Int8 networks: a folded graph whose nodes know the scales of what they read and write. Weights are signed 8 bits per
 * output channel; activations behind a ReLU are 0…127, others −127…127, one scale per tensor; sums are exact in i32, so that
 * every build, thread count and runtime gives the same bytes.
 */

import { expectedGot, ModelError } from "./errors.ts";
import { type Graph, type Int8, type Node, nodeOf } from "./graph.ts";
import type { Preprocess } from "./preprocess.ts";

/** What an int8 file says of its activations, in `__metadata__`. */
export interface Quantization {
  /** By folded node: what one unit of its output stands for. Nodes that only move values have none. */
  readonly scales: Readonly<Record<string, number>>;
  /** By convolution or linear layer: the largest sum of magnitudes of one output's weights. */
  readonly weightSums: Readonly<Record<string, number>>;
}

/**
 * Largest scale; the smallest is its inverse. Scales of trained networks are within 1e-4…10. Sums are multiplied by quotients of
 * scales, which stay finite in f32 within these bounds.
 */
const MAX_SCALE = 2 ** 40;

/** Activations are at most this, on either side. */
export const LIMIT = 127;

/** The scale of the input: seven bits of a pixel's byte. Mean and deviation are in the first convolution's weights. */
const PIXEL = 1;

/** Nodes whose output has the scale of their input. */
function keepsScale(node: Node): boolean {
  return node.op === "maxpool" || node.op === "avgpool" || node.op === "shortcut";
}

/** Why a node cannot be computed in int8, or `undefined`. */
export function obstacle(node: Node): string | undefined {
  if (node.op === "gate" || node.op === "sigmoid") return "squeeze-and-excitation";
  if (node.op === "norm") return "a batch norm that is fused into no convolution";
  if (node.op === "clamp") return "a ReLU that is fused into no convolution";
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
 * Gives every node of a folded graph its scales.
 *
 * @throws ModelError naming a node that has no scale, a bad one, or cannot be computed in int8
 */
export function toInt8(
  where: string,
  graph: Graph,
  { scales, weightSums }: Quantization,
  preprocess: Preprocess,
): Graph {
  const made = new Map<string, { readonly scale: number; readonly signed: boolean }>();
  const nodes = graph.nodes.map((node): Node => {
    const isLast = node === graph.nodes.at(-1);
    const reason = isLast && node.op !== "linear" ? `${node.op} at the end` : obstacle(node);
    if (reason !== undefined)
      throw new ModelError(
        "unsupported",
        expectedGot(`${where}: "${node.name}"`, "a layer that int8 supports", reason),
        { subject: node.name },
      );
    if (node.op === "input") {
      made.set(node.name, { scale: PIXEL, signed: false });
      return { ...node, int8: { inputs: [], signed: false, scale: PIXEL } };
    }
    const before = node.inputs.map((name) => made.get(name)!);
    const scale = keepsScale(node)
      ? before[0]!.scale
      : isLast
        ? undefined
        : checkScale(where, node.name, scales[node.name]);
    const reads = nodeOf(graph, node.inputs[0]!);
    const int8: Int8 = {
      inputs: before.map((each) => each.scale),
      signed: before[0]!.signed,
      ...(scale === undefined ? {} : { scale }),
      ...(reads.op === "input" ? { pads: pixelPads(preprocess) } : {}),
      ...(weightSums[node.name] === undefined ? {} : { weightSum: weightSums[node.name]! }),
    };
    const isClamped = "clamp" in node ? node.clamp[0] >= 0 : !before[0]!.signed;
    if (scale !== undefined) made.set(node.name, { scale, signed: !isClamped });
    return { ...node, int8 };
  });
  return { ...graph, nodes };
}

function checkScale(where: string, name: string, scale: unknown): number {
  if (typeof scale === "number" && scale >= 1 / MAX_SCALE && scale <= MAX_SCALE) return scale;
  const got = scale === undefined ? "none" : `${scale}`;
  throw new ModelError(
    "metadata",
    expectedGot(`${where}: "${name}"`, "a scale above 0 for its activations", got, "quantize again"),
    { subject: name },
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
  // Version 0.1.0 wrote "steps".
  let value: (Partial<Quantization> & { readonly steps?: Quantization["scales"] }) | null = null;
  try {
    value = JSON.parse(text);
  } catch {}
  const isRecord = (record: unknown): boolean =>
    typeof record === "object" && record !== null && Object.values(record).every((each) => typeof each === "number");
  const scales = value?.scales ?? value?.steps;
  if (isRecord(scales) && isRecord(value?.weightSums)) return { scales: scales!, weightSums: value!.weightSums! };
  throw new ModelError(
    "metadata",
    expectedGot(`${where}: __metadata__ "quantization"`, "scales and weightSums", text.slice(0, 80)),
  );
}

/** Bounds of a node's int8 output: those of its clamp, in units of its scale, within `LIMIT`. */
export function boundsOf(node: Node): readonly [lo: number, hi: number] {
  const [lo, hi] = "clamp" in node ? node.clamp : [-Infinity, Infinity];
  const scale = node.int8!.scale ?? 1;
  return [Math.max(-LIMIT, Math.round(lo / scale)), Math.min(LIMIT, Math.round(hi / scale))];
}
