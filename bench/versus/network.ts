/**
 * What is run: a network of ours with seeded random weights, and seeded random images. Speed does not depend on the
 * values, and random ones need no download.
 */
import { fold } from "../../src/fold.ts";
import { type Graph, inputShape } from "../../src/graph.ts";
import type { Pixels } from "../../src/image.ts";
import { uniform } from "../../src/models/random.ts";
import { resnet, resnetSpec } from "../../src/models/resnet.ts";
import { paramsOf } from "../../src/ops/ops.ts";
import { PRESETS } from "../../src/preprocess.ts";
import type { Setting } from "./contest.ts";

/** A tensor in PyTorch's order. */
export interface Weight {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}
export type Weights = ReadonlyMap<string, Weight>;

/** The network as trained. Throws `RangeError` for a name the project does not know. */
export function network(model: string): Graph {
  return resnet(model, resnetSpec(model));
}

/** He et al.'s bound for convolutions and the linear layer; batch norms near identity, so that every layer has its say. */
function bounds(name: string, shape: readonly number[]): readonly [lo: number, hi: number] {
  if (shape.length > 1) {
    const bound = Math.sqrt(6 / shape.slice(1).reduce((a, b) => a * b, 1));
    return [-bound, bound];
  }
  if (name.endsWith(".running_var")) return [0.5, 1.5];
  return name.endsWith(".weight") ? [0.5, 1] : [-0.1, 0.1];
}

/** Every tensor the network as trained asks of a checkpoint. */
export function randomWeights(graph: Graph): Weights {
  const next = uniform(1);
  return new Map(
    paramsOf(graph).map(({ name, shape }) => {
      const [lo, hi] = bounds(name, shape);
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).map(() => lo + (hi - lo) * next());
      return [name, { shape, data }];
    }),
  );
}

/** `batch` different images `[n, h, w, 3]`, as if preprocessed. */
function randomImages(graph: Graph, batch: number): Weight {
  const next = uniform(2);
  const shape = [batch, ...inputShape(graph)];
  return { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).map(() => 4 * next() - 2) };
}

/** What every contender computes. */
export function imagesOf({ model, dtype, batch }: Setting): Weight {
  const graph = network(model);
  return dtype === "int8" ? normalizedPixels(graph, batch) : randomImages(graph, batch);
}

/** Photos without a motif: every byte of RGB random. */
export function randomPixels(graph: Graph, count: number): readonly Pixels[] {
  const next = uniform(3);
  const [height, width] = inputShape(graph);
  return Array.from({ length: count }, () => {
    const data = new Uint8Array(width * height * 4).map(() => 256 * next());
    return { width, height, data };
  });
}

/** `randomPixels` as if preprocessed: what is a byte for an int8 network. */
function normalizedPixels(graph: Graph, batch: number): Weight {
  const { mean, std } = PRESETS["torchvision-v1"];
  const images = randomPixels(graph, batch);
  const data = images.flatMap(({ data }) => [...data].filter((_, i) => i % 4 < 3));
  return {
    shape: [batch, ...inputShape(graph)],
    data: Float32Array.from(data, (byte, i) => (byte / 255 - mean[i % 3]!) / std[i % 3]!),
  };
}

/** `normalizedPixels` as the seven bits of each byte that the rivals' int8 models take. */
export function bytesOf({ shape, data }: Weight): Weight {
  const { mean, std } = PRESETS["torchvision-v1"];
  return { shape, data: data.map((x, i) => Math.round(255 * (x * std[i % 3]! + mean[i % 3]!)) >> 1) };
}

/** `[n, h, w, c]` as `[n, c, h, w]`. */
export function channelsFirst({ shape, data }: Weight): Weight {
  const [n, h, w, c] = shape as [number, number, number, number];
  const out = new Float32Array(data.length);
  for (let image = 0; image < n; ++image) {
    for (let pixel = 0; pixel < h * w; ++pixel) {
      for (let channel = 0; channel < c; ++channel) {
        out[(image * c + channel) * h * w + pixel] = data[(image * h * w + pixel) * c + channel]!;
      }
    }
  }
  return { shape: [n, c, h, w], data: out };
}

/**
 * The network and its weights with every batch norm folded into the convolution before it. Ours folds for itself at
 * load; the rivals get the result, so that none of them pays for a batch norm.
 */
export function foldAll(graph: Graph, weights: Weights): { readonly graph: Graph; readonly weights: Weights } {
  const folded = fold(graph);
  const out = new Map<string, Weight>();
  for (const node of folded.nodes) {
    if (node.op !== "conv" && node.op !== "linear") continue;
    const { shape, data } = weights.get(`${node.name}.weight`)!;
    const channels = shape[0]!;
    const each = data.length / channels;
    const tensor = (name: string): Float32Array => weights.get(name)!.data;
    const scaled = data.slice();
    const bias = new Float32Array(channels);
    if (node.bias) bias.set(tensor(`${node.name}.bias`));
    if (node.op === "conv" && node.norm !== undefined) {
      const { name, epsilon } = node.norm;
      for (let c = 0; c < channels; ++c) {
        const scale = tensor(`${name}.weight`)[c]! / Math.sqrt(tensor(`${name}.running_var`)[c]! + epsilon);
        for (let i = c * each; i < (c + 1) * each; ++i) scaled[i] = data[i]! * scale;
        bias[c] = (bias[c]! - tensor(`${name}.running_mean`)[c]!) * scale + tensor(`${name}.bias`)[c]!;
      }
    }
    out.set(`${node.name}.weight`, { shape, data: scaled });
    out.set(`${node.name}.bias`, { shape: [channels], data: bias });
  }
  return { graph: folded, weights: out };
}
