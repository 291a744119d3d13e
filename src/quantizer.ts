/**
 * The third story: f32 weights and sample images → int8 weights and scales. Post-training quantization as in Jacob et al.
 * 2018 (arXiv 1712.05877) and Nagel et al. 2019 (arXiv 1906.04721): weights 8 bits per output channel, activations 7 bits
 * behind a ReLU and 8 elsewhere, one scale per tensor, biases corrected for what rounding the weights shifts.
 */

import { letEventsRun, untilAbortedEach } from "./abort.ts";
import { readValues, rereadable } from "./checkpoint.ts";
import { checkBuildOptions } from "./choice.ts";
import { type Activation, type Classifier, type LoadOptions, loadModel } from "./classifier.ts";
import type { ImageInput } from "./decode/input.ts";
import { expectedGot, ImageError, ModelError, OptionError } from "./errors.ts";
import { fold } from "./fold.ts";
import { type NamedTensor, writeSafetensors } from "./formats/safetensors.ts";
import { asConv, type ConvNode, type Graph, type Node } from "./graph.ts";
import { LIMIT, obstacle, type Quantization, toInt8 } from "./int8.ts";
import { METHODS, type Method } from "./methods.ts";
import { type Model, type Source, withModel } from "./model.ts";
import { writeMetadata } from "./models/metadata.ts";
import { paramsOf } from "./ops/ops.ts";
import type { Runtime } from "./runtime.ts";

export interface QuantizeOptions {
  /** `mse` when absent: the one that agrees with f32 on most photos. */
  readonly method?: Method;
  readonly signal?: AbortSignal;
  /** After each image: those used so far, and those that could not be read. */
  readonly onProgress?: (progress: { readonly images: number; readonly failed: number }) => void;
}

/** What was seen of one node's output, in real numbers. */
export interface Observed {
  readonly node: string;
  readonly largest: number;
  /** What one unit of its int8 output is. */
  readonly scale: number;
}

/** An int8 model, and how it came about. */
export interface Quantized {
  /** A safetensors file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly layers: readonly Observed[];
  /** Images that were used, and messages of those that could not be. */
  readonly images: number;
  readonly failed: readonly string[];
}

const BINS = 2048;

/** Magnitudes of one node's values, in bins whose width doubles as larger values come. */
class Histogram {
  readonly counts = new Float64Array(BINS);
  largest = 0;
  #width = 0;

  /** @param node for messages */
  add(node: string, values: Float32Array): void {
    let top = 0;
    for (const value of values) {
      const size = Math.abs(value);
      if (!(size <= Number.MAX_VALUE)) {
        throw new ModelError("not-finite", expectedGot(`"${node}"`, "finite activations", `${value}`), {
          subject: node,
        });
      }
      if (size > top) top = size;
    }
    this.largest = Math.max(this.largest, top);
    if (this.#width === 0 && top > 0) this.#width = top / BINS;
    while (this.#width > 0 && top > this.#width * BINS) {
      for (let i = 0; i < BINS; ++i) {
        this.counts[i] = i < BINS / 2 ? this.counts[2 * i]! + this.counts[2 * i + 1]! : 0;
      }
      this.#width *= 2;
    }
    const perBin = this.#width === 0 ? 0 : 1 / this.#width;
    for (const value of values) this.counts[Math.min(BINS - 1, Math.floor(Math.abs(value) * perBin))]! += 1;
  }

  /** The magnitude that `LIMIT` units should reach. */
  range(method: Method): number {
    if (this.largest === 0) return LIMIT;
    if (method === "minmax") return this.largest;
    if (method === "percentile") {
      const total = this.counts.reduce((a, b) => a + b, 0);
      let below = 0;
      for (let i = 0; i < BINS; ++i) {
        below += this.counts[i]!;
        if (below >= 0.9999 * total) return Math.min(this.largest, (i + 1) * this.#width);
      }
      return this.largest;
    }
    let [best, least] = [this.largest, Number.POSITIVE_INFINITY];
    for (let part = 100; part >= 20; part -= 1) {
      const range = (this.largest * part) / 100;
      const error = this.#error(range / LIMIT);
      if (error < least) [best, least] = [range, error];
    }
    return best;
  }

  /** Sum of squared differences that rounding to multiples of `scale` makes. */
  #error(scale: number): number {
    let sum = 0;
    for (let i = 0; i < BINS; ++i) {
      const value = (i + 0.5) * this.#width;
      const rounded = Math.min(LIMIT, Math.round(value / scale)) * scale;
      sum += this.counts[i]! * (value - rounded) ** 2;
    }
    return sum;
  }
}

/** Means of one node's output by channel. */
class Means {
  readonly sums: Float64Array;
  pixels = 0;

