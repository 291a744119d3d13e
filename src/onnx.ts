/**
 * A model as an ONNX file. Networks of floats keep their batch norms; int8 networks become pairs of QuantizeLinear and
 * DequantizeLinear around the same operations, with the same weights, scales and roundings. Where a sum is added to a shortcut, no
 * rounding comes between the two, as in the kernels here.
 */
import { readValues } from "./checkpoint.ts";
import { expectedGot, ModelError } from "./errors.ts";
import { type Attribute, type DataType, type Initializer, type OnnxNode, writeOnnx } from "./formats/onnx/write.ts";
import {
  asConv,
  type ConvNode,
  inputShape,
  type LinearNode,
  NO_CLAMP,
  type Node,
  nodeOf,
  outputNode,
  type PadShortcutNode,
  type PoolNode,
} from "./graph.ts";
import type { Model } from "./model.ts";
import { writeMetadata } from "./models/metadata.ts";
import { paramsOf } from "./ops/ops.ts";
import { pixelAffine } from "./pixels.ts";
import { bytesOf, halves, rounded, rowScales, type StorageDtype } from "./stored-values.ts";

/** Names of the file's input and output. */
const INPUT = "input";
const OUTPUT = "logits";
/** Beyond the end of every axis, for Slice. */
const ALL = 2 ** 31 - 1;

/** What is built of a file: operators in the order they run, and constants. */
interface Building {
  readonly model: Model;
  /** Of weights, by name. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly nodes: OnnxNode[];
  readonly initializers: Map<string, Initializer>;
  /** What holds a node's result: f32, whatever it was rounded to. */
  readonly values: Map<string, string>;
  /** Nodes whose results have no height and width. */
  readonly flat: Set<string>;
}

/**
 * An opened model as an ONNX file, piece by piece.
 *
 * @param dtype of convolutions' and linear layers' weights in the file; computed in f32. Int8 models keep theirs
 * @throws ModelError for weights that are packed, or that f16 cannot hold
 */
export async function* convertToOnnx(model: Model, dtype: StorageDtype): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const { graph, checkpoint, source } = model;
  if (checkpoint.packed !== undefined) {
    const hint = "convert the file that it was made from";
    throw new ModelError("unsupported", expectedGot(source, "weights in their plain order", "packed ones", hint));
  }
  const shapes = new Map(paramsOf(graph).map(({ name, shape }) => [name, shape]));
  const into: Building = { model, shapes, nodes: [], initializers: new Map(), values: new Map(), flat: new Set() };
  for (const node of graph.nodes) emit(into, node, dtype);
  const [h, w, c] = inputShape(graph);
  const last = outputNode(graph);
  flatten(into, last.name, OUTPUT);
  yield* writeOnnx({
    name: graph.name,
    nodes: into.nodes,
    initializers: [...into.initializers.values()],
    input: { name: INPUT, dims: ["n", c, h, w] },
    output: { name: OUTPUT, dims: ["n", last.shape[2]] },
    metadata: said(model),
  });
}

