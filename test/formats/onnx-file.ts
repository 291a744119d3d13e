/** ONNX files for tests: protobufs written from plain objects, and networks of ours as PyTorch exports them. */
import { PbfWriter } from "pbf";
import { type Graph, inputShape, type Node } from "../../src/graph.ts";

export interface Tensor {
  readonly name?: string;
  readonly dims: readonly number[];
  /** `TensorProto.DataType`: 1 FLOAT, 7 INT64, 10 FLOAT16, 11 DOUBLE, 16 BFLOAT16. */
  readonly type?: number;
  readonly raw?: Uint8Array;
  readonly floats?: readonly number[];
  readonly int32s?: readonly number[];
  readonly int64s?: readonly number[];
  readonly doubles?: readonly number[];
  readonly external?: Readonly<Record<string, string>>;
}

/** A whole number, a list of them, a string, a float or a tensor. */
export type Attribute = number | readonly number[] | string | { readonly f: number } | { readonly t: Tensor };

export interface OnnxNode {
  readonly op: string;
  readonly in: readonly string[];
  readonly out: readonly string[];
  readonly name?: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface OnnxValue {
  readonly name: string;
  /** A string is an open dimension's name. */
  readonly dims?: readonly (number | string)[];
  readonly type?: number;
}

export interface OnnxFile {
  readonly opset?: number;
  readonly nodes: readonly OnnxNode[];
  readonly tensors?: readonly Tensor[];
  readonly inputs?: readonly OnnxValue[];
  readonly outputs?: readonly OnnxValue[];
  readonly metadata?: Readonly<Record<string, string>>;
}

export function node(
  op: string,
  inputs: readonly string[],
  out: string,
  attributes: Readonly<Record<string, Attribute>> = {},
): OnnxNode {
  return { op, in: inputs, out: [out], name: `${op}_${out}`, attributes };
}

/** Numbers as a tensor of f32. */
export function floats(name: string, dims: readonly number[], values?: readonly number[]): Tensor {
  const count = dims.reduce((a, b) => a * b, 1);
  const data = values ?? Array.from({ length: count }, (_, i) => ((i * 7) % 13) / 13 - 0.4);
  return { name, dims, raw: new Uint8Array(Float32Array.from(data).buffer) };
}

/** Numbers as a tensor of 64-bit integers. */
export function ints(name: string, values: readonly number[], dims: readonly number[] = [values.length]): Tensor {
  return { name, dims, type: 7, raw: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) };
}

function writeTensor(tensor: Tensor, to: PbfWriter): void {
  for (const size of tensor.dims) to.writeVarintField(1, size);
  to.writeVarintField(2, tensor.type ?? 1);
  if (tensor.floats !== undefined) to.writePackedFloat(4, [...tensor.floats]);
  if (tensor.int32s !== undefined) to.writePackedVarint(5, [...tensor.int32s]);
  if (tensor.int64s !== undefined) to.writePackedVarint(7, [...tensor.int64s]);
  to.writeStringField(8, tensor.name ?? "");
  if (tensor.raw !== undefined) to.writeBytesField(9, tensor.raw);
  if (tensor.doubles !== undefined) to.writePackedDouble(10, [...tensor.doubles]);
  if (tensor.external === undefined) return;
  for (const entry of Object.entries(tensor.external)) to.writeMessage(13, writeEntry, entry);
  to.writeVarintField(14, 1);
}

function writeEntry([key, value]: readonly [string, string], to: PbfWriter): void {
  to.writeStringField(1, key);
  to.writeStringField(2, value);
}

function writeAttribute([name, value]: readonly [string, Attribute], to: PbfWriter): void {
  to.writeStringField(1, name);
  if (typeof value === "number") to.writeVarintField(3, value);
  else if (typeof value === "string") to.writeBytesField(4, new TextEncoder().encode(value));
  else if (Array.isArray(value)) for (const each of value) to.writeVarintField(8, each);
  else if ("f" in value) to.writeFloatField(2, value.f);
  else if ("t" in value) to.writeMessage(5, writeTensor, value.t);
}

function writeNode(from: OnnxNode, to: PbfWriter): void {
  for (const name of from.in) to.writeStringField(1, name);
  for (const name of from.out) to.writeStringField(2, name);
  to.writeStringField(3, from.name ?? "");
  to.writeStringField(4, from.op);
  for (const entry of Object.entries(from.attributes ?? {})) to.writeMessage(5, writeAttribute, entry);
  if (from.domain !== undefined) to.writeStringField(7, from.domain);
}

function writeDimension(size: number | string, to: PbfWriter): void {
  if (typeof size === "number") to.writeVarintField(1, size);
  else to.writeStringField(2, size);
}

