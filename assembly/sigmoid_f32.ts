/**
 * The logistic function.
 *
 *     out[p, i] = 1 / (1 + exp(−in[p, i]))
 *
 * - `c`            channels
 * - `input` `out`  [pixels, c] f32
 *
 * Unit: one pixel.
 *
 * Must hold: `out` is `input` or does not overlap it.
 *
 * Why: a few hundred scalars a block; `exp` overflows to infinity on one side, which is the right limit.
 */
import { exp } from "./exp";

export function sigmoid_f32(from: i32, to: i32, c: i32, input: usize, out: usize): void {
  let at = (<usize>from * c) << 2;
  const end = (<usize>to * c) << 2;
  for (; at < end; at += 4) {
    store<f32>(out + at, <f32>(1.0 / (1.0 + exp(-<f64>load<f32>(input + at)))));
  }
}
