/**
 * The part of ONNX's protobuf schema (github.com/onnx/onnx, onnx/onnx.proto) that a classifier's graph needs, decoded field
 * by field from wherever the bytes are. Weights are not read: a tensor's data is an offset and a length. Numbers and
 * strings are read by `pbf`, which makes no code at run time; what a length promises is checked here, before it is believed.
 */
import { PbfReader } from "pbf";
import type { ByteSource } from "../../bytes.ts";
import { expectedGot, ModelError } from "../../errors.ts";

/** Who wrote the files of this project, as they say. */
export const PRODUCER = "resnet-wasm";
/** Most fields read of one file: ten times those of ResNet-1202. A file of empty fields ends here, not after minutes. */
const MAX_FIELDS = 4e6;
/** Longest name or text read, in bytes. */
const MAX_TEXT = 1 << 22;
/** Most numbers in an attribute or in a tensor's dimensions. */
const MAX_NUMBERS = 1 << 16;
/** Bytes fetched at once: descriptions are many small fields. */
const WINDOW = 1 << 16;
/** A tag and a length, at their longest. */
const MAX_HEAD = 20;

/** Bytes `[offset, offset + length)` of the file. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** A field as the file has it: `value` where it is a number, `span` its bytes otherwise. */
interface Raw {
  readonly wire: number;
  readonly value: number;
  readonly span: Span;
}

/** A file being decoded. */
interface Reading {
  readonly source: ByteSource;
  window: { readonly offset: number; readonly bytes: Uint8Array };
  fields: number;
}

interface Field<T> {
  readonly number: number;
  readonly initial: T;
  read(raw: Raw, before: T, reading: Reading, what: string): T | Promise<T>;
}

type Schema = Readonly<Record<string, Field<unknown>>>;
type Decoded<S extends Schema> = { readonly [K in keyof S]: S[K] extends Field<infer T> ? T : never };

function cut(reading: Reading, what: string, bytes: number, got: number): ModelError {
  const { name } = reading.source;
  return new ModelError(
    "truncated",
    expectedGot(`${name}: ${what}`, `${bytes} bytes`, `${got}`, "the file may be cut short"),
  );
}

async function bytesAt(reading: Reading, { offset, length }: Span): Promise<Uint8Array> {
  const { window, source } = reading;
  const at = offset - window.offset;
  if (at >= 0 && at + length <= window.bytes.byteLength) return window.bytes.subarray(at, at + length);
  const bytes = await source.read(offset, Math.min(Math.max(length, WINDOW), source.size - offset));
  reading.window = { offset, bytes };
  return bytes.subarray(0, length);
}

/** Decodes the message in `span`. Unknown fields are passed over; nothing recurses but along the schema. */
async function decode<S extends Schema>(schema: S, span: Span, reading: Reading, what: string): Promise<Decoded<S>> {
  const fields = new Map(Object.entries(schema).map(([key, field]) => [field.number, [key, field] as const]));
  const result: Record<string, unknown> = {};
  for (const [key, { initial }] of Object.entries(schema)) result[key] = initial;
  const end = span.offset + span.length;
  let at = span.offset;
  while (at < end) {
    if (++reading.fields > MAX_FIELDS) {
      throw new ModelError("unsupported", expectedGot(reading.source.name, `at most ${MAX_FIELDS} fields`, "more"));
    }
    const head = new PbfReader(await bytesAt(reading, { offset: at, length: Math.min(MAX_HEAD, end - at) }));
    const tag = varint(head, reading, what);
    const wire = tag & 7;
    const number = Math.floor(tag / 8);
    let value = 0;
    let length = 0;
    if (wire === 0) value = varint(head, reading, what);
    else if (wire === 1) length = 8;
    else if (wire === 2) length = varint(head, reading, what);
    else if (wire === 5) length = 4;
    if (number < 1 || ![0, 1, 2, 5].includes(wire)) {
      const got = `field ${number} of wire type ${wire} at byte ${at}`;
      throw new ModelError(
        "malformed",
        expectedGot(`${reading.source.name}: ${what}`, "a protobuf field", got, "the file may be damaged"),
      );
    }
    const offset = at + head.pos;
    if (length < 0 || length > end - offset) throw cut(reading, what, length, end - offset);
    at = offset + length;
    const known = fields.get(number);
    if (known === undefined) continue;
    const [key, field] = known;
    result[key] = await field.read({ wire, value, span: { offset, length } }, result[key], reading, `${what}.${key}`);
  }
  return result as Decoded<S>;
}