/** What other programs, and this one, may read of the model beside its graph. */
function said(model: Model): Record<string, string> {
  const { architecture, preprocess, labels, output_kind } = writeMetadata(model);
  const kept = { architecture, preprocess, labels, output_kind };
  return Object.fromEntries(Object.entries(kept).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** A node's operators. */
function emit(into: Building, node: Node, dtype: StorageDtype): void {
  const { name } = node;
  switch (node.op) {
    case "input":
      into.values.set(name, INPUT);
      return;
    case "conv":
    case "linear":
      emitWeighted(into, node, dtype);
      break;
    case "norm": {
      const four = ["weight", "bias", "running_mean", "running_var"].map((part) => f32(into, `${name}.${part}`));
      put(into, node, "BatchNormalization", four, { epsilon: { float: node.epsilon } });
      break;
    }
    case "clamp":
      into.values.set(name, resultOf(into, node.inputs[0]!));
      break;
    case "add":
      put(into, node, "Add");
      break;
    case "maxpool":
    case "avgpool":
      emitPool(into, node);
      break;
    case "globalpool":
      put(into, node, "GlobalAveragePool");
      break;
    case "sigmoid":
      put(into, node, "Sigmoid");
      break;
    case "gate":
      emitGate(into, node);
      break;
    case "shortcut":
      emitShortcut(into, node);
      break;
  }
  finish(into, node);
}

/** What holds the result of the node `name`. */
function resultOf({ values }: Building, name: string): string {
  return values.get(name)!;
}

/** One operator: reads the node's inputs, then `more`. Its result is called `output`. */
function put(
  into: Building,
  node: Node,
  op: string,
  more: readonly string[] = [],
  attributes: Readonly<Record<string, Attribute>> = {},
): void {
  const inputs = [...node.inputs.map((name) => resultOf(into, name)), ...more];
  into.nodes.push({ op, inputs, output: node.name, attributes });
  into.values.set(node.name, node.name);
}

/** An operator behind what a node has so far. */
function behind(
  into: Building,
  node: Node,
  op: string,
  more: readonly string[],
  attributes: Readonly<Record<string, Attribute>> = {},
): void {
  const output = `${node.name}/${op}`;
  into.nodes.push({ op, inputs: [resultOf(into, node.name), ...more], output, attributes });
  into.values.set(node.name, output);
}

/** Bounds, and in an int8 network the rounding, of a node's result. */
function finish(into: Building, node: Node): void {
  const [lo, hi] = "clamp" in node ? node.clamp : NO_CLAMP;
  if (lo === 0 && hi === Number.POSITIVE_INFINITY) behind(into, node, "Relu", []);
  else if (lo !== NO_CLAMP[0] || hi !== NO_CLAMP[1]) {
    // An input that is left out has an empty name.
    const bound = (value: number): string => (Number.isFinite(value) ? scalar(into, value) : "");
    behind(into, node, "Clip", [bound(lo), bound(hi)].slice(0, Number.isFinite(hi) ? 2 : 1));
  }
  const scale = node.int8?.scale;
  if (scale !== undefined) roundTo(into, node, scale);
}

/** Rounds a node's result to multiples of `scale` within −128…127. */
function roundTo(into: Building, node: Node, scale: number): void {
  const pair = [scalar(into, scale), zero(into)];
  behind(into, node, "QuantizeLinear", pair);
  behind(into, node, "DequantizeLinear", pair);
}

function emitWeighted(into: Building, node: ConvNode | LinearNode, dtype: StorageDtype): void {
  const { name, int8 } = node;
  const isLinear = node.op === "linear";
  const conv = isLinear ? asConv(node) : node;
  if (isLinear) flatten(into, node.inputs[0]!, `${name}/flat`);
  const isPixels = int8?.pads !== undefined;
  if (isPixels) emitPixels(into, conv);
  const x = isPixels ? `${name}/pixels` : isLinear ? `${name}/flat` : resultOf(into, node.inputs[0]!);
  const parts = int8 === undefined ? floatWeights(into, node, dtype) : int8Weights(into, node, int8.inputs[0]!);
  const { kernel, stride, dilation, groups } = conv;
  const pads = isPixels ? [0, 0, 0, 0] : conv.pads;
  into.nodes.push(
    isLinear
      ? { op: "Gemm", inputs: [x, ...parts], output: name, attributes: { transB: 1 } }
      : {
          op: "Conv",
          inputs: [x, ...parts],
          output: name,
          attributes: { kernel_shape: kernel, strides: stride, dilations: dilation, pads, group: groups },
        },
  );
  into.values.set(name, name);
  if (isLinear) into.flat.add(name);
  if (conv.residual) behind(into, node, "Add", [resultOf(into, node.inputs[1]!)]);
}

/**
 * What an int8 network's first convolution reads: half of each pixel's byte, rounded down. Padded before, with zeros as networks of
 * floats are.
 */
function emitPixels(into: Building, { name, inputs, pads: [top, left, bottom, right] }: ConvNode): void {
  const affine = pixelAffine(into.model.preprocess);
  const channels = affine.length / 2;
  const dims = [1, channels, 1, 1];
  const factor = constant(into, `${name}/factor`, "f32", dims, affine.slice(0, channels));
  const offset = constant(into, `${name}/offset`, "f32", dims, affine.slice(channels));
  const pads = list(into, `${name}/pads`, [0, 0, top, left, 0, 0, bottom, right]);
  const pair = [scalar(into, 1), zero(into)];
  const chain: readonly (readonly [string, readonly string[]])[] = [
    ["Pad", [pads]],
    ["Mul", [factor]],
    ["Add", [offset]],
    ["QuantizeLinear", pair],
    ["DequantizeLinear", pair],
  ];
  let x = resultOf(into, inputs[0]!);
  for (const [op, more] of chain) {
    const output = op === "DequantizeLinear" ? `${name}/pixels` : `${name}/pixels/${op}`;
    into.nodes.push({ op, inputs: [x, ...more], output });
    x = output;
  }
}

/** The weight and the bias of a layer of floats, as an operator reads them. */
function floatWeights(into: Building, node: ConvNode | LinearNode, dtype: StorageDtype): readonly string[] {
  const { checkpoint, source } = into.model;
  const name = `${node.name}.weight`;
  const shape = into.shapes.get(name)!;
  const bias = node.bias ? [f32(into, `${node.name}.bias`)] : [];
  if (dtype === "f32") return [f32(into, name), ...bias];
  const values = (): Promise<Float32Array<ArrayBuffer>> => readValues(checkpoint, name);
  const add = (suffix: string, type: DataType, dims: readonly number[], data: Initializer["data"]): string => {
    into.initializers.set(name + suffix, { name: name + suffix, dims, type, data });
    return name + suffix;
  };
  const wide = `${name}/f32`;
  if (dtype === "f16") {
    const where = `${source}: "${name}"`;
    const data = async (): Promise<Uint8Array<ArrayBuffer>> => {
      const all = await values();
      return bytesOf(halves(where, all, all.length / shape[0]!));
    };
    into.nodes.push({ op: "Cast", inputs: [add("", "f16", shape, data)], output: wide, attributes: { to: 1 } });
  } else {
    const bytes = async (): Promise<Uint8Array<ArrayBuffer>> => {
      const all = await values();
      return bytesOf(rounded(all, rowScales(checkpoint, name, all)));
    };
    const scales = async (): Promise<Uint8Array<ArrayBuffer>> => bytesOf(rowScales(checkpoint, name, await values()));
    const inputs = [add("", "i8", shape, bytes), add("_scale", "f32", [shape[0]!], scales)];
    into.nodes.push({ op: "DequantizeLinear", inputs, output: wide, attributes: { axis: 0 } });
  }
  return [wide, ...bias];
}

/** The same of an int8 layer. A bias counts in units of the input's scale times the weight's. */
function int8Weights(into: Building, { name }: Node, inputScale: number): readonly string[] {
  const { checkpoint } = into.model;
  const plain = (part: string, type: DataType): string => {
    const dims = into.shapes.get(`${name}.${part}`)!;
    const data = async (): Promise<Uint8Array<ArrayBuffer>> => (await checkpoint.read(`${name}.${part}`)).slice();
    into.initializers.set(`${name}.${part}`, { name: `${name}.${part}`, dims, type, data });
    return `${name}.${part}`;
  };
  const scale = plain("weight_scale", "f32");
  const units = `${name}.bias_scale`;
  into.initializers.set(units, {
    ...{ name: units, type: "f32", dims: into.shapes.get(scale)! },
    data: async () => bytesOf((await readValues(checkpoint, scale)).map((each) => each * inputScale)),
  });
  const wide = (part: string, type: DataType, by: string): string => {
    const output = `${name}.${part}/f32`;
    into.nodes.push({ op: "DequantizeLinear", inputs: [plain(part, type), by], output, attributes: { axis: 0 } });
    return output;
  };
  return [wide("weight", "i8", scale), wide("bias", "i32", units)];
}

/**
 * A window that hangs over the end becomes one more row or column of padding: programs differ in what they make of `ceil_mode`.
 * Padding of an average does not count, unless it is the network's own.
 */
function emitPool(into: Building, node: PoolNode): void {
  const { kernel, stride, pads, ceil, countPads, shape } = node;
  const from = nodeOf(into.model.graph, node.inputs[0]!).shape;
  const [top, left] = pads;
  const over = ([0, 1] as const).map((axis) =>
    Math.max(pads[axis + 2]!, (shape[axis] - 1) * stride[axis] + kernel[axis] - from[axis] - pads[axis]!),
  );
  const isOver = ceil && over.some((each, axis) => each !== pads[axis + 2]);
  const counts = countPads && pads.some((each) => each > 0);
  if (node.op === "avgpool" && isOver && counts) {
    throw new ModelError(
      "unsupported",
      expectedGot(`"${node.name}"`, "a pool that ONNX describes", "padding that counts, and a window that hangs over"),
      { subject: node.name },
    );
  }
  const window = { kernel_shape: kernel, strides: stride, pads: [top, left, ...over] };
  if (node.op === "maxpool") put(into, node, "MaxPool", [], window);
  else put(into, node, "AveragePool", [], { ...window, count_include_pad: counts ? 1 : 0 });
}

/** Channel by channel, an image times one pixel, which may have lost its height and width. */
function emitGate(into: Building, node: Node): void {
  const [image, pixel] = node.inputs as [string, string];
  let factor = resultOf(into, pixel);
  if (into.flat.has(pixel)) {
    const output = `${node.name}/factor`;
    into.nodes.push({ op: "Unsqueeze", inputs: [factor, list(into, "axes/2,3", [2, 3])], output });
    factor = output;
  }
  into.nodes.push({ op: "Mul", inputs: [resultOf(into, image), factor], output: node.name });
  into.values.set(node.name, node.name);
}

/** Every `stride`-th pixel, with zero channels around its own. */
function emitShortcut(into: Building, node: PadShortcutNode): void {
  const { name, stride, before, shape } = node;
  const channels = nodeOf(into.model.graph, node.inputs[0]!).shape[2];
  const slice = {
    "0,0": [0, 0],
    all: [ALL, ALL],
    "2,3": [2, 3],
    [`${stride},${stride}`]: [stride, stride],
  };
  const lists = Object.entries(slice).map(([key, values]) => list(into, `axes/${key}`, values));
  put(into, node, "Slice", lists);
  behind(into, node, "Pad", [list(into, `${name}/pads`, [0, before, 0, 0, 0, shape[2] - channels - before, 0, 0])]);
}

/** Puts a node's channels into `[n, c]`, as `output`. */
function flatten(into: Building, name: string, output: string): void {
  const x = resultOf(into, name);
  const op = into.flat.has(name) ? "Identity" : "Flatten";
  into.nodes.push({ op, inputs: [x], output, ...(op === "Flatten" ? { attributes: { axis: 1 } } : {}) });
}

type Numbers = Float32Array<ArrayBuffer> | Int8Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>;

/** A small constant, made once. */
function constant(into: Building, name: string, type: DataType, dims: readonly number[], data: Numbers): string {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  into.initializers.set(name, { name, dims, type, data: async () => bytes });
  return name;
}

function scalar(into: Building, value: number): string {
  return constant(into, `scalar/${value}`, "f32", [], Float32Array.of(value));
}

function zero(into: Building): string {
  return constant(into, "zero", "i8", [], Int8Array.of(0));
}

function list(into: Building, name: string, values: readonly number[]): string {
  return constant(into, name, "i64", [values.length], BigInt64Array.from(values, BigInt));
}

/** A tensor of the checkpoint as f32. */
function f32(into: Building, name: string): string {
  const { checkpoint } = into.model;
  const data = async (): Promise<Uint8Array<ArrayBuffer>> => bytesOf(await readValues(checkpoint, name));
  into.initializers.set(name, { name, dims: into.shapes.get(name)!, type: "f32", data });
  return name;
}