  constructor(channels: number) {
    this.sums = new Float64Array(channels);
  }
  add(values: Float32Array): void {
    const channels = this.sums.length;
    for (let at = 0; at < values.length; at += channels) {
      for (let i = 0; i < channels; ++i) this.sums[i]! += values[at + i]!;
    }
    this.pixels += values.length / channels;
  }
  of(channel: number): number {
    return this.pixels === 0 ? 0 : this.sums[channel]! / this.pixels;
  }
}

/**
 * Quantizes a model.
 *
 * @param source the f32 model, as `load` takes it
 * @param images as many and as varied as a hundred; those that cannot be read are skipped and counted
 * @returns a safetensors file of I8 weights, I32 biases and F32 scales that loads like any other
 * @throws OptionError when no image can be read; ModelError for a model that is int8 already, has a layer that int8 does not
 * support, or has an activation that is not finite
 */
export async function quantizeWith(
  runtime: Runtime,
  source: Source,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: QuantizeOptions & LoadOptions = {},
): Promise<Quantized> {
  checkBuildOptions(options);
  const { method = "mse" } = options;
  if (!METHODS.includes(method)) {
    throw new OptionError("method", expectedGot("method", METHODS.join(", "), JSON.stringify(method)));
  }
  return withModel(runtime, source, options, async (opened) => {
    const graph = fold(opened.graph);
    checkGraph(opened, graph);
    // Its weights are read twice: to run, and to be rounded.
    const model = { ...opened, checkpoint: await rereadable(opened.checkpoint, options.signal) };
    const classifier = await loadModel(runtime, model, { ...options, decode: "exact" });
    try {
      return await calibrate(model, graph, classifier, images, options);
    } finally {
      await classifier.dispose();
    }
  });
}

async function calibrate(
  model: Model,
  graph: Graph,
  classifier: Classifier,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  { method = "mse", signal, onProgress }: QuantizeOptions,
): Promise<Quantized> {
  const watched = graph.nodes.filter((node) => needsScale(node, graph)).map(({ name }) => name);
  const read = graph.nodes.filter(({ op }) => op === "conv" || op === "linear").map(({ inputs }) => inputs[0]!);
  const histograms = new Map(watched.map((name) => [name, new Histogram()]));
  const means = new Map(
    graph.nodes.filter(({ name }) => read.includes(name)).map((n) => [n.name, new Means(n.shape[2])]),
  );
  const names = [...new Set([...watched, ...means.keys()])];
  const failed: string[] = [];
  let seen = 0;
  for await (const image of untilAbortedEach(images, signal)) {
    let outputs: ReadonlyMap<string, Activation>;
    try {
      outputs = await classifier.activations(image, names, signal === undefined ? {} : { signal });
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      failed.push(error.message);
      onProgress?.({ images: seen, failed: failed.length });
      continue;
    }
    for (const [name, { data }] of outputs) {
      histograms.get(name)?.add(name, data);
      means.get(name)?.add(data);
    }
    seen += 1;
    onProgress?.({ images: seen, failed: failed.length });
  }
  if (seen === 0)
    throw new OptionError(
      "images",
      expectedGot("images", "at least one that can be read", `${failed.length} that cannot`),
    );
  const layers = watched.map((node): Observed => {
    const histogram = histograms.get(node)!;
    return { node, largest: histogram.largest, scale: histogram.range(method) / LIMIT };
  });
  const scales = Object.fromEntries(layers.map(({ node, scale }) => [node, scale]));
  const bytes = await write(model, graph, scales, means, signal);
  return { bytes, layers, images: seen, failed };
}

function needsScale(node: Node, graph: Graph): boolean {
  return (node.op === "conv" || node.op === "add" || node.op === "globalpool") && node !== graph.nodes.at(-1);
}

function checkGraph(model: Model, graph: Graph): void {
  if (graph.nodes[0]!.int8 !== undefined) {
    throw new ModelError(
      "unsupported",
      expectedGot(model.source, "a model with float weights", "one that is int8 already"),
    );
  }
  for (const node of graph.nodes) {
    const reason = obstacle(node);
    if (reason === undefined) continue;
    const message = expectedGot(
      `${model.source}: "${node.name}"`,
      "a layer that int8 supports",
      reason,
      "keep it in f16",
    );
    throw new ModelError("unsupported", message, { subject: node.name });
  }
}

/** The int8 file: layer by layer, so that one f32 layer at a time is held. */
async function write(
  model: Model,
  graph: Graph,
  scales: Readonly<Record<string, number>>,
  means: ReadonlyMap<string, Means>,
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const blank = Object.fromEntries(graph.nodes.map(({ name }) => [name, 0]));
  const int8 = toInt8(model.source, graph, { scales, weightSums: blank }, model.preprocess);
  const weightSums: Record<string, number> = {};
  const tensors: NamedTensor[] = [];
  const shapes = new Map(paramsOf(int8).map(({ name, shape }) => [name, shape]));
  for (const node of int8.nodes) {
    if (node.op !== "conv" && node.op !== "linear") continue;
    await letEventsRun(signal);
    const conv = node.op === "linear" ? asConv(node) : node;
    const layer = await quantizeLayer(model, conv, means.get(conv.inputs[0]!)!);
    weightSums[node.name] = layer.weightSum;
    for (const [suffix, dtype, values] of [
      ["weight", "I8", layer.weights],
      ["weight_scale", "F32", layer.scales],
      ["bias", "I32", layer.bias],
    ] as const) {
      const name = `${node.name}.${suffix}`;
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      tensors.push({ name, dtype, shape: shapes.get(name)!, bytes });
    }
  }
  const quantization: Quantization = { scales, weightSums };
  return writeSafetensors(tensors, { ...writeMetadata(model), quantization: JSON.stringify(quantization) });
}

interface Layer {
  /** `[n, c, kh, kw]` */
  readonly weights: Int8Array;
  /** `[n]`: what one unit of a weight is. */
  readonly scales: Float32Array;
  /** `[n]`, in units of input scale times weight scale. */
  readonly bias: Int32Array;
  readonly weightSum: number;
}

async function quantizeLayer(model: Model, node: ConvNode, inputMeans: Means): Promise<Layer> {
  const { weights, bias } = await foldedWeights(model, node);
  const n = node.shape[2];
  const depth = weights.length / n;
  const window = node.kernel[0] * node.kernel[1];
  const perGroup = n / node.groups;
  const { mean, std, order } = model.preprocess;
  const isFirst = node.int8!.pads !== undefined;
  const channel = (i: number): number => (order === "bgr" ? 2 - i : i);
  if (isFirst) {
    // The input is half a byte, rounded down, instead of a normalised number.
    for (let at = 0; at < weights.length; ++at) {
      weights[at]! /= 127.5 * std[channel(Math.floor((at % depth) / window))]!;
    }
  }
  const inputScale = node.int8!.inputs[0]!;
  const layer = { weights: new Int8Array(weights.length), scales: new Float32Array(n), bias: new Int32Array(n) };
  let weightSum = 0;
  for (let o = 0; o < n; ++o) {
    let largest = 0;
    for (let i = 0; i < depth; ++i) largest = Math.max(largest, Math.abs(weights[o * depth + i]!));
    const scale = Math.fround(largest === 0 ? 1 : largest / LIMIT);
    layer.scales[o] = scale;
    let [shift, sum] = [bias[o]!, 0];
    for (let i = 0; i < depth; ++i) {
      const at = o * depth + i;
      const rounded = Math.max(-LIMIT, Math.min(LIMIT, Math.round(weights[at]! / scale)));
      layer.weights[at] = rounded;
      sum += Math.abs(rounded);
      const c = Math.floor(i / window);
      const input = Math.floor(o / perGroup) * (depth / window) + c;
      const exact = rounded * scale;
      if (isFirst) {
        shift += exact * (0.25 - 127.5 * mean[channel(c)]!);
        // What rounding this weight changes on average.
        shift += (weights[at]! - exact) * 127.5 * inputMeans.of(c) * std[channel(c)]!;
      } else shift += (weights[at]! - exact) * inputMeans.of(input);
    }
    const units = Math.round(shift / (inputScale * scale));
    layer.bias[o] = Math.max(-(2 ** 30), Math.min(2 ** 30, units));
    weightSum = Math.max(weightSum, sum);
  }
  return { ...layer, weightSum };
}

/** A convolution's weights, `[n, c, kh, kw]`, and biases, with its batch norm in them. */
async function foldedWeights(
  { checkpoint }: Model,
  node: ConvNode,
): Promise<{ readonly weights: Float32Array; readonly bias: Float64Array }> {
  const weights = await readValues(checkpoint, `${node.name}.weight`);
  const n = node.shape[2];
  const bias = new Float64Array(n);
  if (node.bias) bias.set(await readValues(checkpoint, `${node.name}.bias`));
  if (node.norm === undefined) return { weights, bias };
  const read = (part: string): Promise<Float32Array> => readValues(checkpoint, `${node.norm!.name}.${part}`);
  const [gamma, beta] = [await read("weight"), await read("bias")];
  const [mean, variance] = [await read("running_mean"), await read("running_var")];
  const depth = weights.length / n;
  for (let o = 0; o < n; ++o) {
    const factor = gamma[o]! / Math.sqrt(variance[o]! + node.norm.epsilon);
    for (let i = o * depth; i < (o + 1) * depth; ++i) weights[i]! *= factor;
    bias[o] = beta[o]! + (bias[o]! - mean[o]!) * factor;
  }
  return { weights, bias };
}
