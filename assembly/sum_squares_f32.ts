/**
 * Sums of squares of slices: a norm's first step.
 *
 *     out[s] = Σ over 4,096 elements of in[i]²
 *
 * - `n`      elements
 * - `input`  [n] f32
 * - `out`    [⌈n/4096⌉] f32
 *
 * Unit: one slice.
 *
 * Must hold: `n` is a multiple of 4; `out` does not overlap `input`.
 *
 * Why: slices, not threads, decide how sums are rounded.
 */
import { madd } from "./simd";

export function sum_squares_f32(from: i32, to: i32, n: i32, input: usize, out: usize): void {
  assert(n % 4 == 0);
  for (let unit = from; unit < to; ++unit) {
    let at = input + ((<usize>unit) << 14);
    const end = input + ((<usize>min(n, (unit + 1) << 12)) << 2);
    let s = f32x4.splat(0);
    for (; at < end; at += 16) {
      const x = v128.load(at);
      s = madd(x, x, s);
    }
    const sum =
      <f64>f32x4.extract_lane(s, 0) +
      <f64>f32x4.extract_lane(s, 1) +
      <f64>f32x4.extract_lane(s, 2) +
      <f64>f32x4.extract_lane(s, 3);
    store<f32>(out + ((<usize>unit) << 2), <f32>sum);
  }
}
