/**
 * A model of any format as a safetensors file of this project's: torchvision's names, C order, and everything else that
 * a classifier must know in its metadata.
 */
import { planSafetensors, type TensorEntry } from "./formats/safetensors.ts";
import type { Model } from "./model.ts";
import { writeMetadata } from "./models/metadata.ts";
import { paramsOf } from "./ops/ops.ts";
import { type Checkpoint, complaint, ModelError, type TensorInfo } from "./tensor.ts";

export interface ConvertOptions {
  /** Of convolutions' and linear layers' weights; biases and norms stay F32, they weigh nothing. */
  readonly dtype?: "f32" | "f16";
}

/**
 * The file, piece by piece: its header, then a tensor at a time, so that nothing holds it whole.
 *
 * @throws ModelError for a weight that f16 cannot hold, or a file that is shorter than it says
 */
export async function* convert(
  model: Model,
  { dtype = "f32" }: ConvertOptions = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const entries = paramsOf(model.graph).map(({ name, shape }): TensorEntry => {
    return { name, shape, dtype: dtype === "f16" && shape.length > 1 ? "F16" : "F32" };
  });
  const { header, order } = planSafetensors(entries, writeMetadata(model));
  yield header;
  for (const entry of order) {
    const values = await readValues(model.checkpoint, entry.name);
    yield entry.dtype === "F32" ? bytesOf(values) : bytesOf(halves(`${model.source}: "${entry.name}"`, values));
  }
}

function bytesOf(values: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** A tensor of any element type as f32, in C order. */
export async function readValues(checkpoint: Checkpoint, name: string): Promise<Float32Array<ArrayBuffer>> {
  const info = checkpoint.tensors.get(name)!;
  const bytes = await checkpoint.read(name);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = reader(info, view, name);
  const count = info.shape.reduce((a, b) => a * b, 1);
  const values = new Float32Array(count);
  const { shape, strides } = info;
  if (strides === undefined) {
    for (let i = 0; i < count; ++i) values[i] = at(i);
    return values;
  }
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let i = 0; i < count; ++i) {
    values[i] = at(from);
    for (let axis = shape.length - 1; axis >= 0; --axis) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return values;
}

function reader(info: TensorInfo, view: DataView, name: string): (i: number) => number {
  const bits = new DataView(new ArrayBuffer(4));
  switch (info.dtype) {
    case "F32":
      return (i) => view.getFloat32(4 * i, true);
    case "F64":
      return (i) => view.getFloat64(8 * i, true);
    case "BF16":
      return (i) => {
        bits.setUint32(0, view.getUint16(2 * i, true) << 16);
        return bits.getFloat32(0);
      };
    case "F16":
      return (i) => fromHalf(view.getUint16(2 * i, true));
    default:
      throw new ModelError(complaint(`"${name}"`, "F32, F16, BF16 or F64", info.dtype));
  }
}

/** IEEE 754 binary16 to a number. */
function fromHalf(half: number): number {
  const [sign, exponent, fraction] = [half & 0x8000 ? -1 : 1, (half >> 10) & 31, half & 1023];
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** f32 to binary16, rounded half to even. */
function halves(where: string, values: Float32Array): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(values, (value) => {
    const size = Math.abs(value);
    // The step between neighbours at this size; below 2⁻¹⁴ they are 2⁻²⁴ apart.
    const exponent = Math.max(-14, Math.min(15, Math.floor(Math.log2(size || 1))));
    const steps = roundHalfEven(size / 2 ** (exponent - 10));
    const half = exponent === -14 ? steps : ((exponent + 14) << 10) + steps;
    if (!(half < 0x7c00)) throw new ModelError(complaint(where, "numbers within ±65504 for f16", `${value}`));
    return (value < 0 || Object.is(value, -0) ? 0x8000 : 0) | half;
  }) as Uint16Array<ArrayBuffer>;
}

function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
