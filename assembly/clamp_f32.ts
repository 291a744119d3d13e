/**
 * An activation that no kernel before it could take into its store.
 *
 *     out[p, i] = clamp(in[p, i])
 *
 * - `c`      channels
 * - `input`  [pixels, c] f32
 * - `out`    [pixels, c] f32
 *
 * Unit: one pixel.
 *
 * Must hold: `out` is `input` or does not overlap it.
 *
 * Why: memory-bound; two vectors side by side, which engines that pack pairs make one.
 */
import { clamp, clamp1 } from "./simd";

export function clamp_f32(from: i32, to: i32, c: i32, input: usize, out: usize, lo: f32, hi: f32): void {
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  let at = (<usize>from * c) << 2;
  const end = (<usize>to * c) << 2;
  for (; at + 32 <= end; at += 32) {
    const x0 = clamp(v128.load(input + at), low, high);
    const x1 = clamp(v128.load(input + at, 16), low, high);
    v128.store(out + at, x0);
    v128.store(out + at, x1, 16);
  }
  for (; at < end; at += 4) store<f32>(out + at, clamp1(load<f32>(input + at), lo, hi));
}
