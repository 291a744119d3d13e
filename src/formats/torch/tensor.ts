/**
 * Tensors in a PyTorch pickle: views of storages, whose bytes are outside the pickle. Everything that a pickle says of them is
 * checked here before a byte is read.
 */
import { expectedGot, ModelError } from "../../errors.ts";
import { DTYPE_BYTES, type Dtype, type TensorInfo } from "../../tensor.ts";
import { describe, isGlobal, isKind } from "./objects.ts";
import type { Call } from "./vocabulary.ts";

/** An expanded tensor (stride 0) may be larger than its storage, but not than this or the file. */
const SMALL_BYTES = 1 << 20;
const MAX_DIMENSIONS = 64;

interface Element {
  /** Absent where it is not known. */
  readonly bytes?: number;
  /** Absent for elements that no weight here has. */
  readonly dtype?: Dtype;
}

const ELEMENTS: Readonly<Record<string, Element>> = {
  FloatStorage: { bytes: 4, dtype: "F32" },
  HalfStorage: { bytes: 2, dtype: "F16" },
  BFloat16Storage: { bytes: 2, dtype: "BF16" },
  DoubleStorage: { bytes: 8, dtype: "F64" },
  CharStorage: { bytes: 1, dtype: "I8" },
  IntStorage: { bytes: 4, dtype: "I32" },
  LongStorage: { bytes: 8, dtype: "I64" },
  ByteStorage: { bytes: 1, dtype: "U8" },
  BoolStorage: { bytes: 1, dtype: "U8" },
  ShortStorage: { bytes: 2 },
  ComplexFloatStorage: { bytes: 8 },
  ComplexDoubleStorage: { bytes: 16 },
  QInt8Storage: { bytes: 1 },
  QUInt8Storage: { bytes: 1 },
  QInt32Storage: { bytes: 4 },
  UntypedStorage: { bytes: 1 },
};

/** A run of elements that tensors are views of. */
export interface Storage {
  readonly kind: "storage";
  readonly key: string;
  /** `torch.FloatStorage`. */
  readonly type: string;
  readonly element: Element;
  /** The elements `[begin, begin + length)` of all `total` under its key; PyTorch 0.3 also saved parts of storages. */
  readonly begin: number;
  readonly length: number;
  readonly total: number;
}

