/**
 * A running average: of batch statistics, and of weights.
 *
 *     out[i] += t · (in[i] − out[i])
 *
 * - `share`        [1] f32: t; memory, because it may change from step to step
 * - `input` `out`  [16 · units] f32
 *
 * Unit: 16 elements (one cache line).
 *
 * Must hold: `out` does not overlap `input`.
 *
 * Why: memory-bound; nothing to choose.
 */
import { madd } from "./simd";

export function lerp_f32(from: i32, to: i32, share: usize, input: usize, out: usize): void {
  const t = v128.load32_splat(share);
  const end = (<usize>to) << 6;
  for (let i = (<usize>from) << 6; i < end; i += 16) {
    const x = v128.load(out + i);
    v128.store(out + i, madd(t, f32x4.sub(v128.load(input + i), x), x));
  }
}
