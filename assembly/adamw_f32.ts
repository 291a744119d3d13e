/**
 * AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), as PyTorch's `AdamW`.
 *
 *     g = dw · clip,   m += (1 − β₁) · (g − m),   v = β₂ · v + (1 − β₂) · g²
 *     w = w · (1 − rate · decay) − rate / c₁ · m / (√v / √c₂ + ε),   cᵢ = 1 − βᵢ^step
 *
 * - `hyper`   [4] f32: rate, clip, rate / c₁, 1 / √c₂; memory, because they change from step to step
 * - `dw`      [16 · units] f32
 * - `w m v`   [16 · units] f32
 * - `beta1` `beta2` `epsilon` `decay`
 *
 * Unit: 16 elements (one cache line).
 *
 * Must hold: nothing overlaps.
 *
 * Why: memory-bound; nothing to choose.
 */
import { madd } from "./simd";

export function adamw_f32(
  from: i32, to: i32,
  hyper: usize, dw: usize, w: usize, m: usize, v: usize,
  beta1: f32, beta2: f32, epsilon: f32, decay: f32,
): void {
  const clip = v128.load32_splat(hyper, 4);
  const rate = v128.load32_splat(hyper, 8);
  const root = v128.load32_splat(hyper, 12);
  const keep = f32x4.splat((1.0 as f32) - load<f32>(hyper) * decay);
  const fresh1 = f32x4.splat((1.0 as f32) - beta1);
  const keep2 = f32x4.splat(beta2);
  const fresh2 = f32x4.splat((1.0 as f32) - beta2);
  const little = f32x4.splat(epsilon);
  const end = (<usize>to) << 6;
  for (let i = (<usize>from) << 6; i < end; i += 16) {
    const g = f32x4.mul(v128.load(dw + i), clip);
    const m0 = v128.load(m + i);
    const mean = madd(fresh1, f32x4.sub(g, m0), m0);
    const square = madd(fresh2, f32x4.mul(g, g), f32x4.mul(keep2, v128.load(v + i)));
    v128.store(m + i, mean);
    v128.store(v + i, square);
    const below = madd(f32x4.sqrt(square), root, little);
    const step = f32x4.div(f32x4.mul(rate, mean), below);
    v128.store(w + i, f32x4.sub(f32x4.mul(v128.load(w + i), keep), step));
  }
}
