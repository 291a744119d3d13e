/**
 * ONNX files, written piece by piece: the part of ONNX's protobuf schema (github.com/onnx/onnx, onnx/onnx.proto) that a
 * classifier needs. Operator set 17, which onnxruntime reads since 1.12.
 */
import { PbfWriter } from "pbf";
import { PRODUCER } from "./proto.ts";

const IR_VERSION = 8;
const OPSET = 17;

/** `TensorProto.DataType`. */
export const DATA_TYPES = { f32: 1, i8: 3, i32: 6, i64: 7, f16: 10 } as const;
export type DataType = keyof typeof DATA_TYPES;
const ELEMENT_BYTES: Readonly<Record<DataType, number>> = { f32: 4, i8: 1, i32: 4, i64: 8, f16: 2 };

/** `AttributeProto.AttributeType`. */
const [FLOAT, INT, STRING, INTS] = [1, 2, 3, 7];

/** A whole number, a list of them, a string or a float. */
export type Attribute = number | readonly number[] | string | { readonly float: number };

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

/** A constant of the graph: weights, and small lists that operators take as inputs. */
export interface Initializer {
  readonly name: string;
  readonly dims: readonly number[];
  readonly type: DataType;
  /** In C order, little-endian. */
  data(): Promise<Uint8Array<ArrayBuffer>>;
}

/** An input or output of f32: a text is the name of an open dimension. */
export interface OnnxValue {
  readonly name: string;
  readonly dims: readonly (number | string)[];
}

export interface OnnxModel {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly Initializer[];
  readonly input: OnnxValue;
  readonly output: OnnxValue;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The file: descriptions first, then a constant at a time. */
export async function* writeOnnx(model: OnnxModel): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const heads = model.initializers.map((each) => ({ each, head: tensorHead(each), bytes: bytesOf(each) }));
  const start = graphStart(model);
  const tensors = heads.map(({ head, bytes }) => ({ length: head.length + bytes, tag: varints(TENSOR_TAG) }));
  const graphBytes = tensors.reduce(
    (sum, { length, tag }) => sum + tag.length + varints(length).length + length,
    start.length,
  );
  yield modelStart(model, graphBytes);
  yield start;
  for (const [i, { each, head, bytes }] of heads.entries()) {
    yield joined([tensors[i]!.tag, varints(tensors[i]!.length), head]);
    const data = await each.data();
    if (data.length !== bytes) throw new RangeError(`${each.name}: expected ${bytes} bytes, got ${data.length}`);
    yield data;
  }
}

/** Field 5 of a graph, a message. */
const TENSOR_TAG = (5 << 3) | 2;
/** Field 9 of a tensor, bytes. */
const RAW_TAG = (9 << 3) | 2;
/** Field 7 of a model, a message. */
const GRAPH_TAG = (7 << 3) | 2;

function bytesOf({ dims, type }: Initializer): number {
  return dims.reduce((product, each) => product * each, ELEMENT_BYTES[type]);
}

function varints(...values: readonly number[]): Uint8Array<ArrayBuffer> {
  const to = new PbfWriter();
  for (const value of values) to.writeVarint(value);
  return finished(to);
}

function finished(to: PbfWriter): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(to.finish());
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A tensor up to its data, the length of which stands last. */
function tensorHead(tensor: Initializer): Uint8Array {
  const to = new PbfWriter();
  for (const size of tensor.dims) to.writeVarintField(1, size);
  to.writeVarintField(2, DATA_TYPES[tensor.type]);
  to.writeStringField(8, tensor.name);
  return joined([finished(to), varints(RAW_TAG, bytesOf(tensor))]);
}

/** A model up to its graph, the length of which stands last. */
function modelStart({ metadata }: OnnxModel, graphBytes: number): Uint8Array<ArrayBuffer> {
  const to = new PbfWriter();
  to.writeVarintField(1, IR_VERSION);
  to.writeStringField(2, PRODUCER);
  to.writeMessage(8, writeOpset, OPSET);
  for (const entry of Object.entries(metadata)) to.writeMessage(14, writeEntry, entry);
  return joined([finished(to), varints(GRAPH_TAG, graphBytes)]);
}

/** A graph without its constants. */
function graphStart({ name, nodes, input, output }: OnnxModel): Uint8Array<ArrayBuffer> {
  const to = new PbfWriter();
  for (const node of nodes) to.writeMessage(1, writeNode, node);
  to.writeStringField(2, name);
  to.writeMessage(11, writeValue, input);
  to.writeMessage(12, writeValue, output);
  return finished(to);
}

function writeOpset(version: number, to: PbfWriter): void {
  to.writeStringField(1, "");
  to.writeVarintField(2, version);
}

function writeEntry([key, value]: readonly [string, string], to: PbfWriter): void {
  to.writeStringField(1, key);
  to.writeStringField(2, value);
}

function writeNode({ op, inputs, output, attributes = {} }: OnnxNode, to: PbfWriter): void {
  for (const name of inputs) to.writeStringField(1, name);
  to.writeStringField(2, output);
  to.writeStringField(3, output);
  to.writeStringField(4, op);
  for (const entry of Object.entries(attributes)) to.writeMessage(5, writeAttribute, entry);
}

function writeAttribute([name, value]: readonly [string, Attribute], to: PbfWriter): void {
  to.writeStringField(1, name);
  if (typeof value === "number") {
    to.writeVarintField(3, value);
    to.writeVarintField(20, INT!);
  } else if (typeof value === "string") {
    to.writeStringField(4, value);
    to.writeVarintField(20, STRING!);
  } else if ("float" in value) {
    to.writeFloatField(2, value.float);
    to.writeVarintField(20, FLOAT!);
  } else {
    for (const each of value) to.writeVarintField(8, each);
    to.writeVarintField(20, INTS!);
  }
}

function writeValue({ name, dims }: OnnxValue, to: PbfWriter): void {
  const shape = (_: unknown, at: PbfWriter): void => {
    for (const size of dims) at.writeMessage(1, writeDimension, size);
  };
  const tensor = (_: unknown, at: PbfWriter): void => {
    at.writeVarintField(1, DATA_TYPES.f32);
    at.writeMessage(2, shape, null);
  };
  const type = (_: unknown, at: PbfWriter): void => at.writeMessage(1, tensor, null);
  to.writeStringField(1, name);
  to.writeMessage(2, type, null);
}

function writeDimension(size: number | string, to: PbfWriter): void {
  if (typeof size === "number") to.writeVarintField(1, size);
  else to.writeStringField(2, size);
}
