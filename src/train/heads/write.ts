/** A model with another head as a file: the whole network, and a linear layer behind its features. */
import type { Checkpoint } from "../../checkpoint.ts";
import { convertModel } from "../../convert.ts";
import { type NamedTensor, writeSafetensors } from "../../formats/safetensors.ts";
import { outputNode } from "../../graph.ts";
import { LIMIT, type Quantization } from "../../int8.ts";
import type { Model } from "../../model.ts";
import type { TensorInfo } from "../../tensor.ts";
import { withClasses } from "../initialise.ts";

/** A linear head without a bias. */
export interface LinearHead {
  readonly labels: readonly string[];
  /** `[classes, channels]` */
  readonly weights: Float32Array<ArrayBuffer>;
  /** Means of the features, which rounding to int8 is corrected by. */
  readonly mean: Float64Array;
}

/** The model with this head, as a safetensors file; an int8 network stays one. */
export async function writeHeaded(model: Model, head: LinearHead): Promise<Uint8Array<ArrayBuffer>> {
  if (model.graph.nodes[0]!.int8 !== undefined) return writeInt8(model, head);
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convertModel(headed(model, head))) pieces.push(piece);
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** A model of float weights with this head. */
function headed(model: Model, { labels, weights }: LinearHead): Model {
  const renewed = withClasses(model, labels.length, 1);
  const { name } = outputNode(renewed.graph);
  const mine = new Map([
    [`${name}.weight`, weights],
    [`${name}.bias`, new Float32Array(labels.length)],
  ]);
  const old = renewed.checkpoint;
  const infos = [...mine].map(([key, { length }]): [string, TensorInfo] => {
    const shape = key.endsWith(".bias") ? [length] : [labels.length, length / labels.length];
    return [key, { dtype: "F32", shape }];
  });
  const checkpoint: Checkpoint = {
    tensors: new Map([...old.tensors, ...infos]),
    metadata: old.metadata,
    async read(key) {
      const values = mine.get(key);
      return values === undefined ? old.read(key) : new Uint8Array(values.slice().buffer);
    },
    close: () => old.close(),
  };
  const spec = model.spec && { ...model.spec, classes: labels.length };
  return { ...renewed, spec, labels, checkpoint };
}

/** The int8 file that a model was read from, its last layer replaced. */
async function writeInt8(model: Model, head: LinearHead): Promise<Uint8Array<ArrayBuffer>> {
  const { checkpoint, graph } = model;
  const last = outputNode(graph);
  const { tensors: mine, weightSum } = rounded(last.name, head, last.int8!.inputs[0]!);
  const replaced = new Set(mine.map(({ name }) => name));
  const tensors: NamedTensor[] = [...mine];
  for (const [name, { dtype, shape }] of checkpoint.tensors) {
    if (replaced.has(name)) continue;
    tensors.push({ name, dtype, shape, bytes: (await checkpoint.read(name)).slice() });
  }
  const said = checkpoint.metadata;
  const quantization = JSON.parse(said.quantization!) as Quantization;
  const weightSums = { ...quantization.weightSums, [last.name]: weightSum };
  return writeSafetensors(tensors, {
    ...said,
    ...(said.spec !== undefined && { spec: JSON.stringify({ ...JSON.parse(said.spec), classes: head.labels.length }) }),
    ...(said.graph !== undefined && { graph: withOutputs(said.graph, head.labels.length) }),
    labels: JSON.stringify(head.labels),
    output_kind: "softmax",
    quantization: JSON.stringify({ ...quantization, weightSums }),
  });
}

/** A stored graph whose last layer has so many outputs. */
function withOutputs(text: string, classes: number): string {
  const graph = JSON.parse(text) as { nodes: { shape: number[] }[]; output?: string };
  graph.nodes.at(-1)!.shape = [1, 1, classes];
  if (graph.output !== undefined) graph.output = "softmax";
  return JSON.stringify(graph);
}

/** Weights in 8 bits with a scale for each output, and biases in i32 that make up for what rounding shifts on average. */
function rounded(
  name: string,
  { labels, weights, mean }: LinearHead,
  inputScale: number,
): { readonly tensors: readonly NamedTensor[]; readonly weightSum: number } {
  const classes = labels.length;
  const channels = weights.length / classes;
  const [values, scales] = [new Int8Array(weights.length), new Float32Array(classes)];
  const units = new Int32Array(classes);
  let weightSum = 0;
  for (let c = 0; c < classes; ++c) {
    let largest = 0;
    for (let i = 0; i < channels; ++i) largest = Math.max(largest, Math.abs(weights[c * channels + i]!));
    const scale = Math.fround(largest === 0 ? 1 : largest / LIMIT);
    let [sum, shift] = [0, 0];
    for (let i = 0; i < channels; ++i) {
      const exact = weights[c * channels + i]!;
      const value = Math.max(-LIMIT, Math.min(LIMIT, Math.round(exact / scale)));
      values[c * channels + i] = value;
      sum += Math.abs(value);
      shift += (exact - value * scale) * mean[i]!;
    }
    scales[c] = scale;
    units[c] = Math.max(-(2 ** 30), Math.min(2 ** 30, Math.round(shift / (inputScale * scale))));
    weightSum = Math.max(weightSum, sum);
  }
  const tensor = (
    suffix: string,
    dtype: NamedTensor["dtype"],
    { buffer }: Int8Array | Float32Array | Int32Array,
    shape: readonly number[],
  ): NamedTensor => ({ name: `${name}.${suffix}`, dtype, shape, bytes: new Uint8Array(buffer as ArrayBuffer) });
  return {
    weightSum,
    tensors: [
      tensor("weight", "I8", values, [classes, channels]),
      tensor("weight_scale", "F32", scales, [classes]),
      tensor("bias", "I32", units, [classes]),
    ],
  };
}
