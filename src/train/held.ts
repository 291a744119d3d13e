/**
 * Parameters between PyTorch's order and the one that training computes in: a convolution's `[o, i, v, u]` lies in memory as
 * `[v, u, i, o]`, a matrix transposed. Both are f32.
 */

/** `[o, i, v, u]`, `[o, i]` or `[o]` as outputs, inputs and kernel positions. */
function sizesOf([outputs = 1, inputs = 1, kh = 1, kw = 1]: readonly number[]): {
  outputs: number;
  inputs: number;
  taps: number;
} {
  return { outputs, inputs, taps: kh * kw };
}

/** The values of a parameter of a shape, in PyTorch's order. */
export function toTorchOrder(shape: readonly number[], held: Float32Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(held.length);
  const { outputs, inputs, taps } = sizesOf(shape);
  for (let o = 0; o < outputs; ++o) {
    for (let i = 0; i < inputs; ++i) {
      for (let t = 0; t < taps; ++t) out[(o * inputs + i) * taps + t] = held[(t * inputs + i) * outputs + o]!;
    }
  }
  return out;
}

/** Writes values in PyTorch's order to where training holds them. */
export function fromTorchOrder(shape: readonly number[], values: Float32Array, held: Float32Array): void {
  const { outputs, inputs, taps } = sizesOf(shape);
  for (let o = 0; o < outputs; ++o) {
    for (let i = 0; i < inputs; ++i) {
      for (let t = 0; t < taps; ++t) held[(t * inputs + i) * outputs + o] = values[(o * inputs + i) * taps + t]!;
    }
  }
}
