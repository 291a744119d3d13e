/**
 * Int8 activations as i16, which `DOT16` multiplies.
 *
 *     out[i] = in[i]
 *
 * - `c`      elements of a unit
 * - `input`  [units, c] i8
 * - `out`    [units, c] i16
 *
 * Unit: one pixel.
 *
 * Must hold: `out` does not overlap `input`.
 *
 * Why: once a convolution instead of once a panel: a splat of two i8 would cost an instruction more in the inner loop.
 */
export function widen_i8(from: i32, to: i32, c: i32, input: usize, out: usize): void {
  let at = <usize>from * c;
  const end = <usize>to * c;
  for (; at + 8 <= end; at += 8) v128.store(out + (at << 1), v128.load8x8_s(input + at));
  for (; at < end; ++at) store<i16>(out + (at << 1), load<i8>(input + at));
}
