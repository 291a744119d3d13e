/**
 * Stochastic gradient descent with momentum, as PyTorch's `SGD`.
 *
 *     g = dw · clip + decay · w,   m = momentum · m + g,   w −= rate · (nesterov ? g + momentum · m : m)
 *
 * - `nesterov`  1 or 0
 * - `hyper`     [2] f32: rate, clip; memory, because they change from step to step
 * - `dw`        [16 · units] f32
 * - `w` `m`     [16 · units] f32
 * - `momentum` `decay`
 *
 * Unit: 16 elements (one cache line).
 *
 * Must hold: nothing overlaps.
 *
 * Why: memory-bound; nothing to choose.
 */
import { madd } from "./simd";

export function sgd_f32(
  from: i32, to: i32,
  nesterov: i32,
  hyper: usize, dw: usize, w: usize, m: usize,
  momentum: f32, decay: f32,
): void {
  const rate = v128.load32_splat(hyper);
  const clip = v128.load32_splat(hyper, 4);
  const keep = f32x4.splat(momentum);
  const pull = f32x4.splat(decay);
  const end = (<usize>to) << 6;
  for (let i = (<usize>from) << 6; i < end; i += 16) {
    const x = v128.load(w + i);
    const g = madd(pull, x, f32x4.mul(v128.load(dw + i), clip));
    const speed = madd(keep, v128.load(m + i), g);
    v128.store(m + i, speed);
    v128.store(w + i, f32x4.sub(x, f32x4.mul(rate, nesterov ? madd(keep, speed, g) : speed)));
  }
}
