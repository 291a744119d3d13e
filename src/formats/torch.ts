/**
 * PyTorch checkpoints, as torch.save writes them: a zip archive with a pickle and one file per storage (torch 1.6 and
 * later), or a stream of pickles with the storages after them (before, and `_use_new_zipfile_serialization=False`).
 * The pickle is read as data (pickle.ts); storages are read one tensor at a time, in place.
 */
import type { ByteSource } from "../bytes.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { DTYPE_BYTES, type Dtype, type TensorInfo } from "../tensor.ts";
import type { Format } from "./open.ts";
import {
  type Call,
  type Dict,
  describe,
  entriesOf,
  instance,
  isDict,
  isGlobal,
  isKind,
  lookup,
  unpickle,
  type Vocabulary,
} from "./pickle.ts";
import { openZip, type Zip } from "./zip.ts";

/** Longest pickle accepted, in bytes: it describes the tensors and holds none of them. */
const MAX_PICKLE_BYTES = 1 << 26;
/** How much of a legacy file is looked at first; doubled until its pickles fit. */
const WINDOW_BYTES = 1 << 18;
/** An expanded tensor (stride 0) may be larger than its storage, but not than this or the file. */
const SMALL_BYTES = 1 << 20;
const MAX_DIMENSIONS = 64;

const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;
const SAVE_AGAIN = "in Python, save the weights alone: torch.save(model.state_dict(), path)";
const CUT_SHORT = "the file may be cut short; fetch it again";

/** Where training scripts put the state dict, in the order they are preferred. */
const WRAPPERS = [
  "state_dict",
  "model_state_dict",
  "model",
  "model_state",
  "net",
  "network",
  "state_dict_ema",
  "model_ema",
  "ema_state_dict",
  "ema",
  "module",
  "weights",
  "params",
];

interface Element {
  readonly bytes: number;
  /** Absent for elements this package has no use for. */
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
};

