/**
 * Batch norm with fixed statistics where no convolution could take it in (pre-activation networks), with its ReLU.
 *
 *     out[p, i] = clamp(in[p, i] · scale[i] + shift[i])
 *
 * - `c`            channels
 * - `input`        [pixels, c] f32
 * - `parameters`   scale [c] then shift [c] f32
 * - `out`          [pixels, c] f32
 *
 * Unit: one pixel.
 *
 * Must hold: `out` is `input` or does not overlap it.
 *
 * Why: memory-bound; two vectors side by side, which engines that pack pairs make one.
 */
import { clamp, clamp1, madd } from "./simd";

export function norm_f32(
  from: i32, to: i32,
  c: i32,
  input: usize, parameters: usize, out: usize,
  lo: f32, hi: f32,
): void {
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const bytes = (<usize>c) << 2;
  for (let unit = from; unit < to; ++unit) {
    const a = input + <usize>unit * bytes;
    const o = out + <usize>unit * bytes;
    let i: usize = 0;
    for (; i + 32 <= bytes; i += 32) {
      const shift = parameters + bytes + i;
      const y0 = madd(v128.load(a + i), v128.load(parameters + i), v128.load(shift));
      const y1 = madd(v128.load(a + i, 16), v128.load(parameters + i, 16), v128.load(shift, 16));
      v128.store(o + i, clamp(y0, low, high));
      v128.store(o + i, clamp(y1, low, high), 16);
    }
    for (; i < bytes; i += 4) {
      const y = load<f32>(a + i) * load<f32>(parameters + i) + load<f32>(parameters + bytes + i);
      store<f32>(o + i, clamp1(y, lo, hi));
    }
  }
}
