/** Numbers of a checkpoint, whatever their element type and order in the file. */
import { type Checkpoint, complaint, ModelError, type TensorInfo } from "./tensor.ts";

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
