/**
 * A network as a list of nodes in the order they run, with shapes: plain data that can be printed, compared and folded.
 */

import { expectedGot } from "./errors.ts";
import type { OutputKind } from "./output.ts";

/** Height, width and channels of one image's activation; the batch is not part of a graph. */
export type Shape = readonly [h: number, w: number, c: number];

/** Rows or pixels to add on each side. */
export type Pads = readonly [top: number, left: number, bottom: number, right: number];

/** Bounds of the result: ReLU is `[0, Infinity]`, ReLU6 `[0, 6]`. */
export type Clamp = readonly [lo: number, hi: number];

export const NO_CLAMP: Clamp = [-Infinity, Infinity];
export const RELU: Clamp = [0, Infinity];

/** A batch norm that a fold moved into the convolution before it. */
export interface FoldedNorm {
  /** Prefix of its tensors: `<name>.weight`, `.bias`, `.running_mean`, `.running_var`, each `[c]`. */
  readonly name: string;
  readonly epsilon: number;
}

/** How a node of an int8 network computes. A scale is what one unit of an int8 activation stands for. */
export interface Int8 {
  /** Scales of the inputs, in their order. */
  readonly inputs: readonly number[];
  /** Whether the first input may be negative; else it is 0…127. */
  readonly signed: boolean;
  /** Scale of the output; absent where the output is f32: the logits. */
  readonly scale?: number;
  /** Of the first convolution: what a pixel outside the image is, by channel. */
  readonly pads?: readonly number[];
  /** The largest sum of magnitudes among the outputs' weights: whether a Winograd sum is exact. */
  readonly weightSum?: number;
}

interface Base {
  /** The checkpoint's own name where the node has weights, so `layer1.0.conv1`, `fc`. */
  readonly name: string;
  readonly shape: Shape;
  readonly inputs: readonly string[];
  /** Set in int8 networks. */
  readonly int8?: Int8;
}

export interface InputNode extends Base {
  readonly op: "input";
}

/** Cross-correlation of NHWC activations with OIHW weights, plus whatever a fold put into its store. */
export interface ConvNode extends Base {
  readonly op: "conv";
  readonly kernel: readonly [h: number, w: number];
  readonly stride: readonly [h: number, w: number];
  readonly dilation: readonly [h: number, w: number];
  readonly pads: Pads;
  readonly groups: number;
  /** Input channels: the weight is `[shape[2], channels / groups, kh, kw]`. */
  readonly channels: number;
  readonly bias: boolean;
  /** Set by folding. */
  readonly norm?: FoldedNorm;
  readonly clamp: Clamp;
  /** Set by folding: `inputs[1]` is added before the clamp. */
  readonly residual: boolean;
}

export interface NormNode extends Base {
  readonly op: "norm";
  readonly epsilon: number;
  /** Set by folding: the ReLU that followed. */
  readonly clamp: Clamp;
  /** Set by fusing, for training: `inputs[1]` is added before the clamp. */
  readonly residual?: boolean;
}

export interface ClampNode extends Base {
  readonly op: "clamp";
  readonly clamp: Clamp;
}

export interface AddNode extends Base {
  readonly op: "add";
  readonly clamp: Clamp;
}

export interface PoolNode extends Base {
  readonly op: "maxpool" | "avgpool";
  readonly kernel: readonly [h: number, w: number];
  readonly stride: readonly [h: number, w: number];
  readonly pads: Pads;
  /** Average pooling: whether padding counts as pixels. */
  readonly countPads: boolean;
  /** Whether a last window may hang over the end (PyTorch's `ceil_mode`). */
  readonly ceil: boolean;
}

/** Channel by channel, `inputs[0]` times the one pixel `inputs[1]`: the gate of a squeeze-and-excitation block. */
export interface GateNode extends Base {
  readonly op: "gate";
}

/** The logistic function, element by element. */
export interface SigmoidNode extends Base {
  readonly op: "sigmoid";
}

/** Mean over all pixels: `[h, w, c]` to `[1, 1, c]`. */
export interface GlobalPoolNode extends Base {
  readonly op: "globalpool";
}

/** The parameter-free shortcut of He et al. (option A): every `stride`-th pixel, new channels zero, half on each side. */
export interface PadShortcutNode extends Base {
  readonly op: "shortcut";
  readonly stride: number;
  /** Zero channels before the copied ones. */
  readonly before: number;
}

export interface LinearNode extends Base {
  readonly op: "linear";
  /** Inputs: the weight is `[shape[2], channels]`. */
  readonly channels: number;
  readonly bias: boolean;
}

export type Node =
  | InputNode
  | ConvNode
  | NormNode
  | ClampNode
  | AddNode
  | PoolNode
  | GlobalPoolNode
  | GateNode
  | SigmoidNode
  | PadShortcutNode
  | LinearNode;

export interface Graph {
  /** `resnet50`, `plain20` … */
  readonly name: string;
  readonly nodes: readonly Node[];
  /** What the last node's numbers mean, where the file says it. */
  readonly output?: OutputKind;
}

/** The node called `name`. Throws `RangeError` when the graph has none. */
export function nodeOf(graph: Graph, name: string): Node {
  const node = graph.nodes.find((candidate) => candidate.name === name);
  if (node === undefined) throw new RangeError(expectedGot(graph.name, `a node called "${name}"`, "none"));
  return node;
}

/** Bytes of one element of a node's output. */
export function elementBytes(node: Node): 1 | 4 {
  return node.int8?.scale === undefined ? 4 : 1;
}

/** To the kernels, a linear layer is a 1×1 convolution of a one-pixel image. */
export function asConv(node: LinearNode): ConvNode {
  return {
    ...node,
    op: "conv",
    kernel: [1, 1],
    stride: [1, 1],
    dilation: [1, 1],
    pads: [0, 0, 0, 0],
    groups: 1,
    clamp: NO_CLAMP,
    residual: false,
  };
}

/** Shape of the network's input `[h, w, c]`. */
export function inputShape(graph: Graph): Shape {
  return graph.nodes[0]!.shape;
}

/** The last node: the logits, `[1, 1, classes]`, or features where a network has no classifier. */
export function outputNode(graph: Graph): Node {
  return graph.nodes.at(-1)!;
}

/** The node whose output the last layer classifies; the last node itself where it is no linear layer. */
export function featuresNode(graph: Graph): Node {
  const last = outputNode(graph);
  return last.op === "linear" ? nodeOf(graph, last.inputs[0]!) : last;
}

/** Output length of a sliding window over `size` elements. */
export function windowed(size: number, kernel: number, stride: number, dilation: number, pads: number): number {
  return Math.floor((size + pads - dilation * (kernel - 1) - 1) / stride) + 1;
}

/** Output length of a pooling window on one axis: with `ceil`, also of a last one that hangs over, but not of one in the padding. */
export function pooled(
  size: number,
  kernel: number,
  stride: number,
  pads: readonly [number, number],
  ceil: boolean,
): number {
  if (!ceil) return windowed(size, kernel, stride, 1, pads[0] + pads[1]);
  const length = Math.ceil((size + pads[0] + pads[1] - kernel) / stride) + 1;
  return (length - 1) * stride >= size + pads[0] ? length - 1 : length;
}
