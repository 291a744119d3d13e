/**
 * Named tensors as checkpoints hold them, before anything is packed for the kernels.
 */
import type { Graph } from "./graph.ts";

/** Element types a weight file may hold. `I8` comes only from this project's quantizer. */
export type Dtype = "F32" | "F16" | "BF16" | "F64" | "I8" | "I32" | "I64" | "U8";

/** Bytes of one element. */
export const DTYPE_BYTES: Readonly<Record<Dtype, number>> = {
  F32: 4,
  F16: 2,
  BF16: 2,
  F64: 8,
  I8: 1,
  I32: 4,
  I64: 8,
  U8: 1,
};

/** Where a tensor lies and how: everything but its bytes. */
export interface TensorInfo {
  readonly dtype: Dtype;
  /** Sizes in PyTorch's order: conv `[out, in / groups, kh, kw]`, linear `[out, in]`, norm `[c]`. */
  readonly shape: readonly number[];
  /** Elements from one index to the next, per dimension; absent means C order. Lets Keras's HWIO be read in place. */
  readonly strides?: readonly number[];
}

/** A weight file opened at the door: validated, named, its bytes read only on demand. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Tensors are read in the order of `tensors`, each once: the file comes as a stream. */
  readonly sequential?: boolean;
  /** What the file says about itself (safetensors `__metadata__`, batch-norm epsilon, layer names …). */
  readonly metadata: Readonly<Record<string, string>>;
  /** The network, where the file holds it (ONNX): its nodes' names are the tensors'. */
  readonly graph?: Graph;
  /**
   * The tensor's bytes, little-endian. A checkpoint that can writes them to `into`, of that length, and returns it. Throws
   * `ModelError` when the file is shorter than it claims.
   */
  read(name: string, into?: Uint8Array): Promise<Uint8Array>;
  /** Lets the underlying file go. */
  close(): Promise<void>;
}

/** A weight file or a graph that is not what it says it is. */
export class ModelError extends Error {
  override name = "ModelError";
}

/** `<where>: expected <what>, got <what>` and, when there is something to do, a `hint:` line. */
export function complaint(where: string, expected: string, got: string, hint?: string): string {
  return `${where}: expected ${expected}, got ${got}${hint === undefined ? "" : `\n  hint: ${hint}`}`;
}
