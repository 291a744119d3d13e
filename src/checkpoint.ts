/** A weight file opened at the door: its tensors by name, and their values as f32. */
import { untilAborted } from "./abort.ts";
import { expectedGot, ModelError } from "./errors.ts";
import type { Graph } from "./graph.ts";
import type { Build } from "./tape.ts";
import type { TensorInfo } from "./tensor.ts";

/** Something that the file does not say and that was assumed. Programs decide by the key, people read the message. */
export interface Guess {
  readonly key: GuessKey;
  readonly message: string;
}

/** What was assumed: what a name is the name of, whether the copy in the cache is the newest or is kept, which network of several, its layers without weights, the input, the output's meaning, or that weights lie as they are wanted. */
export type GuessKey =
  | "source"
  | "cache"
  | "network"
  | "head"
  | "stem"
  | "shortcut"
  | "stride"
  | "layers"
  | "size"
  | "preprocess"
  | "output"
  | "unused"
  | "layout";

/** How weights lie in panels: in cells of f32, of four int8 inputs, or of two. */
export type Form = "f32" | "dot8" | "dot16";

/** How a file's packed weights lie. */
export interface Layout {
  readonly version: number;
  /** The build whose choice of algorithms it is. */
  readonly build: Build;
  /** The int8 products that were chosen among. */
  readonly dots?: "dot8" | "dot16" | "both" | undefined;
  /** Outputs of a panel. */
  readonly columns: number;
  /** By convolution or linear layer. */
  readonly layers: Readonly<Record<string, PackedLayer>>;
}

export interface PackedLayer {
  /** An `Algorithm`, as the build that wrote the file named it. */
  readonly algorithm: string;
  /** Absent where the layer's weight is not packed. */
  readonly form?: Form;
  /** Of the weight, as any other file has it. */
  readonly shape?: readonly number[];
  readonly groups?: number;
}

/** Weights as kernels read them, by convolution or linear layer. */
export interface PackedWeights {
  readonly layout: Layout;
  /** How a layer's lie; undefined where they are not packed. */
  form(node: string): Form | undefined;
  /** A layer's panels, as `Checkpoint.read`. */
  read(node: string, into?: Uint8Array): Promise<Uint8Array>;
}

/** A weight file opened at the door: validated, named, its bytes read only on demand. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Tensors that are there but of an element type or layout that no weight here has: their names, and what they are. */
  readonly foreign?: ReadonlyMap<string, string>;
  /** What a tensor is called in the file, for messages. */
  originalName?(name: string): string;
  /** What was assumed when it was opened. */
  readonly guesses?: readonly Guess[];
  /** The file is of contrastive training: the network makes embeddings. */
  readonly contrastive?: boolean;
  /** Tensors are read in the order of `tensors`, each once: the file comes as a stream. */
  readonly sequential?: boolean;
  /** What the file says about itself (safetensors `__metadata__`, batch-norm epsilon, layer names …). */
  readonly metadata: Readonly<Record<string, string>>;
  /** The network, where the file holds it (ONNX): its nodes' names are the tensors'. */
  readonly graph?: Graph;
  /** Layers whose weights the file holds as kernels read them (formats/packed.ts). */
  readonly packed?: PackedWeights;
  /**
   * The tensor's bytes, little-endian. A checkpoint that can writes them to `into`, of that length, and returns it. Throws
   * `ModelError` when the file is shorter than it claims.
   */
  read(name: string, into?: Uint8Array): Promise<Uint8Array>;
  /** Lets the underlying file go. */
  close(): Promise<void>;
}

/**
 * The same tensors, to be read in any order and as often as need be: of a stream they are read now, and held in memory.
 */
export async function rereadable(checkpoint: Checkpoint, signal?: AbortSignal): Promise<Checkpoint> {
  if (checkpoint.sequential !== true) return checkpoint;
  const held = new Map<string, Uint8Array>();
  for (const name of checkpoint.tensors.keys()) {
    held.set(name, (await untilAborted(checkpoint.read(name), signal)).slice());
  }
  const { sequential: _, packed: __, ...rest } = checkpoint;
  return { ...rest, read: async (name) => held.get(name)! };
}

/** A tensor of any element type as f32, in C order. */
export async function readValues(checkpoint: Checkpoint, name: string): Promise<Float32Array<ArrayBuffer>> {
  const info = checkpoint.tensors.get(name)!;
  const bytes = await checkpoint.read(name);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = reader(info, view, name);
  const count = info.shape.reduce((a, b) => a * b, 1);
  const values = new Float32Array(count);
  const { shape, strides } = info;
  if (strides === undefined) {
    for (let i = 0; i < count; ++i) values[i] = at(i);
    return values;
  }
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let i = 0; i < count; ++i) {
    values[i] = at(from);
    for (let axis = shape.length - 1; axis >= 0; --axis) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return values;
}

function reader(info: TensorInfo, view: DataView, name: string): (i: number) => number {
  const bits = new DataView(new ArrayBuffer(4));
  switch (info.dtype) {
    case "F32":
      return (i) => view.getFloat32(4 * i, true);
    case "F64":
      return (i) => view.getFloat64(8 * i, true);
    case "BF16":
      return (i) => {
        bits.setUint32(0, view.getUint16(2 * i, true) << 16);
        return bits.getFloat32(0);
      };
    case "F16":
      return (i) => fromHalf(view.getUint16(2 * i, true));
    default:
      throw new ModelError("tensor-shape", expectedGot(`"${name}"`, "F32, F16, BF16 or F64", info.dtype), {
        subject: name,
      });
  }
}

/** IEEE 754 binary16 to a number. */
function fromHalf(half: number): number {
  const [sign, exponent, fraction] = [half & 0x8000 ? -1 : 1, (half >> 10) & 31, half & 1023];
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}
