/** Weights for networks that have none: to measure speed, and to train from. */

import type { Checkpoint } from "../checkpoint.ts";
import type { Graph } from "../graph.ts";
import { paramsOf } from "../ops/ops.ts";
import type { TensorInfo } from "../tensor.ts";

/** Uniform numbers in [0, 1): mulberry32. The same seed gives the same numbers. */
export function uniform(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A seed from a seed and what it is for. */
export function seedFrom(seed: number, ...parts: readonly number[]): number {
  let hash = 0x811c9dc5 ^ seed;
  for (const part of parts) {
    hash = Math.imul(hash ^ part, 0x01000193);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0x85ebca6b);
    hash ^= hash >>> 13;
  }
  return hash | 0;
}

/**
 * A checkpoint with He et al.'s initialisation ("Delving Deep into Rectifiers", arXiv 1502.01852): weights normal with
 * variance 2 / fan-in, batch norms the identity, biases zero. The same seed gives the same weights.
 */
export function randomCheckpoint(graph: Graph, seed: number): Checkpoint {
  const params = new Map(paramsOf(graph).map(({ name, shape }, at) => [name, { shape, at }]));
  const infoOf = ({ shape }: { shape: readonly number[] }): TensorInfo => ({ dtype: "F32", shape });
  return {
    tensors: new Map([...params].map(([name, param]) => [name, infoOf(param)])),
    metadata: {},
    async read(name) {
      const { shape, at } = params.get(name)!;
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
      if (shape.length > 1) {
        const deviation = Math.sqrt(2 / shape.slice(1).reduce((a, b) => a * b, 1));
        const next = uniform(seed * 1_000_003 + at);
        // Box and Muller's transform, two numbers a time.
        for (let i = 0; i < values.length; i += 2) {
          const radius = deviation * Math.sqrt(-2 * Math.log(1 - next()));
          const angle = 2 * Math.PI * next();
          values[i] = radius * Math.cos(angle);
          if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
        }
      } else if (/\.(weight|running_var)$/.test(name)) values.fill(1);
      return new Uint8Array(values.buffer);
    },
    async close() {},
  };
}