/** A tensor as the pickle describes it, nothing checked but the kinds of its fields. */
export interface Tensor {
  readonly kind: "tensor";
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A tensor that cannot be read here: sparse, quantized, of an element type that no weight has. Only an error when it is needed. */
export interface Foreign {
  readonly kind: "foreign";
  /** As errors call it: "sparse", "torch.uint16". */
  readonly name: string;
}

/** A tensor's bytes `[begin, begin + length)` in its storage, and what to do with them. */
export interface Place {
  readonly info: TensorInfo;
  readonly storage: Storage;
  readonly begin: number;
  readonly length: number;
  /** Set for a tensor with gaps or repetitions: its strides, by which the elements are gathered into C order. */
  readonly gather?: readonly number[];
}

const rebuildTensor: Call = ([storage, offset, shape, strides], where) => {
  if (!isStorage(storage) || !isCount(offset) || !isCounts(shape) || !isCounts(strides)) {
    const got = [storage, offset, shape, strides].map(describe).join(", ");
    throw new ModelError(
      "malformed",
      expectedGot(where, "a storage, an offset, a shape and strides to make a tensor of", got),
    );
  }
  if (shape.length !== strides.length || shape.length > MAX_DIMENSIONS) {
    const got = `${shape.length} and ${strides.length}`;
    throw new ModelError(
      "malformed",
      expectedGot(where, `as many strides as dimensions, at most ${MAX_DIMENSIONS}`, got),
    );
  }
  return { kind: "tensor", storage, offset, shape, strides } satisfies Tensor;
};

const rebuildParameter: Call = ([tensor], where) => {
  if (isTensor(tensor) || isForeign(tensor)) return tensor;
  throw new ModelError("malformed", expectedGot(where, "a tensor to make a parameter of", describe(tensor)));
};

/** A tensor of an element type that has no storage class of its own; the seventh argument is its dtype. */
const rebuildUntyped: Call = ([, , , , , , dtype]) => ({ kind: "foreign", name: describe(dtype) }) satisfies Foreign;

const foreign =
  (name: string): Call =>
  () =>
    ({ kind: "foreign", name }) satisfies Foreign;

const REBUILD: ReadonlyMap<string, Call> = new Map([
  ["torch._utils._rebuild_tensor", rebuildTensor],
  ["torch._utils._rebuild_tensor_v2", rebuildTensor],
  ["torch._utils._rebuild_tensor_v3", rebuildUntyped],
  ["torch._utils._rebuild_parameter", rebuildParameter],
  ["torch._utils._rebuild_parameter_with_state", rebuildParameter],
  ["torch._utils._rebuild_qtensor", foreign("a quantized tensor")],
  ["torch._utils._rebuild_sparse_tensor", foreign("a sparse tensor")],
  ["torch._utils._rebuild_sparse_csr_tensor", foreign("a sparse tensor")],
  ["torch._utils._rebuild_nested_tensor", foreign("a nested tensor")],
  ["torch._utils._rebuild_device_tensor_from_numpy", foreign("a tensor of another device")],
  ["torch._utils._rebuild_meta_tensor_no_storage", foreign("a tensor without data")],
  ["torch._utils._rebuild_wrapper_subclass", foreign("a tensor of another class")],
]);

/** A tensor of a subclass, or with attributes: (function, type, its arguments, state). */
const rebuildFromType: Call = ([rebuild, , args], where) => {
  const call = isGlobal(rebuild) ? REBUILD.get(rebuild.name) : undefined;
  if (call !== undefined && Array.isArray(args)) return call(args, where);
  throw new ModelError("malformed", expectedGot(where, "a function that rebuilds a tensor", describe(rebuild)));
};

/** Functions that rebuild tensors. */
export const TENSOR_CALLS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ...REBUILD,
  ["torch._tensor._rebuild_from_type_v2", rebuildFromType],
  ["torch.Size", ([sizes]) => sizes ?? []],
]);

/** `("storage", type, key, device, elements)`; legacy files add None or, long ago, `(key of the part, begin, length)`. */
export function readStorage(id: unknown, where: string, storages: Map<string, Storage>): unknown {
  const [tag, type, key, , total, part] = Array.isArray(id) ? id : [];
  // A class whose source code lies beside: `torch.save` of a whole model, before 1.6.
  if (tag === "module") return type;
  const name = isGlobal(type) ? type.name.slice(type.name.lastIndexOf(".") + 1) : "";
  const element: Element = Object.hasOwn(ELEMENTS, name) ? ELEMENTS[name]! : {};
  if (tag !== "storage" || !isGlobal(type) || typeof key !== "string" || !isCount(total)) {
    throw new ModelError("malformed", expectedGot(where, "a storage's type, key and length", describe(id)));
  }
  const [, begin, length] = Array.isArray(part) ? part : [key, 0, total];
  if (!isCount(begin) || !isCount(length) || begin + length > total) {
    throw new ModelError(
      "malformed",
      expectedGot(where, `a part of a storage of ${total} elements`, `[${begin}, + ${length})`),
    );
  }
  const storage: Storage = { kind: "storage", key, type: type.name, element, begin, length, total };
  const other = storages.get(key);
  if (other !== undefined && (other.total !== total || other.type !== type.name)) {
    const expected = `${other.total} elements of ${other.type} in storage ${describe(key)}, as before`;
    throw new ModelError("malformed", expectedGot(where, expected, `${total} of ${type.name}`));
  }
  storages.set(key, storage);
  return storage;
}

