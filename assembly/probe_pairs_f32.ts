/**
 * Whether the engine makes one operation of two neighbouring vectors: twelve chains of products whose results lie side by side. The
 * twin, `probe_apart_f32`, does the same and leaves gaps, so that there are no pairs.
 *
 *     out[j] ← out[j] · factor, 1,000 times a unit, in twelve chains j
 *
 * - `out`   [12, 4] f32 for `probe_pairs_f32`, [12, 8] f32 for `probe_apart_f32`, of which every second four are left alone
 * - `factor`
 *
 * Unit: 1,000 steps of the chains. Units are not independent: each goes on where the one before it ended.
 *
 * Must hold: nothing.
 *
 * Why: small, so that the optimising compiler is done at once. Twelve chains keep two multipliers busy: in pairs they take half the time.
 */
export function probe_pairs_f32(from: i32, to: i32, out: usize, factor: f32): void {
  chains(1000 * (to - from), out, factor, 16);
}

export function probe_apart_f32(from: i32, to: i32, out: usize, factor: f32): void {
  chains(1000 * (to - from), out, factor, 32);
}

/** Must be inlined: engines decide about pairs function by function, and need to see the distance. */
// @ts-ignore: decorator
@inline
function chains(times: i32, out: usize, factor: f32, distance: usize): void {
  const a = f32x4.splat(factor);
  let c0 = v128.load(out);
  let c1 = v128.load(out + distance);
  let c2 = v128.load(out + 2 * distance);
  let c3 = v128.load(out + 3 * distance);
  let c4 = v128.load(out + 4 * distance);
  let c5 = v128.load(out + 5 * distance);
  let c6 = v128.load(out + 6 * distance);
  let c7 = v128.load(out + 7 * distance);
  let c8 = v128.load(out + 8 * distance);
  let c9 = v128.load(out + 9 * distance);
  let c10 = v128.load(out + 10 * distance);
  let c11 = v128.load(out + 11 * distance);
  for (let i = times; i > 0; --i) {
    c0 = f32x4.mul(c0, a);
    c1 = f32x4.mul(c1, a);
    c2 = f32x4.mul(c2, a);
    c3 = f32x4.mul(c3, a);
    c4 = f32x4.mul(c4, a);
    c5 = f32x4.mul(c5, a);
    c6 = f32x4.mul(c6, a);
    c7 = f32x4.mul(c7, a);
    c8 = f32x4.mul(c8, a);
    c9 = f32x4.mul(c9, a);
    c10 = f32x4.mul(c10, a);
    c11 = f32x4.mul(c11, a);
  }
  v128.store(out, c0);
  v128.store(out + distance, c1);
  v128.store(out + 2 * distance, c2);
  v128.store(out + 3 * distance, c3);
  v128.store(out + 4 * distance, c4);
  v128.store(out + 5 * distance, c5);
  v128.store(out + 6 * distance, c6);
  v128.store(out + 7 * distance, c7);
  v128.store(out + 8 * distance, c8);
  v128.store(out + 9 * distance, c9);
  v128.store(out + 10 * distance, c10);
  v128.store(out + 11 * distance, c11);
}