/** A run of elements that tensors are views of. */
interface Storage {
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
interface Tensor {
  readonly kind: "tensor";
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A tensor's bytes `[begin, begin + length)` in its storage, and what to do with them. */
interface Place {
  readonly info: TensorInfo;
  readonly storage: Storage;
  readonly begin: number;
  readonly length: number;
  /** Set for a tensor with gaps or repetitions: its strides, by which the elements are gathered into C order. */
  readonly gather?: readonly number[];
}

/** What differs between the two formats: the pickled object, and how a storage's bytes are read. */
interface Opened {
  readonly root: unknown;
  /** Throws unless the storage is there, and as long as the pickle says. */
  check(storage: Storage, tensor: string): void;
  read(storage: Storage, offset: number, length: number): Promise<Uint8Array>;
}

/**
 * Opens a PyTorch checkpoint: a state dict, or a dict that holds one under `state_dict`, `model` and the like. Tensors keep
 * the names they have there. Those that are permuted without gaps (`channels_last`) are described with strides; other views
 * are gathered when they are read.
 *
 * Metadata: `format` "torch"; `arch` when the training script saved it beside the state dict.
 *
 * Throws `ModelError` for whatever is not plain data, naming what the file wanted imported; for a file of another kind; and,
 * by its name, for a tensor that reaches beyond its storage or has a dtype that this package lacks.
 *
 * @param kind what `sniff` says: "zip" since torch 1.6, "pickle" before
 */
export async function openTorch(source: ByteSource, kind: "zip" | "pickle"): Promise<Checkpoint> {
  const where = source.name;
  const { root, check, read } = await (kind === "zip" ? openArchive(source) : openLegacy(source));
  const places = new Map<string, Place>();
  for (const [name, value] of entriesOf(stateDict(where, root))) {
    if (!isTensor(value)) continue;
    const culprit = `${where}: ${JSON.stringify(name)}`;
    if (places.has(name))
      throw new ModelError("malformed", expectedGot(culprit, "one tensor of that name", "two"), { subject: name });
    const place = placeOf(culprit, value, Math.max(SMALL_BYTES, source.size));
    check(place.storage, culprit);
    places.set(name, place);
  }
  return {
    tensors: new Map([...places].map(([name, { info }]) => [name, info])),
    metadata: { format: "torch", ...archOf(root) },
    async read(name) {
      const place = places.get(name);
      if (place === undefined) {
        throw new ModelError(
          "tensor-missing",
          expectedGot(where, `a tensor ${JSON.stringify(name)}`, "none of that name"),
          { subject: name },
        );
      }
      const bytes = await read(place.storage, place.begin, place.length);
      return place.gather === undefined ? bytes : gather(bytes, place.info, place.gather);
    },
    close: () => source.close(),
  };
}

async function openArchive(source: ByteSource): Promise<Opened> {
  const where = source.name;
  const zip = await openZip(source);
  const folder = archiveFolder(where, zip);
  const order = `${folder}byteorder`;
  if (zip.files.has(order)) {
    const text = new TextDecoder().decode(await zip.read(order, 0, Math.min(zip.files.get(order)!, 16)));
    if (text.trim() !== "little") {
      throw new ModelError(
        "unsupported",
        expectedGot(`${where}: ${JSON.stringify(order)}`, "little-endian tensors", describe(text), SAVE_AGAIN),
      );
    }
  }
  const pickle = `${folder}data.pkl`;
  const culprit = `${where}: ${JSON.stringify(pickle)}`;
  const size = zip.files.get(pickle)!;
  if (size > MAX_PICKLE_BYTES) throw tooLong(culprit, size);
  const result = unpickle(culprit, await zip.read(pickle), 0, vocabularyOf(new Map()));
  if (result === undefined) {
    throw new ModelError(
      "truncated",
      expectedGot(culprit, "a whole pickle", `${size} bytes without its end`, CUT_SHORT),
    );
  }
  const file = (storage: Storage) => `${folder}data/${storage.key}`;
  return {
    root: result.value,
    check(storage, tensor) {
      const expected = storage.total * storage.element.bytes;
      const bytes = zip.files.get(file(storage));
      if (bytes === expected) return;
      const got = bytes === undefined ? "no such file" : `${bytes}`;
      throw new ModelError(
        "malformed",
        expectedGot(tensor, `${expected} bytes in ${JSON.stringify(file(storage))}`, got),
      );
    },
    read: (storage, offset, length) => zip.read(file(storage), offset, length),
  };
}

/** The folder of the archive that data.pkl is in, with its slash: torch.save names it after the file. */
function archiveFolder(where: string, zip: Zip): string {
  const found = [...zip.files.keys()].filter((name) => /^(?:[^/]+\/)?data\.pkl$/.test(name));
  const folder = found[0]?.slice(0, -"data.pkl".length);
  if (folder === undefined) {
    const names = [...zip.files.keys()].slice(0, 4).map((name) => describe(name));
    const got = names.length === 0 ? "an empty archive" : `${names.join(", ")}${zip.files.size > 4 ? " …" : ""}`;
    throw new ModelError(
      "not-a-model",
      expectedGot(where, "a zip archive of torch.save, with <name>/data.pkl in it", got),
    );
  }
  if (found.length > 1) {
    throw new ModelError("malformed", expectedGot(where, "one data.pkl in the archive", `${found.length}`));
  }
  if (zip.files.has(`${folder}constants.pkl`)) {
    throw new ModelError(
      "unsupported",
      expectedGot(where, "a state dict", "a TorchScript program (torch.jit.save)", SAVE_AGAIN),
    );
  }
  return folder;
}

async function openLegacy(source: ByteSource): Promise<Opened> {
  const where = source.name;
  const storages = new Map<string, Storage>();
  const { root, keys, end } = await readPickles(source, vocabularyOf(storages));
  /** Where each storage's bytes begin, after the eight of its length. */
  const begins = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined || begins.has(key)) {
      const got = storage === undefined ? "of no tensor" : "twice";
      throw new ModelError(
        "malformed",
        expectedGot(`${where}: storage ${describe(key)}`, "each tensor's storage once", got),
      );
    }
    begins.set(key, at + 8);
    at += 8 + storage.total * storage.element.bytes;
  }
  if (at > source.size)
    throw new ModelError("truncated", expectedGot(where, `${at} bytes`, `${source.size}`, CUT_SHORT));
  if (at < source.size) {
    throw new ModelError(
      "malformed",
      expectedGot(where, `${at} bytes`, `${source.size}, with bytes that belong to no tensor`),
    );
  }
  return {
    root,
    check(storage, tensor) {
      if (begins.has(storage.key)) return;
      throw new ModelError("malformed", expectedGot(tensor, `a storage ${describe(storage.key)} in the file`, "none"));
    },
    async read(storage, offset, length) {
      const begin = begins.get(storage.key)!;
      const head = await source.read(begin - 8, 8);
      const elements = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true);
      if (elements !== BigInt(storage.total)) {
        const culprit = `${where}: storage ${describe(storage.key)}`;
        throw new ModelError(
          "malformed",
          expectedGot(culprit, `${storage.total} elements, as its tensors say`, `${elements}`),
        );
      }
      return source.read(begin + offset, length);
    },
  };
}

