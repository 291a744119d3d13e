/**
 * A folded network as TensorFlow Lite's, f32 or int8, of a fixed batch: activations NHWC, weights OHWI, ReLUs inside the
 * operators. In and out are f32, in int8 too.
 *
 * int8 has the numbers of our int8 model: weights and biases, and for activations our steps, −128 standing for zero behind a
 * ReLU. As in `qdq.ts`, a residual is rounded once more before it is added, and pixels outside the image are black. TensorFlow Lite's
 * logits are 8 bits as well.
 */
import { expectedGot } from "../../src/errors.ts";
import { type Graph, inputShape, type Node, outputNode, type Pads } from "../../src/graph.ts";
import type { Int8Layer, Int8Model } from "./int8-model.ts";
import type { Weights } from "./network.ts";
import { type Field, type OperatorName, type Quantization, TfliteFile } from "./tflite-file.ts";

type Data = Float32Array | Int8Array;

/** What differs between f32 and int8. */
interface Numbers {
  readonly graph: Graph;
  /** Of a node's output, or of the sum before a residual is added to it. */
  quantization(node: Node, isBranch: boolean): Quantization | undefined;
  /** Weights in PyTorch's order. */
  layer(name: string): Int8Layer | { readonly shape: readonly number[]; readonly weight: Data; readonly bias: Data };
}

/** `Padding` and `ActivationFunctionType`. */
const [SAME, VALID, RELU] = [0, 1, 1];

const byte = (id: number, value: number): Field => ({ id, kind: "int8", value });
const int = (id: number, value: number): Field => ({ id, kind: "int32", value });

/** The f32 model's bytes. */
export function writeTflite(graph: Graph, weights: Weights, batch: number): Uint8Array {
  return write(batch, {
    graph,
    quantization: () => undefined,
    layer(name) {
      const { shape, data } = weights.get(`${name}.weight`)!;
      return { shape, weight: data, bias: weights.get(`${name}.bias`)!.data };
    },
  });
}

/**
 * The int8 model's bytes.
 *
 * @param largest the largest logit, which 127 stands for
 */
export function writeTfliteInt8({ graph, layers, isSigned }: Int8Model, batch: number, largest: number): Uint8Array {
  return write(batch, {
    graph,
    quantization(node, isBranch) {
      if (node.op === "linear") return { scales: [largest / 127], zero: 0 };
      return { scales: [node.int8!.scale!], zero: isBranch || isSigned(node) ? 0 : -128 };
    },
    layer: (name) => layers.get(name)!,
  });
}

