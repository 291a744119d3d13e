/**
 * A tensor as ONNX stores it: raw bytes, typed protobuf fields, or a stretch of another file ("external data"). Its length
 * is checked when it is found; its bytes are read when they are wanted, and none is held.
 */
import { PbfReader } from "pbf";
import type { ByteSource, Folder } from "../../bytes.ts";
import { expectedGot, ModelError } from "../../errors.ts";
import type { Dtype } from "../../tensor.ts";
import type { Span, TensorProto } from "./proto.ts";

/** `TensorProto.DataType`, and what this project calls it where a weight may be of it. */
const TYPES: readonly (readonly [name: string, bytes: number, dtype?: Dtype])[] = [
  ["UNDEFINED", 0],
  ["FLOAT", 4, "F32"],
  ["UINT8", 1],
  ["INT8", 1],
  ["UINT16", 2],
  ["INT16", 2],
  ["INT32", 4],
  ["INT64", 8],
  ["STRING", 0],
  ["BOOL", 1],
  ["FLOAT16", 2, "F16"],
  ["DOUBLE", 8, "F64"],
  ["UINT32", 4],
  ["UINT64", 8],
  ["COMPLEX64", 8],
  ["COMPLEX128", 16],
  ["BFLOAT16", 2, "BF16"],
];

/** Most elements of a tensor that is read as a constant. */
const MAX_CONSTANT = 1 << 16;

/** The name of an element type, as errors show it. */
export function typeName(type: number | undefined): string {
  return TYPES[type ?? 0]?.[0] ?? `element type ${type}`;
}

/** Whether an element type is one that weights and activations have. */
export function isFloat(type: number | undefined): boolean {
  return TYPES[type ?? 0]?.[2] !== undefined;
}

/** A tensor that was found and measured. */
export interface Stored {
  readonly name: string;
  readonly dims: readonly number[];
  readonly type: number;
  /** Set where the elements are floating-point numbers. */
  readonly dtype: Dtype | undefined;
  /** The elements, little-endian, in C order. */
  read(): Promise<Uint8Array>;
}

/** Where tensors are looked for: the ONNX file, and the files beside it, opened once each. */
export interface Store {
  readonly source: ByteSource;
  /** Opens a file by its external-data location. Throws `ModelError` when that is not inside the model's folder. */
  open(where: string, location: string): Promise<ByteSource>;
  close(): Promise<void>;
}

/** @param directory of the ONNX file in `folder`: empty, or with a slash at its end */
export function storeOf(source: ByteSource, folder: Folder, directory: string): Store {
  const opened = new Map<string, ByteSource>();
  return {
    source,
    async open(where, location) {
      const parts = location.split(/[/\\]/);
      if (location === "" || parts[0] === "" || parts.includes("..") || location.includes(":") || /\0/.test(location)) {
        const expected = "external data in the model's own folder";
        throw new ModelError("malformed", expectedGot(where, expected, JSON.stringify(location.slice(0, 200))));
      }
      const known = opened.get(location);
      if (known !== undefined) return known;
      const file = await folder.open(directory + location);
      opened.set(location, file);
      return file;
    },
    async close() {
      await Promise.all([source, ...opened.values()].map((file) => file.close()));
    },
  };
}

/** Finds a tensor's data and checks that there is as much of it as its dimensions ask for. */
export async function locate(where: string, proto: TensorProto, store: Store): Promise<Stored> {
  const { name, dims, dataType: type = 0 } = proto;
  const [, bytes, dtype] = TYPES[type] ?? ["", 0];
  if (proto.segment)
    throw new ModelError("unsupported", expectedGot(where, "a whole tensor", "a segment of one"), { subject: name });
  if (bytes === 0)
    throw new ModelError("unsupported", expectedGot(where, "numbers", typeName(type)), { subject: name });
  const count = dims.reduce((product, size) => product * (size < 0 ? Number.NaN : size), 1);
  if (!Number.isSafeInteger(count * bytes)) {
    throw new ModelError(
      "malformed",
      expectedGot(where, "dimensions of less than 2^53 bytes", `[${dims.join(", ")}]`),
      { subject: name },
    );
  }
  const found = { name, dims, type, dtype };
  const fields = { raw: proto.raw, floats: proto.floats, int32s: proto.int32s, int64s: proto.int64s };
  const all = Object.entries({ ...fields, doubles: proto.doubles, uint64s: proto.uint64s });
  const used = all.filter(([, spans]) => spans.length > 0);
  if (proto.location === 1) {
    if (used.length > 0)
      throw new ModelError("malformed", expectedGot(where, "external data", "data in the file as well"), {
        subject: name,
      });
    const part = await external(where, proto, store, count * bytes);
    return { ...found, read: () => part.file.read(part.offset, count * bytes) };
  }
  const [kind, spans] = used[0] ?? ["raw", [{ offset: 0, length: 0 }]];
  if (used.length > 1 || spans.length > 1) {
    throw new ModelError(
      "malformed",
      expectedGot(where, "its data in one piece", `${used.length > 1 ? "several kinds" : "several"}`),
      { subject: name },
    );
  }
  const [span] = spans as [Span];
  const expected = (elements: number): string => `${elements} elements for ${typeName(type)} [${dims.join(", ")}]`;
  if (kind === "raw" || kind === (type === 1 ? "floats" : type === 11 ? "doubles" : "")) {
    if (span.length !== count * bytes) {
      throw new ModelError(
        "malformed",
        expectedGot(where, `${count * bytes} bytes, ${expected(count)}`, `${span.length}`),
        { subject: name },
      );
    }
    return { ...found, read: () => store.source.read(span.offset, span.length) };
  }
  const varints = type === 7 ? "int64s" : type === 12 || type === 13 ? "uint64s" : "int32s";
  if (kind !== varints || type === 1 || type === 11) {
    throw new ModelError("malformed", expectedGot(where, `data of ${typeName(type)}`, `them in the field of ${kind}`), {
      subject: name,
    });
  }
  // Half-precision numbers in a field of 32-bit integers: as many varints as there are bytes without a high bit.
  const packed = await store.source.read(span.offset, span.length);
  const got = packed.reduce((sum, byte) => sum + (byte < 0x80 ? 1 : 0), 0);
  if (got !== count || (packed.at(-1) ?? 0) >= 0x80)
    throw new ModelError("malformed", expectedGot(where, expected(count), `${got}`), { subject: name });
  return { ...found, read: async () => unpack(await store.source.read(span.offset, span.length), count, bytes) };
}

