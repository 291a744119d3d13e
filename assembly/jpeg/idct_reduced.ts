/**
 * Inverse DCTs of an 8×8 block that give 4×4, 2×2 or one sample, as libjpeg's jidctred.c, bit for bit. Arguments as in
 * `idct.ts`. The upper frequencies are dropped: column and row 4 for 4×4; 2, 4 and 6 for 2×2.
 */
import { dequantized, dot, high, low } from "./lanes";

/** A sample: 128 added, clipped to a byte. */
// @ts-ignore: decorator
@inline
function clipped(value: i32): i32 {
  return min(max(value, -128), 127) + 128;
}

export function idct_4(coefs: usize, quant: usize, out: usize, stride: usize): void {
  const in0 = dequantized(coefs, quant, 0), in1 = dequantized(coefs, quant, 16), in2 = dequantized(coefs, quant, 32);
  const in3 = dequantized(coefs, quant, 48), in5 = dequantized(coefs, quant, 80), in6 = dequantized(coefs, quant, 96);
  const in7 = dequantized(coefs, quant, 112);
  let half = i32x4.splat(1 << 11);
  // Columns: rows 0 to 3 of the result, lanes are the eight columns.
  let t = i32x4.add(i32x4.shl(i32x4.extend_low_i16x8_s(in0), 14), half);
  let u = dot(low(in2, in6), 15137, -6270);
  let e0 = i32x4.add(t, u), e1 = i32x4.sub(t, u);
  let p = low(in7, in5), q = low(in3, in1);
  let o1 = i32x4.add(dot(p, -1730, 11893), dot(q, -17799, 8697));
  let o0 = i32x4.add(dot(p, -4176, -4926), dot(q, 7373, 20995));
  t = i32x4.add(i32x4.shl(i32x4.extend_high_i16x8_s(in0), 14), half);
  u = dot(high(in2, in6), 15137, -6270);
  const f0 = i32x4.add(t, u), f1 = i32x4.sub(t, u);
  p = high(in7, in5);
  q = high(in3, in1);
  const r1 = i32x4.add(dot(p, -1730, 11893), dot(q, -17799, 8697));
  const r0 = i32x4.add(dot(p, -4176, -4926), dot(q, 7373, 20995));
  const row0 = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(e0, o0), 12), i32x4.shr_s(i32x4.add(f0, r0), 12));
  const row1 = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(e1, o1), 12), i32x4.shr_s(i32x4.add(f1, r1), 12));
  const row2 = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.sub(e1, o1), 12), i32x4.shr_s(i32x4.sub(f1, r1), 12));
  const row3 = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.sub(e0, o0), 12), i32x4.shr_s(i32x4.sub(f0, r0), 12));
  // Pairs of columns, the four rows of each: [0, 1], [2, 3], [4, 5], [6, 7].
  const a = low(row0, row2), b = low(row1, row3), c = high(row0, row2), d = high(row1, row3);
  const c01 = low(a, b), c23 = high(a, b), c45 = low(c, d), c67 = high(c, d);
  half = i32x4.splat(1 << 18);
  t = i32x4.add(i32x4.shl(i32x4.extend_low_i16x8_s(c01), 14), half);
  u = dot(low(c23, c67), 15137, -6270);
  e0 = i32x4.add(t, u);
  e1 = i32x4.sub(t, u);
  p = high(c67, c45);
  q = high(c23, c01);
  o1 = i32x4.add(dot(p, -1730, 11893), dot(q, -17799, 8697));
  o0 = i32x4.add(dot(p, -4176, -4926), dot(q, 7373, 20995));
  const left = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(e0, o0), 19), i32x4.shr_s(i32x4.add(e1, o1), 19));
  const right = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.sub(e1, o1), 19), i32x4.shr_s(i32x4.sub(e0, o0), 19));
  const columns = v128.xor(i8x16.narrow_i16x8_s(left, right), i8x16.splat(-128));
  const rows = i8x16.shuffle(columns, columns, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  v128.store32_lane(out, rows, 0);
  v128.store32_lane(out + stride, rows, 1);
  v128.store32_lane(out + 2 * stride, rows, 2);
  v128.store32_lane(out + 3 * stride, rows, 3);
}

export function idct_2(coefs: usize, quant: usize, out: usize, stride: usize): void {
  const in0 = dequantized(coefs, quant, 0), in1 = dequantized(coefs, quant, 16), in3 = dequantized(coefs, quant, 48);
  const in5 = dequantized(coefs, quant, 80), in7 = dequantized(coefs, quant, 112);
  const half = i32x4.splat(1 << 12);
  let e = i32x4.add(i32x4.shl(i32x4.extend_low_i16x8_s(in0), 15), half);
  let o = i32x4.add(dot(low(in1, in3), 29692, -10426), dot(low(in5, in7), 6967, -5906));
  const f = i32x4.add(i32x4.shl(i32x4.extend_high_i16x8_s(in0), 15), half);
  const r = i32x4.add(dot(high(in1, in3), 29692, -10426), dot(high(in5, in7), 6967, -5906));
  const row0 = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(e, o), 13), i32x4.shr_s(i32x4.add(f, r), 13));
  const row1 = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.sub(e, o), 13), i32x4.shr_s(i32x4.sub(f, r), 13));
  // The odd columns of both rows: lanes 0 and 1 are the sums.
  const weights = i16x8(0, 29692, 0, -10426, 0, 6967, 0, -5906);
  const s0 = i32x4.dot_i16x8_s(row0, weights), s1 = i32x4.dot_i16x8_s(row1, weights);
  o = i32x4.add(v128.shuffle<i32>(s0, s1, 0, 4, 1, 5), v128.shuffle<i32>(s0, s1, 2, 6, 3, 7));
  o = i32x4.add(o, v128.shuffle<i32>(o, o, 2, 3, 0, 1));
  e = i32x4.add(i32x4.shl(i32x4.extend_low_i16x8_s(low(row0, row1)), 15), i32x4.splat(1 << 19));
  const left = i32x4.shr_s(i32x4.add(e, o), 20), right = i32x4.shr_s(i32x4.sub(e, o), 20);
  // Left and right of row 0, then of row 1.
  const words = i16x8.narrow_i32x4_s(v128.shuffle<i32>(left, right, 0, 4, 1, 5), left);
  const bytes = v128.xor(i8x16.narrow_i16x8_s(words, words), i8x16.splat(-128));
  v128.store16_lane(out, bytes, 0);
  v128.store16_lane(out + stride, bytes, 1);
}

export function idct_1(coefs: usize, quant: usize, out: usize): void {
  const first = <i32>load<i16>(coefs) * <i32>load<i16>(quant);
  store<u8>(out, clipped((first + 4) >> 3));
}
