/**
 * Sums of int8 products as i8 again: `clamp(round(sum · scale + residual · rs))`, half to even. Products and sums in f32 are
 * separate instructions, never fused, so that all builds and engines round alike.
 */
import { clamp } from "./simd";

/** 1.5 · 2²³: added to a small f32 it leaves the integer nearest to it, half to even, in the low bits. */
export const MAGIC: f32 = 12582912;

/** Four i32 sums times their scales, as f32. */
// @ts-ignore: decorator
@inline
export function scaled(sums: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(sums), scale);
}

/** Eight scaled sums, with a residual added, as i8 within lo…hi, in the lower and again in the upper half. */
// @ts-ignore: decorator
@inline
export function requantized(x0: v128, x1: v128, residual: usize, rs: v128, lo: v128, hi: v128, magic: v128): v128 {
  if (residual) {
    const r = v128.load8x8_s(residual);
    x0 = f32x4.add(x0, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(r)), rs));
    x1 = f32x4.add(x1, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(r)), rs));
  }
  x0 = i32x4.sub(f32x4.add(clamp(x0, lo, hi), magic), magic);
  x1 = i32x4.sub(f32x4.add(clamp(x1, lo, hi), magic), magic);
  const narrow = i16x8.narrow_i32x4_s(x0, x1);
  return i8x16.narrow_i16x8_s(narrow, narrow);
}

/** A sum as an i8 in lo…hi: `requantized` for one. */
export function requantize1(sum: i32, scale: f32, residual: f32, rs: f32, lo: f32, hi: f32): i32 {
  let x = <f32>sum * scale + residual * rs;
  x = x < lo ? lo : x;
  x = hi < x ? hi : x;
  return reinterpret<i32>(x + MAGIC) - reinterpret<i32>(MAGIC);
}
