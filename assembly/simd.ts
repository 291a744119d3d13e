/**
 * Lane helpers, inlined into every kernel. This file alone knows whether multiply-add is fused: the relaxed build
 * turns `ASC_FEATURE_RELAXED_SIMD` on, and the compiler drops the other branch.
 */

/** `a · b + c` in each of four f32 lanes; one rounding in the relaxed build, two in the baseline build. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  else return f32x4.add(f32x4.mul(a, b), c);
}

/**
 * `min(max(x, lo), hi)` per lane, a NaN staying NaN. The pseudo-minimum and -maximum are one x86 instruction each;
 * `f32x4.max` is seven.
 */
// @ts-ignore: decorator
@inline
export function clamp(x: v128, lo: v128, hi: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, lo), hi);
}

/** `clamp` for one f32. */
// @ts-ignore: decorator
@inline
export function clamp1(x: f32, lo: f32, hi: f32): f32 {
  const raised = x < lo ? lo : x;
  return hi < raised ? hi : raised;
}


/** `c + a[2i] · b[2i] + a[2i+1] · b[2i+1]` in each of four i32 lanes, of eight i16. */
// @ts-ignore: decorator
@inline
export function dot16(a: v128, b: v128, c: v128): v128 {
  return i32x4.add(c, i32x4.dot_i16x8_s(a, b));
}

/**
 * The sum of four products and `c` in each of four i32 lanes: `a` in 0…127, `b` any i8. One instruction on arm64 and on
 * x86-64 with AVX-VNNI. The baseline build has no such instruction; nothing there calls it.
 */
// @ts-ignore: decorator
@inline
export function dot8(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(b, a, c);
  else return unreachable();
}
