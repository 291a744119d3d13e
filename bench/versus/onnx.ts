/**
 * A folded network as an ONNX model, opset 13, of a fixed batch: what an exporter would write, with the additions and
 * ReLUs as nodes of their own. onnxruntime fuses them itself.
 */
import { readFile } from "node:fs/promises";
import protobuf from "protobufjs";
import { expectedGot } from "../../src/errors.ts";
import { type Graph, inputShape, type Node, outputNode } from "../../src/graph.ts";
import type { Weights } from "./network.ts";

const FLOAT = 1;
const ATTRIBUTE_INT = 2;
const ATTRIBUTE_INTS = 7;

/** A constant of an ONNX model. */
export interface Initializer {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint8Array | Int8Array | Int32Array;
}

/** ONNX's numbers of element types (onnx.proto, `TensorProto.DataType`). */
function dataType(data: Initializer["data"]): number {
  if (data instanceof Float32Array) return FLOAT;
  if (data instanceof Uint8Array) return 2;
  return data instanceof Int8Array ? 3 : 6;
}

/** A model's bytes, opset 13. */
export async function encode(
  name: string,
  node: readonly object[],
  initializers: readonly Initializer[],
  input: object,
  output: object,
): Promise<Uint8Array> {
  const schema = await readFile(new URL("onnx.proto", import.meta.url), "utf8");
  const initializer = initializers.map(({ name, shape, data }) => ({
    name,
    dims: shape,
    dataType: dataType(data),
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  }));
  return protobuf
    .parse(schema)
    .root.lookupType("onnx.ModelProto")
    .encode({
      irVersion: 7,
      producerName: "resnet-wasm bench",
      opsetImport: [{ domain: "", version: 13 }],
      graph: { name, node, initializer, input: [input], output: [output] },
    })
    .finish();
}

/** The model's bytes: `input` `[batch, 3, h, w]`, `logits` `[batch, classes]`. */
export async function writeOnnx(graph: Graph, weights: Weights, batch: number): Promise<Uint8Array> {
  const [h, w, c] = inputShape(graph);
  const last = outputNode(graph);
  const initializers = [...weights].map(([name, { shape, data }]) => ({ name, shape, data }));
  const ends = [value("input", [batch, c, h, w]), value(last.name, [batch, last.shape[2]])] as const;
  return encode(graph.name, graph.nodes.flatMap(emit), initializers, ...ends);
}

/** A tensor at an end of the model: f32. */
export function value(name: string, shape: readonly number[]): object {
  const dim = shape.map((dimValue) => ({ dimValue }));
  return { name, type: { tensorType: { elemType: FLOAT, shape: { dim } } } };
}

/** A node with one output. */
export function operation(
  opType: string,
  input: readonly string[],
  output: string,
  attributes: Readonly<Record<string, number | readonly number[]>> = {},
): object {
  const attribute = Object.entries(attributes).map(([name, given]) =>
    typeof given === "number" ? { name, type: ATTRIBUTE_INT, i: given } : { name, type: ATTRIBUTE_INTS, ints: given },
  );
  return { opType, name: output, input, output: [output], attribute };
}

/** The ONNX nodes of one of ours; the last one's output has our node's name. */
function emit(node: Node): readonly object[] {
  const { name, inputs } = node;
  const parameters = [`${name}.weight`, `${name}.bias`];
  switch (node.op) {
    case "input":
      return [];
    case "conv": {
      const { kernel, stride, dilation, pads, groups } = node;
      const attributes = { kernel_shape: kernel, strides: stride, dilations: dilation, pads, group: groups };
      const clamped = node.clamp[0] === 0;
      const sum = clamped ? `${name}/sum` : name;
      const product = node.residual ? `${name}/conv` : sum;
      const out = [operation("Conv", [inputs[0]!, ...parameters], product, attributes)];
      if (node.residual) out.push(operation("Add", [product, inputs[1]!], sum));
      if (clamped) out.push(operation("Relu", [sum], name));
      return out;
    }
    case "maxpool":
      return [operation("MaxPool", inputs, name, { kernel_shape: node.kernel, strides: node.stride, pads: node.pads })];
    case "globalpool":
      return [operation("GlobalAveragePool", inputs, name)];
    case "linear":
      return [
        operation("Flatten", inputs, `${name}/flat`, { axis: 1 }),
        operation("Gemm", [`${name}/flat`, ...parameters], name, { transB: 1 }),
      ];
    default:
      throw new RangeError(expectedGot(`onnx: ${name}`, "conv, maxpool, globalpool or linear", node.op));
  }
}