/** The five pickles at the beginning of a legacy file: magic, protocol, system, the object, the storages' keys in order. */
async function readPickles(
  source: ByteSource,
  vocabulary: Vocabulary,
): Promise<{ readonly root: unknown; readonly keys: readonly string[]; readonly end: number }> {
  const where = source.name;
  for (let length = WINDOW_BYTES; ; length *= 2) {
    const bytes = await source.read(0, Math.min(length, source.size));
    if (isTar(bytes)) {
      const expected = "a checkpoint of PyTorch 0.1.11 or later";
      throw new ModelError("unsupported", expectedGot(where, expected, "the tar format of earlier ones", SAVE_AGAIN));
    }
    const values: unknown[] = [];
    let end = 0;
    while (values.length < 5) {
      const result = unpickle(where, bytes, end, vocabulary);
      if (result === undefined) break;
      values.push(result.value);
      end = result.end;
      checkLead(where, values);
    }
    if (values.length === 5) {
      const [, , , root, keys] = values;
      if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string")) {
        throw new ModelError("malformed", expectedGot(where, "the list of the storages' keys", describe(keys)));
      }
      return { root, keys, end };
    }
    if (length >= source.size) {
      throw new ModelError(
        "truncated",
        expectedGot(where, "a whole PyTorch checkpoint", `${source.size} bytes of one`, CUT_SHORT),
      );
    }
    if (length >= MAX_PICKLE_BYTES) throw tooLong(where, source.size);
  }
}

/** Checks the pickle read last, when it is one of the first three. */
function checkLead(where: string, values: readonly unknown[]): void {
  const value = values.at(-1);
  if (values.length === 1 && value !== LEGACY_MAGIC) {
    throw new ModelError("not-a-model", expectedGot(where, "torch.save's magic number", describe(value), SAVE_AGAIN));
  }
  if (values.length === 2 && value !== LEGACY_PROTOCOL) {
    throw new ModelError("malformed", expectedGot(where, `protocol ${LEGACY_PROTOCOL} of torch.save`, describe(value)));
  }
  if (values.length !== 3) return;
  if (!isDict(value))
    throw new ModelError("malformed", expectedGot(where, "a dict that describes the system", describe(value)));
  if (lookup(value, "little_endian") !== true) {
    throw new ModelError("unsupported", expectedGot(where, "little-endian tensors", "big-endian ones", SAVE_AGAIN));
  }
}

function isTar(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(257, 262)) === "ustar";
}

function tooLong(where: string, bytes: number): ModelError {
  const expected = `a pickle of at most ${MAX_PICKLE_BYTES} bytes`;
  return new ModelError("unsupported", expectedGot(where, expected, `one of ${bytes}`, SAVE_AGAIN));
}

/** What a checkpoint's pickle may name: functions that rebuild tensors, types of storages and of elements. */
function vocabularyOf(storages: Map<string, Storage>): Vocabulary {
  return { globals: GLOBALS, persistent: (id, where) => readStorage(id, where, storages) };
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
  if (isTensor(tensor)) return tensor;
  throw new ModelError("malformed", expectedGot(where, "a tensor to make a parameter of", describe(tensor)));
};

const REBUILD: ReadonlyMap<string, Call> = new Map([
  ["torch._utils._rebuild_tensor", rebuildTensor],
  ["torch._utils._rebuild_tensor_v2", rebuildTensor],
  ["torch._utils._rebuild_parameter", rebuildParameter],
  ["torch._utils._rebuild_parameter_with_state", rebuildParameter],
]);