async function external(
  where: string,
  proto: TensorProto,
  store: Store,
  bytes: number,
): Promise<{ file: ByteSource; offset: number }> {
  const entries = new Map(proto.external.map(({ key, value }) => [key, value]));
  const file = await store.open(where, entries.get("location") ?? "");
  const offset = Number(entries.get("offset") ?? 0);
  const length = Number(entries.get("length") ?? bytes);
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new ModelError(
      "malformed",
      expectedGot(where, "an offset into its external data", `"${entries.get("offset")}"`),
      { subject: proto.name },
    );
  }
  if (length !== bytes) {
    const expected = `${bytes} bytes for ${typeName(proto.dataType)} [${proto.dims.join(", ")}]`;
    throw new ModelError("malformed", expectedGot(where, expected, `a length of ${entries.get("length")}`), {
      subject: proto.name,
    });
  }
  if (offset + bytes > file.size) {
    const hint = "the file of external data may be cut short or belong to another model";
    throw new ModelError(
      "truncated",
      expectedGot(`${where} in ${file.name}`, `at least ${offset + bytes} bytes`, `${file.size}`, hint),
      { subject: proto.name },
    );
  }
  return { file, offset };
}

/** Packed varints as elements of `bytes` each. */
function unpack(packed: Uint8Array, count: number, bytes: number): Uint8Array {
  const from = new PbfReader(packed);
  const out = new Uint8Array(count * bytes);
  const view = new DataView(out.buffer);
  for (let i = 0; i < count; ++i) {
    const value = from.readVarint(true);
    if (bytes === 8) view.setBigInt64(8 * i, value < 2 ** 63 ? BigInt(value) : 2n ** 63n - 1n, true);
    else if (bytes === 4) view.setInt32(4 * i, value, true);
    else if (bytes === 2) view.setInt16(2 * i, value, true);
    else view.setInt8(i, value);
  }
  return out;
}

/** A small tensor's elements as numbers. Throws `ModelError` for one of more than 65,536. */
export async function numbersOf(where: string, { dims, type, read }: Stored): Promise<number[]> {
  const count = dims.reduce((product, size) => product * size, 1);
  if (count > MAX_CONSTANT) {
    throw new ModelError(
      "unsupported",
      expectedGot(where, `a constant of at most ${MAX_CONSTANT} elements`, `[${dims.join(", ")}]`),
    );
  }
  const bytes = await read();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const element = elementReader(type);
  if (element === undefined)
    throw new ModelError("unsupported", expectedGot(where, "a constant of numbers", typeName(type)));
  return Array.from({ length: count }, (_, i) => element(view, i));
}

/** Reads the i-th element of an element type; undefined for a type that no constant has. */
export function elementReader(type: number): ((view: DataView, i: number) => number) | undefined {
  return READERS[typeName(type)];
}

const READERS: Readonly<Record<string, (view: DataView, i: number) => number>> = {
  FLOAT: (view, i) => view.getFloat32(4 * i, true),
  DOUBLE: (view, i) => view.getFloat64(8 * i, true),
  FLOAT16: (view, i) => half(view.getUint16(2 * i, true)),
  BFLOAT16: (view, i) => new Float32Array(Uint32Array.of(view.getUint16(2 * i, true) << 16).buffer)[0]!,
  INT64: (view, i) => Number(view.getBigInt64(8 * i, true)),
  INT32: (view, i) => view.getInt32(4 * i, true),
  UINT8: (view, i) => view.getUint8(i),
  INT8: (view, i) => view.getInt8(i),
  BOOL: (view, i) => view.getUint8(i),
};

/** An IEEE half's value. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
