/**
 * The weights of a folded network as TensorFlow.js keeps them: a list of specs (JSON) and one binary, convolutions as
 * HWIO, linear layers as `[in, out]`.
 */
import type { WeightSpec } from "@tensorflow/tfjs-core";
import type { Weight, Weights } from "./network.ts";

/** The specs and the bytes, in one order. */
export function writeTfjs(weights: Weights): { readonly specs: readonly WeightSpec[]; readonly data: Uint8Array } {
  const specs: WeightSpec[] = [];
  const parts: Uint8Array[] = [];
  for (const [name, weight] of weights) {
    const { shape, data } = weight.shape.length > 1 ? outputsLast(weight) : weight;
    specs.push({ name, shape, dtype: "float32" });
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return { specs, data: Buffer.concat(parts) };
}

/** `[o, i, h, w]` as `[h, w, i, o]`, and `[o, i]` as `[i, o]`. */
function outputsLast({ shape, data }: Weight): Weight {
  const [o, i, h = 1, w = 1] = shape as [number, number, number?, number?];
  const out = new Float32Array(data.length);
  for (let to = 0; to < o; ++to) {
    for (let from = 0; from < i; ++from) {
      for (let at = 0; at < h * w; ++at) out[(at * i + from) * o + to] = data[(to * i + from) * h * w + at]!;
    }
  }
  return { shape: shape.length === 4 ? [h, w, i, o] : [i, o], data: out };
}
