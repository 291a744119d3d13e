/**
 * Batch norm as a scale and a shift, with the residual addition and the ReLU that follow it in training.
 *
 *     out[p, i] = clamp(in[p, i] · scale[i] + shift[i] + residual[p, i])
 *
 * - `c`           channels
 * - `input`       [pixels, c] f32
 * - `parameters`  scale [c] then shift [c] f32
 * - `residual`    [pixels, c] f32
 * - `out`         [pixels, c] f32
 *
 * Unit: one pixel.
 *
 * Must hold: `out` is `input` or `residual`, or overlaps neither.
 *
 * Why: memory-bound: one pass instead of three, two vectors side by side, which engines that pack pairs make one.
 */
import { clamp, clamp1, madd } from "./simd";

export function norm_add_f32(
  from: i32, to: i32,
  c: i32,
  input: usize, parameters: usize, residual: usize, out: usize,
  lo: f32, hi: f32,
): void {
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const bytes = (<usize>c) << 2;
  for (let unit = from; unit < to; ++unit) {
    const at = <usize>unit * bytes;
    let i: usize = 0;
    for (; i + 32 <= bytes; i += 32) {
      const a = input + at + i;
      const r = residual + at + i;
      const o = out + at + i;
      const shift = parameters + bytes + i;
      const y0 = madd(v128.load(a), v128.load(parameters + i), v128.load(shift));
      const y1 = madd(v128.load(a, 16), v128.load(parameters + i, 16), v128.load(shift, 16));
      const x0 = clamp(f32x4.add(y0, v128.load(r)), low, high);
      const x1 = clamp(f32x4.add(y1, v128.load(r, 16)), low, high);
      v128.store(o, x0);
      v128.store(o, x1, 16);
    }
    for (; i < bytes; i += 4) {
      const y = load<f32>(input + at + i) * load<f32>(parameters + i) + load<f32>(parameters + bytes + i);
      store<f32>(out + at + i, clamp1(y + load<f32>(residual + at + i), lo, hi));
    }
  }
}