/** A tensor of a subclass, or with attributes: (function, type, its arguments, state). */
const rebuildFromType: Call = ([rebuild, , args], where) => {
  const call = isGlobal(rebuild) ? REBUILD.get(rebuild.name) : undefined;
  if (call !== undefined && Array.isArray(args)) return call(args, where);
  throw new ModelError("malformed", expectedGot(where, "a function that rebuilds a tensor", describe(rebuild)));
};

const GLOBALS: ReadonlyMap<string, Call | undefined> = new Map<string, Call | undefined>([
  ...REBUILD,
  ["torch._tensor._rebuild_from_type_v2", rebuildFromType],
  ["torch.Tensor", undefined],
  ["torch.nn.parameter.Parameter", undefined],
  ["torch.Size", ([sizes]) => sizes ?? []],
  ["torch.device", instance("torch.device")],
  ...Object.keys(ELEMENTS).flatMap((name): [string, undefined][] => [
    [`torch.${name}`, undefined],
    [`torch.cuda.${name}`, undefined],
  ]),
  ...["float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"].map(
    (name): [string, undefined] => [`torch.${name}`, undefined],
  ),
]);

/** `("storage", type, key, device, elements)`; legacy files add None or, long ago, `(key of the part, begin, length)`. */
function readStorage(id: unknown, where: string, storages: Map<string, Storage>): Storage {
  const [tag, type, key, , total, part] = Array.isArray(id) ? id : [];
  if (tag === "module") {
    throw new ModelError(
      "unsupported",
      expectedGot(where, "a state dict", `a whole model, ${describe(type)}`, SAVE_AGAIN),
    );
  }
  const element = isGlobal(type) ? ELEMENTS[type.name.slice(type.name.lastIndexOf(".") + 1)] : undefined;
  if (tag !== "storage" || !isGlobal(type) || element === undefined || typeof key !== "string" || !isCount(total)) {
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
  if (other !== undefined && (other.total !== total || other.element !== element)) {
    const expected = `${other.total} elements of ${other.type} in storage ${describe(key)}, as before`;
    throw new ModelError("malformed", expectedGot(where, expected, `${total} of ${type.name}`));
  }
  storages.set(key, storage);
  return storage;
}

/** The dict that holds the tensors. */
function stateDict(where: string, root: unknown): Dict {
  const expected = "a state dict, or a dict with one in it";
  if (!isDict(root)) throw new ModelError("not-a-model", expectedGot(where, expected, describe(root), SAVE_AGAIN));
  for (const key of WRAPPERS) {
    const value = lookup(root, key);
    if (isDict(value) && hasTensor(value)) return value;
  }
  if (hasTensor(root)) return root;
  const keys = [...entriesOf(root)].map(([key]) => describe(key));
  const got = keys.length === 0 ? "an empty dict" : `a dict of ${keys.slice(0, 8).join(", ")}`;
  const hint = `the state dict is looked for under ${WRAPPERS.slice(0, 5).join(", ")} …`;
  throw new ModelError("not-a-model", expectedGot(where, expected, keys.length > 8 ? `${got} …` : got, hint));
}

function hasTensor(dict: Dict): boolean {
  for (const [, value] of entriesOf(dict)) if (isTensor(value)) return true;
  return false;
}

function archOf(root: unknown): { readonly arch?: string } {
  const arch = isDict(root) ? lookup(root, "arch") : undefined;
  return typeof arch === "string" ? { arch } : {};
}

function placeOf(where: string, tensor: Tensor, maxBytes: number): Place {
  const { storage, offset, shape, strides } = tensor;
  const { dtype } = storage.element;
  if (dtype === undefined) {
    const known = `a dtype of ${Object.keys(DTYPE_BYTES).join(", ")} or bool`;
    throw new ModelError("unsupported", expectedGot(where, known, storage.type));
  }
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
function gather(bytes: Uint8Array, { dtype, shape }: TensorInfo, strides: readonly number[]): Uint8Array {
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

function isTensor(value: unknown): value is Tensor {
  return isKind(value, "tensor");
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

/** PyTorch's own files, `.pth`, `.th`, `.pt`. */
export const TORCH: Format = {
  label: "a PyTorch checkpoint",
  reads: ({ kind }) => kind === "zip" || kind === "pickle",
  open: ({ source, kind }) => openTorch(source, kind as "zip" | "pickle"),
};
