/**
 * How fast this core multiplies and adds four f32 at once: a loop that stays in registers.
 *
 *     out[j] ← out[j] · scale + shift, 1,000 times a unit, in twelve chains j
 *
 * - `out`  [12, 4] f32: where the chains begin and what they have come to, so that no compiler can leave one out
 * - `scale` `shift`  arguments because V8 builds a constant vector again at each use
 *
 * Unit: 1,000 steps of twelve chains of four lanes: 96,000 operations. Units are not independent: each goes on where
 * the one before it ended.
 *
 * Must hold: nothing.
 *
 * Why: twelve chains hide the latency of two multiply-adds a cycle, and with `a` and `b` fill V8's registers as a tile does.
 */
import { madd } from "./simd";

export function peak_f32(from: i32, to: i32, out: usize, scale: f32, shift: f32): void {
  const a = f32x4.splat(scale);
  const b = f32x4.splat(shift);
  let c0 = v128.load(out);
  let c1 = v128.load(out, 16);
  let c2 = v128.load(out, 32);
  let c3 = v128.load(out, 48);
  let c4 = v128.load(out, 64);
  let c5 = v128.load(out, 80);
  let c6 = v128.load(out, 96);
  let c7 = v128.load(out, 112);
  let c8 = v128.load(out, 128);
  let c9 = v128.load(out, 144);
  let c10 = v128.load(out, 160);
  let c11 = v128.load(out, 176);
  for (let i = (to - from) * 1000; i > 0; --i) {
    c0 = madd(c0, a, b);
    c1 = madd(c1, a, b);
    c2 = madd(c2, a, b);
    c3 = madd(c3, a, b);
    c4 = madd(c4, a, b);
    c5 = madd(c5, a, b);
    c6 = madd(c6, a, b);
    c7 = madd(c7, a, b);
    c8 = madd(c8, a, b);
    c9 = madd(c9, a, b);
    c10 = madd(c10, a, b);
    c11 = madd(c11, a, b);
  }
  v128.store(out, c0);
  v128.store(out, c1, 16);
  v128.store(out, c2, 32);
  v128.store(out, c3, 48);
  v128.store(out, c4, 64);
  v128.store(out, c5, 80);
  v128.store(out, c6, 96);
  v128.store(out, c7, 112);
  v128.store(out, c8, 128);
  v128.store(out, c9, 144);
  v128.store(out, c10, 160);
  v128.store(out, c11, 176);
}