function writeValue({ name, dims, type }: OnnxValue, to: PbfWriter): void {
  to.writeStringField(1, name);
  const shape = (_: unknown, at: PbfWriter): void => {
    for (const size of dims ?? []) at.writeMessage(1, writeDimension, size);
  };
  const tensor = (_: unknown, at: PbfWriter): void => {
    at.writeVarintField(1, type ?? 1);
    if (dims !== undefined) at.writeMessage(2, shape, null);
  };
  to.writeMessage(2, (_: unknown, at: PbfWriter) => at.writeMessage(1, tensor, null), null);
}

function writeGraph(file: OnnxFile, to: PbfWriter): void {
  for (const each of file.nodes) to.writeMessage(1, writeNode, each);
  to.writeStringField(2, "tested");
  for (const each of file.tensors ?? []) to.writeMessage(5, writeTensor, each);
  for (const each of file.inputs ?? [{ name: "x", dims: [1, 3, 8, 8] }]) to.writeMessage(11, writeValue, each);
  for (const each of file.outputs ?? [{ name: "y" }]) to.writeMessage(12, writeValue, each);
}

/** The bytes of an ONNX file. Its input is `x` `[1, 3, 8, 8]` and its output `y` unless it says otherwise. */
export function onnxBytes(file: OnnxFile): Uint8Array {
  const to = new PbfWriter();
  to.writeVarintField(1, 7);
  to.writeStringField(2, "test");
  to.writeStringField(3, "1.0");
  to.writeMessage(
    8,
    (version: number, at: PbfWriter) => {
      at.writeStringField(1, "");
      at.writeVarintField(2, version);
    },
    file.opset ?? 13,
  );
  to.writeMessage(7, writeGraph, file);
  for (const entry of Object.entries(file.metadata ?? {})) to.writeMessage(14, writeEntry, entry);
  return to.finish();
}

/** The ONNX nodes of one of ours. */
function exported(each: Node): readonly OnnxNode[] {
  const { name, inputs } = each;
  const tensor = (part: string): string => `${name}.${part}`;
  switch (each.op) {
    case "input":
      return [];
    case "conv": {
      const attributes = { kernel_shape: each.kernel, strides: each.stride, pads: each.pads, group: each.groups };
      const weights = each.bias ? [tensor("weight"), tensor("bias")] : [tensor("weight")];
      return [node("Conv", [...inputs, ...weights], name, { ...attributes, dilations: each.dilation })];
    }
    case "norm": {
      const four = ["weight", "bias", "running_mean", "running_var"].map(tensor);
      return [node("BatchNormalization", [...inputs, ...four], name, { epsilon: { f: each.epsilon } })];
    }
    case "clamp":
      return [node("Relu", inputs, name)];
    case "add":
      return [node("Add", inputs, name)];
    case "maxpool":
    case "avgpool": {
      const attributes = { kernel_shape: each.kernel, strides: each.stride, pads: each.pads, ceil_mode: +each.ceil };
      return [node(each.op === "maxpool" ? "MaxPool" : "AveragePool", inputs, name, attributes)];
    }
    case "globalpool":
      return [node("GlobalAveragePool", inputs, name)];
    case "gate":
      return [node("Mul", inputs, name)];
    case "sigmoid":
      return [node("Sigmoid", inputs, name)];
    case "shortcut": {
      const sliced = {
        starts: [0, 0],
        ends: [2 ** 31 - 1, 2 ** 31 - 1],
        axes: [2, 3],
        steps: [each.stride, each.stride],
      };
      const lists = Object.entries(sliced).map(([part, list]) =>
        node("Constant", [], `${name}/${part}`, { value: { t: ints("", list) } }),
      );
      const { before } = each;
      const pads = ints("", [0, before, 0, 0, 0, before, 0, 0]);
      return [
        ...lists,
        node("Slice", [...inputs, ...Object.keys(sliced).map((part) => `${name}/${part}`)], `${name}/sliced`),
        node("Constant", [], `${name}/pads`, { value: { t: pads } }),
        node("Pad", [`${name}/sliced`, `${name}/pads`], name, { mode: "constant" }),
      ];
    }
    case "linear": {
      const flat = `${name}/flat`;
      return [
        node("Flatten", inputs, flat, { axis: 1 }),
        node("Gemm", [flat, tensor("weight"), tensor("bias")], name, { transB: 1 }),
      ];
    }
  }
}

/** A network with its batch norms as an ONNX file whose tensors have our names, and whose nodes do not. */
export function exportGraph(graph: Graph, tensors: readonly Tensor[]): Uint8Array {
  const [h, w, c] = inputShape(graph);
  return onnxBytes({
    nodes: graph.nodes.flatMap(exported),
    tensors,
    inputs: [{ name: "input", dims: ["n", c, h, w] }],
    outputs: [{ name: graph.nodes.at(-1)!.name }],
  });
}