function write(batch: number, { graph, quantization, layer }: Numbers): Uint8Array {
  const file = new TfliteFile();
  const tensors = new Map<string, number>();
  const [h, w, c] = inputShape(graph);
  const input = file.activation("images", [batch, h, w, c]);
  /** Adds an operator that writes `node`'s output. */
  const emit = (
    name: OperatorName,
    node: Node,
    inputs: readonly number[],
    fields: readonly Field[],
    isBranch = false,
  ): number => {
    const shape = node.op === "linear" ? [batch, node.shape[2]] : [batch, ...node.shape];
    const to = file.activation(isBranch ? `${node.name}/branch` : node.name, shape, quantization(node, isBranch));
    return file.operator(name, inputs, to, fields);
  };
  const parameters = (name: string): readonly [weight: number, bias: number] => {
    const { shape, weight, bias, ...int8 } = layer(name);
    const [scales, sums] = "scales" in int8 ? [int8.scales, int8.sums] : [];
    return [
      file.constant(`${name}.weight`, ohwi(shape), channelsInside(shape, weight), symmetric(scales)),
      file.constant(`${name}.bias`, [bias.length], bias, symmetric(sums)),
    ];
  };
  /** `VALID` where rows are added beforehand: TensorFlow Lite's own padding puts the odd row behind, PyTorch's before. */
  const padded = (node: Node & { readonly pads: Pads }, kernel: readonly number[], stride: readonly number[]) => {
    const from = tensors.get(node.inputs[0]!)!;
    const { pads } = node;
    const before = graph.nodes.find(({ name }) => name === node.inputs[0])!;
    if (pads.every((each) => each === 0)) return { from, padding: VALID };
    const same = [0, 1].map((axis) => samePads(before.shape[axis]!, kernel[axis]!, stride[axis]!));
    // Zero is no more than any value behind a ReLU, so zeros serve the largest value of a window too.
    if (node.op === "conv" && [0, 1].every((axis) => samePadsAre(same[axis]!, pads[axis]!, pads[axis + 2]!)))
      return { from, padding: SAME };
    const [top, left, bottom, right] = pads;
    const amounts = file.constant(`${node.name}/pads`, [4, 2], Int32Array.of(0, 0, top, bottom, left, right, 0, 0));
    const [height, width, channels] = before.shape;
    const shape = [batch, height + top + bottom, width + left + right, channels];
    const to = file.activation(`${node.name}/padded`, shape, quantization(before, false));
    return { from: file.operator("PAD", [from, amounts], to), padding: VALID };
  };
  const one = (node: Node): number => {
    const { name, inputs } = node;
    switch (node.op) {
      case "input":
        return quantization(node, false) === undefined ? input : emit("QUANTIZE", node, [input], []);
      case "conv": {
        const { stride, dilation, kernel } = node;
        const extent = kernel.map((size, axis) => (size - 1) * dilation[axis]! + 1);
        const { from, padding } = padded(node, extent, stride);
        const relu = node.clamp[0] === 0 ? RELU : 0;
        const window = [byte(0, padding), int(1, stride[1]), int(2, stride[0])];
        const fields = [...window, byte(3, node.residual ? 0 : relu), int(4, dilation[1]), int(5, dilation[0])];
        const product = emit("CONV_2D", node, [from, ...parameters(name)], fields, node.residual);
        return node.residual ? emit("ADD", node, [product, tensors.get(inputs[1]!)!], [byte(0, relu)]) : product;
      }
      case "maxpool": {
        const { stride, kernel } = node;
        const { from, padding } = padded(node, kernel, stride);
        const window = [byte(0, padding), int(1, stride[1]), int(2, stride[0])];
        return emit("MAX_POOL_2D", node, [from], [...window, int(3, kernel[1]), int(4, kernel[0]), byte(5, 0)]);
      }
      case "globalpool": {
        const axes = file.constant(`${name}/axes`, [2], Int32Array.of(1, 2));
        const keepDimensions: Field = { id: 0, kind: "bool", value: 1 };
        return emit("MEAN", node, [tensors.get(inputs[0]!)!, axes], [keepDimensions]);
      }
      case "linear":
        return emit("FULLY_CONNECTED", node, [tensors.get(inputs[0]!)!, ...parameters(name)], [byte(0, 0), byte(1, 0)]);
      default:
        throw new RangeError(expectedGot(`tflite: ${name}`, "conv, maxpool, globalpool or linear", node.op));
    }
  };
  for (const node of graph.nodes) tensors.set(node.name, one(node));
  const last = outputNode(graph);
  const logits = tensors.get(last.name)!;
  if (quantization(last, false) === undefined) return file.encode(graph.name, input, logits);
  const real = file.activation("logits", [batch, last.shape[2]]);
  return file.encode(graph.name, input, file.operator("DEQUANTIZE", [logits], real));
}

function symmetric(scales: Float32Array | undefined): Quantization | undefined {
  return scales === undefined ? undefined : { scales: [...scales], zero: 0 };
}

/** Rows that `SAME` adds on both sides. */
function samePads(size: number, extent: number, stride: number): number {
  return Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size);
}

function samePadsAre(sum: number, before: number, after: number): boolean {
  return before === sum >> 1 && after === sum - before;
}

/** `[o, i, h, w]` as `[o, h, w, i]`; `[o, i]` as it is. */
function ohwi(shape: readonly number[]): readonly number[] {
  const [o, i, ...window] = shape as [number, number, ...number[]];
  return [o, ...window, i];
}

function channelsInside<T extends Data>(shape: readonly number[], data: T): T {
  const [o, i, h = 1, w = 1] = shape as [number, number, number?, number?];
  const out = data.slice() as T;
  for (let to = 0; to < o; ++to) {
    for (let from = 0; from < i; ++from) {
      for (let at = 0; at < h * w; ++at) out[(to * h * w + at) * i + from] = data[(to * i + from) * h * w + at]!;
    }
  }
  return out;
}
