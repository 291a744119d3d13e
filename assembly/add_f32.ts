/**
 * Residual addition that no convolution could take into its store.
 *
 *     out[p, i] = clamp(a[p, i] + b[p, i])
 *
 * - `c`       channels
 * - `a` `b`   [pixels, c] f32
 * - `out`     [pixels, c] f32
 *
 * Unit: one pixel.
 *
 * Must hold: `out` is `a` or `b`, or overlaps neither.
 *
 * Why: memory-bound; two vectors side by side, which engines that pack pairs make one.
 */
import { clamp, clamp1 } from "./simd";

export function add_f32(from: i32, to: i32, c: i32, a: usize, b: usize, out: usize, lo: f32, hi: f32): void {
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  let at = (<usize>from * c) << 2;
  const end = (<usize>to * c) << 2;
  for (; at + 32 <= end; at += 32) {
    const x0 = clamp(f32x4.add(v128.load(a + at), v128.load(b + at)), low, high);
    const x1 = clamp(f32x4.add(v128.load(a + at, 16), v128.load(b + at, 16)), low, high);
    v128.store(out + at, x0);
    v128.store(out + at, x1, 16);
  }
  for (; at < end; at += 4) store<f32>(out + at, clamp1(load<f32>(a + at) + load<f32>(b + at), lo, hi));
}
