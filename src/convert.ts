/**
 * A model of any format as a safetensors file of this project's: torchvision's names, C order, and everything else that
 * a classifier must know in its metadata.
 */

import { type Checkpoint, readValues, rereadable } from "./checkpoint.ts";
import { expectedGot, ModelError, OptionError } from "./errors.ts";
import { SCALE } from "./formats/dequantize.ts";
import { planSafetensors, type TensorEntry } from "./formats/safetensors.ts";
import { LIMIT } from "./int8.ts";
import { type Model, type ModelOptions, openModelWith, type Source } from "./model.ts";
import { writeMetadata } from "./models/metadata.ts";
import { paramsOf } from "./ops/ops.ts";
import type { Runtime } from "./runtime.ts";

export interface ConvertOptions {
  /**
   * Of convolutions' and linear layers' weights; biases and norms stay F32, they weigh nothing. `i8` stores them in a
   * quarter of the bytes, with a scale for each output: a small download, still computed in f32.
   */
  readonly dtype?: StorageDtype;
}

export const STORAGE_DTYPES = ["f32", "f16", "i8"] as const;
export type StorageDtype = (typeof STORAGE_DTYPES)[number];

/** Element types in the file, of weights. */
const STORED = { f32: "F32", f16: "F16", i8: "I8" } as const;

/**
 * Writes any model as one safetensors file that needs nothing beside it, piece by piece.
 *
 * @param source as `load` takes it
 * @throws OptionError for another dtype; while pieces are read, as `openModel` and `convertModel`
 */
export function convertWith(
  runtime: Runtime,
  source: Source,
  options: ConvertOptions & ModelOptions = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const { dtype = "f32" } = options;
  if (!STORAGE_DTYPES.includes(dtype)) {
    throw new OptionError("dtype", expectedGot("dtype", STORAGE_DTYPES.join(", "), JSON.stringify(dtype)));
  }
  const pieces = async function* (): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const model = await openModelWith(runtime, source, options);
    try {
      // A stream has its tensors in another order.
      yield* convertModel({ ...model, checkpoint: await rereadable(model.checkpoint) }, { dtype });
    } finally {
      if (model !== source) await model.close();
    }
  };
  return pieces();
}

/**
 * An opened model as a file: its header, then a tensor at a time, so that nothing holds it whole.
 *
 * @throws ModelError for a weight that f16 cannot hold, or a file that is shorter than it says
 */
export async function* convertModel(
  model: Model,
  { dtype = "f32" }: ConvertOptions = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (model.graph.nodes[0]!.int8 !== undefined) {
    throw new ModelError(
      "unsupported",
      expectedGot(model.source, "a model with float weights", "one quantized for int8 computing"),
    );
  }
  const entries = paramsOf(model.graph).flatMap(({ name, shape }): TensorEntry[] => {
    if (shape.length === 1) return [{ name, shape, dtype: "F32" }];
    const weight: TensorEntry = { name, shape, dtype: STORED[dtype] };
    return dtype === "i8" ? [weight, { name: `${name}${SCALE}`, shape: [shape[0]!], dtype: "F32" }] : [weight];
  });
  const { header, order } = planSafetensors(entries, writeMetadata(model));
  yield header;
  for (const { name, dtype: stored } of order) {
    const isScale = name.endsWith(SCALE);
    const values = await readValues(model.checkpoint, isScale ? name.slice(0, -SCALE.length) : name);
    if (isScale) yield bytesOf(rowScales(model.checkpoint, name.slice(0, -SCALE.length), values));
    else if (stored === "F16")
      yield bytesOf(
        halves(`${model.source}: "${name}"`, values, values.length / model.checkpoint.tensors.get(name)!.shape[0]!),
      );
    else if (stored === "I8") yield bytesOf(rounded(values, rowScales(model.checkpoint, name, values)));
    else yield bytesOf(values);
  }
}

type Values = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Int8Array<ArrayBuffer>;

function bytesOf(values: Values): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** What one unit of a weight stands for, by output: the largest magnitude is 127. */
function rowScales({ tensors }: Checkpoint, name: string, values: Float32Array): Float32Array<ArrayBuffer> {
  const rows = tensors.get(name)!.shape[0]!;
  const each = values.length / rows;
  return Float32Array.from({ length: rows }, (_, row) => {
    let largest = 0;
    for (let i = row * each; i < (row + 1) * each; ++i) largest = Math.max(largest, Math.abs(values[i]!));
    return largest === 0 ? 1 : largest / LIMIT;
  });
}

function rounded(values: Float32Array, scales: Float32Array): Int8Array<ArrayBuffer> {
  const each = values.length / scales.length;
  return Int8Array.from(values, (value, i) =>
    Math.round(value / scales[Math.floor(i / each)]!),
  ) as Int8Array<ArrayBuffer>;
}

/**
 * f32 to binary16, rounded half to even. What rounding took from a weight is given to the next of the same output
 * (error diffusion): inputs behind a ReLU are alike, so that the errors of a sum cancel. A third less error in the logits
 * of ResNet-50 than by rounding each alone.
 *
 * @param each weights of one output
 */
function halves(where: string, values: Float32Array, each: number): Uint16Array<ArrayBuffer> {
  let carry = 0;
  return Uint16Array.from(values, (exact, i) => {
    const value = i % each === 0 ? exact : exact + carry;
    const size = Math.abs(value);
    // The step between neighbours at this size; below 2⁻¹⁴ they are 2⁻²⁴ apart.
    const exponent = Math.max(-14, Math.min(15, Math.floor(Math.log2(size || 2 ** -14))));
    const steps = roundHalfEven(size / 2 ** (exponent - 10));
    const half = exponent === -14 ? steps : ((exponent + 14) << 10) + steps;
    if (!(half < 0x7c00))
      throw new ModelError("malformed", expectedGot(where, "numbers within ±65504 for f16", `${exact}`));
    carry = value - Math.sign(value) * steps * 2 ** (exponent - 10);
    return (value < 0 ? 0x8000 : 0) | half;
  }) as Uint16Array<ArrayBuffer>;
}

function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