function varint(from: PbfReader, reading: Reading, what: string): number {
  let value: number;
  try {
    value = from.readVarint(true);
  } catch {
    throw new ModelError(
      "malformed",
      expectedGot(`${reading.source.name}: ${what}`, "a number of at most 10 bytes", "a longer one"),
    );
  }
  if (from.pos > from.length) throw cut(reading, what, from.pos, from.length);
  return value;
}

function expectWire(raw: Raw, wire: number, reading: Reading, what: string): void {
  if (raw.wire === wire) return;
  const expected = `wire type ${wire}`;
  throw new ModelError("malformed", expectedGot(`${reading.source.name}: ${what}`, expected, `${raw.wire}`));
}

function int(number: number): Field<number | undefined> {
  return {
    number,
    initial: undefined,
    read(raw, _before, reading, what) {
      expectWire(raw, 0, reading, what);
      return raw.value;
    },
  };
}

/** Numbers, packed or not: varints, or floats of wire type 5. */
function numbers(number: number, wire: 0 | 5): Field<readonly number[]> {
  const initial: readonly number[] = [];
  return {
    number,
    initial,
    async read(raw, before, reading, what) {
      const list = before === initial ? [] : (before as number[]);
      if (raw.wire !== 2) expectWire(raw, wire, reading, what);
      const count = raw.wire === 2 ? raw.span.length / (wire === 5 ? 4 : 1) : 1;
      if (list.length + count > MAX_NUMBERS) {
        throw new ModelError(
          "unsupported",
          expectedGot(`${reading.source.name}: ${what}`, `at most ${MAX_NUMBERS} numbers`, "more"),
        );
      }
      if (raw.wire === 0) list.push(raw.value);
      else {
        const from = new PbfReader(await bytesAt(reading, raw.span));
        while (from.pos < from.length) {
          if (wire === 5 && from.pos + 4 > from.length) throw cut(reading, what, from.pos + 4, from.length);
          list.push(wire === 5 ? shortest(from.readFloat()) : varint(from, reading, what));
        }
      }
      return list;
    },
  };
}

const ints = (number: number): Field<readonly number[]> => numbers(number, 0);
const floats = (number: number): Field<readonly number[]> => numbers(number, 5);

/** The decimal number that a float was before it was rounded: 1e-5, not 9.999999747378752e-6. */
function shortest(value: number): number {
  const decimal = Number(value.toPrecision(7));
  return Math.fround(decimal) === value ? decimal : value;
}

function float(number: number): Field<number | undefined> {
  return {
    number,
    initial: undefined,
    async read(raw, _before, reading, what) {
      expectWire(raw, 5, reading, what);
      return shortest(new PbfReader(await bytesAt(reading, raw.span)).readFloat());
    },
  };
}

async function readText(raw: Raw, reading: Reading, what: string): Promise<string> {
  expectWire(raw, 2, reading, what);
  if (raw.span.length > MAX_TEXT) {
    const got = `${raw.span.length}`;
    throw new ModelError(
      "unsupported",
      expectedGot(`${reading.source.name}: ${what}`, `at most ${MAX_TEXT} bytes of text`, got),
    );
  }
  return new TextDecoder().decode(await bytesAt(reading, raw.span));
}

function text(number: number): Field<string> {
  return { number, initial: "", read: (raw, _before, reading, what) => readText(raw, reading, what) };
}

