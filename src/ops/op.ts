/**
 * What an operation is to the planner: its parameters, its cost, how its weights are packed, and the steps it becomes.
 */
import { expectedGot, ModelError } from "../errors.ts";
import type { ConvNode, Node } from "../graph.ts";
import type { Step } from "../tape.ts";
import type { TensorInfo } from "../tensor.ts";
import type { Tiles, Variant } from "../variants.ts";

/** A tensor that a node wants from the checkpoint, in PyTorch's name and shape. */
export interface Param {
  readonly name: string;
  readonly shape: readonly number[];
  /** What an int8 network must have; others take any float. */
  readonly dtype?: "I8" | "I32" | "F32";
}

/** Where things are while an operation writes its steps. All addresses in bytes. */
export interface Place {
  readonly tiles: Tiles;
  /** Images at once. */
  readonly batch: number;
  /** The node that `name` is the output of. */
  node(name: string): Node;
  /** Activations of a node, `[batch, h, w, c]` f32. */
  address(name: string): number;
  /** A node's packed weights. */
  weights(name: string): number;
  /** Zeros, as many as the widest activation has channels. */
  readonly zeros: number;
  /** How a convolution or linear node is computed. */
  variant(name: string): Variant;
  /** At least `bytes` that the steps of one node share; worthless after its last. */
  workspace(bytes: number): number;
  /** At least `bytes` of the running thread's own; worthless after each step. */
  scratch(bytes: number): number;
}

/** Where the gradient of an operand goes. */
export interface Target {
  /** Byte address, `[batch, h, w, c]` f32; the gradient of the node itself where its buffer is handed on. */
  readonly address: number;
  /** Whether other readers have put their gradients there before, which must be added to. */
  readonly adds: boolean;
}

/** Where things are while an operation writes its training steps. All addresses in bytes. */
export interface TrainPlace extends Place {
  /** Whether the node's own parameters are trained. */
  trains(name: string): boolean;
  /** Whether a norm uses the statistics of the batch. */
  live(name: string): boolean;
  /**
   * A parameter as training holds it, by its tensor's name: a convolution's weight `[kh, kw, c / groups, n]`, a linear
   * layer's `[in, out]`, anything else as the checkpoint has it.
   */
  param(tensor: string): number;
  /** The gradient of a trained parameter, laid out like it. */
  paramGradient(tensor: string): number;
  /** Where a live norm puts the batch statistic that belongs to a running one. */
  fresh(tensor: string): number;
  /** A norm's scale, shift, mean and inverse deviation, `[4, c]` f32, from forward to backward. */
  statistics(name: string): number;
  /** Gradient of a node's output. */
  dy(name: string): number;
  /** Where the gradient of operand `at` goes; undefined when nobody wants it. */
  dx(node: Node, at: number): Target | undefined;
  /** How the gradient of a convolution's input is computed, as a convolution. */
  inputVariant(transposed: ConvNode): Variant;
  /** At least `bytes` for the packed weights of one node; worthless after its last step. */
  panels(bytes: number): number;
}

/** What an operation needs to bring its weights into kernel order. Addresses are good until `pack` returns. */
export interface Packer {
  /** The file's name, for errors. */
  readonly where: string;
  /** How a convolution or linear node is computed. */
  variant(name: string): Variant;
  /** The tensor in wasm memory, as f32, elements in the file's order. */
  tensor(name: string): Promise<{ readonly address: number; readonly info: TensorInfo }>;
  /** The tensor in wasm memory as the file has it. */
  raw(name: string): Promise<{ readonly address: number; readonly bytes: Uint8Array }>;
  /**
   * Puts a layer's panels at `address`, where the file has them in the form that its variant reads.
   *
   * @param bytes of all panels
   * @returns false, having done nothing, where it has not
   */
  panels(name: string, address: number, bytes: number): Promise<boolean>;
  /** A small tensor's values on the host. */
  values(name: string): Promise<Float32Array>;
  /** Writes values to `address`. */
  write(address: number, values: Float32Array): void;
  /** A view of bytes at `address`. */
  view(address: number, bytes: number): Uint8Array;
  /** Copies bytes to `address`. */
  copy(address: number, bytes: Uint8Array): void;
  /** Puts values somewhere in wasm memory. */
  put(values: Float32Array): number;
  /** Bytes of wasm memory that a packing step writes as it likes. */
  scratch(bytes: number): number;
  run(step: Step): void;
}

export interface Op<N extends Node = Node> {
  params(node: N): readonly Param[];
  /** Multiply-adds of one image, as the literature counts them: convolutions and linear layers. */
  macs(node: N): number;
  /** Bytes of packed weights; 0 without any. `variant` is that of a convolution or linear node. */
  weightBytes(node: N, variant: Variant | undefined): number;
  /** Packs the node's weights to `address`. */
  pack(node: N, address: number, packer: Packer): Promise<void>;
  forward(node: N, place: Place): readonly Step[];
}

/** An operation in training. Apart from `Op`, so that a bundle that only infers has none of it. */
export interface TrainOp<N extends Node = Node> {
  /** The forward steps in training, where they are others. */
  train?(node: N, place: TrainPlace): readonly Step[];
  /** Nodes whose outputs `backward` reads. `trained`: whether the node's parameters are. */
  savedForBackward?(node: N, trained: boolean): readonly string[];
  /** The operand whose gradient may take over the buffer of the output's gradient. */
  aliasesGradient?(node: N): number;
  /** From the gradient of the output: adds those of trained parameters, writes or adds those of operands. */
  backward?(node: N, place: TrainPlace): readonly Step[];
}

/** The arguments `lo` and `hi` of a kernel that clamps. */
export function bounds([lo, hi]: readonly [number, number]): { readonly lo: number; readonly hi: number } {
  return { lo, hi };
}

/** What operations without weights share. */
export const WEIGHTLESS = {
  params: () => [],
  macs: () => 0,
  weightBytes: () => 0,
  pack: async () => {},
} as const;

/** Shapes of a batch norm's four tensors. */
export function normParams(name: string, channels: number): readonly Param[] {
  return ["weight", "bias", "running_mean", "running_var"].map((part) => ({
    name: `${name}.${part}`,
    shape: [channels],
  }));
}

/**
 * A batch norm with fixed statistics as `x · scale + shift` (Ioffe & Szegedy 2015, section 3.1), in f64.
 *
 * @throws ModelError for a variance that, with epsilon, is not above 0
 */
export async function normAffine(
  name: string,
  epsilon: number,
  packer: Packer,
): Promise<{ scale: Float64Array; shift: Float64Array }> {
  const gamma = await packer.values(`${name}.weight`);
  const beta = await packer.values(`${name}.bias`);
  const mean = await packer.values(`${name}.running_mean`);
  const variance = await packer.values(`${name}.running_var`);
  const at = variance.findIndex((each) => !(each + epsilon > 0));
  if (at >= 0) {
    const tensor = `${name}.running_var`;
    const got = `${variance[at]} at element ${at}`;
    const expected = `variances above ${-epsilon} in "${tensor}"`;
    throw new ModelError("malformed", expectedGot(packer.where, expected, got), { subject: tensor });
  }
  const scale = new Float64Array(gamma).map((g, i) => g / Math.sqrt(variance[i]! + epsilon));
  const shift = new Float64Array(beta).map((b, i) => b - mean[i]! * scale[i]!);
  return { scale, shift };
}