/**
 * Where a tensor's bytes are.
 *
 * @param where the file and the tensor's name, for errors
 * @param fileBytes length of the file
 * @throws ModelError for a tensor that reaches beyond its storage, or that repeats elements to more bytes than the file has
 */
export function placeOf(where: string, tensor: Tensor, dtype: Dtype, fileBytes: number): Place {
  const { storage, offset, shape, strides } = tensor;
  const elements = shape.reduce((product, size) => product * size, 1);
  if (elements === 0) return { info: { dtype, shape }, storage, begin: 0, length: 0 };
  const span = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, 1);
  if (!(offset + span <= storage.length)) {
    throw new ModelError(
      "malformed",
      expectedGot(where, `${offset + span} elements in its storage`, `${storage.length}`),
    );
  }
  const size = DTYPE_BYTES[dtype];
  const begin = (storage.begin + offset) * size;
  const order = denseOrder(shape, strides);
  if (order === "c") return { info: { dtype, shape }, storage, begin, length: elements * size };
  if (order === "permuted") {
    // The stride of a dimension of one may be anything in PyTorch, and means nothing.
    const plain = strides.map((stride, i) => (shape[i] === 1 ? 1 : stride));
    return { info: { dtype, shape, strides: plain }, storage, begin, length: elements * size };
  }
  const maxBytes = Math.max(SMALL_BYTES, fileBytes);
  if (!(elements * size <= maxBytes)) {
    const got = `${elements * size} in [${shape.join(", ")}] with strides [${strides.join(", ")}]`;
    throw new ModelError("malformed", expectedGot(where, `at most ${maxBytes} bytes, as the file has`, got));
  }
  return { info: { dtype, shape }, storage, begin, length: span * size, gather: strides };
}

/** "c" for C order, "permuted" for C order of permuted dimensions, `undefined` when elements are skipped or repeated. */
function denseOrder(shape: readonly number[], strides: readonly number[]): "c" | "permuted" | undefined {
  const wide = shape.map((size, i) => ({ i, size, stride: strides[i]! })).filter(({ size }) => size > 1);
  const innermostFirst = [...wide].sort((a, b) => a.stride - b.stride);
  let expected = 1;
  for (const { size, stride } of innermostFirst) {
    if (stride !== expected) return undefined;
    expected *= size;
  }
  return innermostFirst.every(({ i }, at) => i === wide.at(-1 - at)!.i) ? "c" : "permuted";
}

/** The elements that `strides` pick from `bytes`, in C order. */
export function gather(bytes: Uint8Array, { dtype, shape }: TensorInfo, strides: readonly number[]): Uint8Array {
  const size = DTYPE_BYTES[dtype];
  const last = shape.length - 1;
  const [columns, step] = [shape[last]!, strides[last]! * size];
  const rows = shape.slice(0, -1).reduce((product, each) => product * each, 1);
  const packed = new Uint8Array(rows * columns * size);
  const index = new Array<number>(last).fill(0);
  let from = 0;
  let to = 0;
  for (let row = 0; row < rows; row++) {
    if (step === size) packed.set(bytes.subarray(from, from + columns * size), to);
    else {
      for (let column = 0; column < columns; column++) {
        const at = from + column * step;
        for (let byte = 0; byte < size; byte++) packed[to + column * size + byte] = bytes[at + byte]!;
      }
    }
    to += columns * size;
    // The next row's index, the last dimension first.
    for (let i = last - 1; i >= 0; i--) {
      from += strides[i]! * size;
      if (++index[i]! < shape[i]!) break;
      from -= shape[i]! * strides[i]! * size;
      index[i] = 0;
    }
  }
  return packed;
}

export function isTensor(value: unknown): value is Tensor {
  return isKind(value, "tensor");
}

export function isForeign(value: unknown): value is Foreign {
  return isKind(value, "foreign");
}

function isStorage(value: unknown): value is Storage {
  return isKind(value, "storage");
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MAX_DIMENSIONS && value.every(isCount);
}