function texts(number: number): Field<readonly string[]> {
  const initial: readonly string[] = [];
  return {
    number,
    initial,
    async read(raw, before, reading, what) {
      const list = before === initial ? [] : (before as string[]);
      list.push(await readText(raw, reading, what));
      return list;
    },
  };
}

/** Where a field's bytes are; they are not read. Several fields of one number are several spans. */
function spans(number: number): Field<readonly Span[]> {
  const initial: readonly Span[] = [];
  return {
    number,
    initial,
    read(raw, before, reading, what) {
      // Scalars of their own, which no exporter writes, would be an object for each number.
      expectWire(raw, 2, reading, what);
      const list = before === initial ? [] : (before as Span[]);
      list.push(raw.span);
      return list;
    },
  };
}

/** Whether the field is there at all. */
function present(number: number): Field<boolean> {
  return { number, initial: false, read: () => true };
}

function one<S extends Schema>(number: number, schema: S): Field<Decoded<S> | undefined> {
  return {
    number,
    initial: undefined,
    async read(raw, before, reading, what) {
      expectWire(raw, 2, reading, what);
      if (before !== undefined)
        throw new ModelError("malformed", expectedGot(`${reading.source.name}: ${what}`, "one", "two"));
      return decode(schema, raw.span, reading, what);
    },
  };
}

function many<S extends Schema>(number: number, schema: S): Field<readonly Decoded<S>[]> {
  const initial: readonly Decoded<S>[] = [];
  return {
    number,
    initial,
    async read(raw, before, reading, what) {
      expectWire(raw, 2, reading, what);
      const list = before === initial ? [] : (before as Decoded<S>[]);
      list.push(await decode(schema, raw.span, reading, `${what}[${list.length}]`));
      return list;
    },
  };
}

const ENTRY = { key: text(1), value: text(2) };

const TENSOR = {
  name: text(8),
  dims: ints(1),
  dataType: int(2),
  raw: spans(9),
  floats: spans(4),
  int32s: spans(5),
  int64s: spans(7),
  doubles: spans(10),
  uint64s: spans(11),
  external: many(13, ENTRY),
  /** 1 where the data is in another file. */
  location: int(14),
  segment: present(3),
};

const ATTRIBUTE = {
  name: text(1),
  f: float(2),
  i: int(3),
  s: text(4),
  t: one(5, TENSOR),
  floats: floats(7),
  ints: ints(8),
};

const NODE = {
  input: texts(1),
  output: texts(2),
  name: text(3),
  opType: text(4),
  attribute: many(5, ATTRIBUTE),
  domain: text(7),
};

const DIMENSION = { value: int(1), name: text(2) };
const TENSOR_TYPE = { elemType: int(1), shape: one(2, { dim: many(1, DIMENSION) }) };
const VALUE = { name: text(1), type: one(2, { tensor: one(1, TENSOR_TYPE) }) };

const GRAPH = {
  node: many(1, NODE),
  name: text(2),
  initializer: many(5, TENSOR),
  input: many(11, VALUE),
  output: many(12, VALUE),
  sparse: present(15),
};

const MODEL = {
  irVersion: int(1),
  producerName: text(2),
  producerVersion: text(3),
  graph: one(7, GRAPH),
  opset: many(8, { domain: text(1), version: int(2) }),
  metadata: many(14, ENTRY),
};

/** `TensorProto`; its data is not read. */
export type TensorProto = Decoded<typeof TENSOR>;
export type NodeProto = Decoded<typeof NODE>;
/** `ValueInfoProto` of a tensor. */
export type ValueProto = Decoded<typeof VALUE>;
export type GraphProto = Decoded<typeof GRAPH>;
export type ModelProto = Decoded<typeof MODEL>;

/** The description in an ONNX file, without weights. Throws `ModelError` naming the field that is damaged or cut short. */
export async function readModel(source: ByteSource): Promise<ModelProto> {
  const reading: Reading = { source, window: { offset: 0, bytes: new Uint8Array(0) }, fields: 0 };
  return decode(MODEL, { offset: 0, length: source.size }, reading, "ModelProto");
}
