/**
 * Residual addition of int8 activations that no convolution could take into its store.
 *
 *     out[p, i] = clamp(round(a[p, i] · sa + b[p, i] · sb))
 *
 * - `c`        channels
 * - `a` `b`    [pixels, c] i8
 * - `out`      [pixels, c] i8
 * - `sa` `sb`  steps of the output in one step of each operand
 * - `lo hi`    bounds of the output
 *
 * Unit: one pixel.
 *
 * Must hold: `out` is `a` or `b`, or overlaps neither.
 *
 * Why: rare: a fold leaves it only where neither operand is a convolution.
 */
import { requantize1 } from "./requantize";

export function add_i8(
  from: i32, to: i32,
  c: i32,
  a: usize, b: usize, out: usize,
  sa: f32, sb: f32, lo: f32, hi: f32,
): void {
  const end = <usize>to * c;
  for (let at = <usize>from * c; at < end; ++at) {
    store<i8>(out + at, requantize1(load<i8>(a + at), sa, <f32>load<i8>(b + at), sb, lo, hi));
  }
}
