/**
 * Inverse DCT of one 8×8 block, libjpeg's `islow` (jidctint.c, after Loeffler, Ligtenberg and Moschytz 1989), bit for bit.
 *
 *     out[y, x] = clip8(128 + IDCT(coefs · quant)[y, x])
 *
 * - `coefs`   [8, 8] i16, natural order
 * - `quant`   [8, 8] i16, natural order
 * - `out`     u8, rows `stride` bytes apart
 *
 * Two passes of one dimension, columns first, constants of 13 bits, two more bits between the passes. Every sum before a rounding
 * is linear in its inputs, so that products may be grouped in any way: here as `dot` of two inputs each. Values between the
 * passes saturate at 16 bits, as in libjpeg-turbo's SIMD code.
 */
import { dequantized, dot, high, high32, low, low32 } from "./lanes";

/** `(x + 2^(bits-1)) >> bits`, the rounding already in `x`. */
// @ts-ignore: decorator
@inline
function plus(e: v128, o: v128, bits: i32): v128 {
  return i32x4.shr_s(i32x4.add(e, o), bits);
}

// @ts-ignore: decorator
@inline
function minus(e: v128, o: v128, bits: i32): v128 {
  return i32x4.shr_s(i32x4.sub(e, o), bits);
}

/** `x · 2¹³` of the lower or upper four i16. */
// @ts-ignore: decorator
@inline
function scaled(x: v128, upper: bool): v128 {
  return i32x4.shl(upper ? i32x4.extend_high_i16x8_s(x) : i32x4.extend_low_i16x8_s(x), 13);
}

/** Rows between the passes: eight vectors of eight i16. */
const MIDDLE = memory.data(128, 16);

/** One pass over eight vectors; the result to `MIDDLE`, less `bits`: 11 in the first pass, 18 in the second. */
// @ts-ignore: decorator
@inline
function pass(
  in0: v128, in1: v128, in2: v128, in3: v128, in4: v128, in5: v128, in6: v128, in7: v128,
  bits: i32,
): void {
  const half = i32x4.splat(1 << (bits - 1));
  const sum = i16x8.add(in0, in4);
  const difference = i16x8.sub(in0, in4);
  const z3 = i16x8.add(in3, in7);
  const z4 = i16x8.add(in1, in5);

  let p = low(in2, in6);
  let t = i32x4.add(scaled(sum, false), half);
  let u = dot(p, 10703, 4433);
  const e0 = i32x4.add(t, u);
  const e3 = i32x4.sub(t, u);
  t = i32x4.add(scaled(difference, false), half);
  u = dot(p, 4433, -10704);
  const e1 = i32x4.add(t, u);
  const e2 = i32x4.sub(t, u);
  let z = low(z3, z4);
  let a = dot(z, -6436, 9633);
  let b = dot(z, 9633, 6437);
  p = low(in7, in1);
  let q = low(in5, in3);
  const o3 = i32x4.add(dot(p, -4927, -7373), a);
  const o0 = i32x4.add(dot(p, -7373, 4926), b);
  const o1 = i32x4.add(dot(q, -20995, 4177), a);
  const o2 = i32x4.add(dot(q, -4176, -20995), b);

  p = high(in2, in6);
  t = i32x4.add(scaled(sum, true), half);
  u = dot(p, 10703, 4433);
  const f0 = i32x4.add(t, u);
  const f3 = i32x4.sub(t, u);
  t = i32x4.add(scaled(difference, true), half);
  u = dot(p, 4433, -10704);
  const f1 = i32x4.add(t, u);
  const f2 = i32x4.sub(t, u);
  z = high(z3, z4);
  a = dot(z, -6436, 9633);
  b = dot(z, 9633, 6437);
  p = high(in7, in1);
  q = high(in5, in3);
  const r3 = i32x4.add(dot(p, -4927, -7373), a);
  const r0 = i32x4.add(dot(p, -7373, 4926), b);
  const r1 = i32x4.add(dot(q, -20995, 4177), a);
  const r2 = i32x4.add(dot(q, -4176, -20995), b);

  v128.store(MIDDLE, i16x8.narrow_i32x4_s(plus(e0, o0, bits), plus(f0, r0, bits)));
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(plus(e1, o1, bits), plus(f1, r1, bits)), 16);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(plus(e2, o2, bits), plus(f2, r2, bits)), 32);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(plus(e3, o3, bits), plus(f3, r3, bits)), 48);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(minus(e3, o3, bits), minus(f3, r3, bits)), 64);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(minus(e2, o2, bits), minus(f2, r2, bits)), 80);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(minus(e1, o1, bits), minus(f1, r1, bits)), 96);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(minus(e0, o0, bits), minus(f0, r0, bits)), 112);
}

export function idct(coefs: usize, quant: usize, out: usize, stride: usize): void {
  pass(
    dequantized(coefs, quant, 0), dequantized(coefs, quant, 16), dequantized(coefs, quant, 32),
    dequantized(coefs, quant, 48), dequantized(coefs, quant, 64), dequantized(coefs, quant, 80),
    dequantized(coefs, quant, 96), dequantized(coefs, quant, 112), 11,
  );
  // Transposed: 8 vectors of columns.
  const a0 = v128.load(MIDDLE), a1 = v128.load(MIDDLE, 16), a2 = v128.load(MIDDLE, 32), a3 = v128.load(MIDDLE, 48);
  const a4 = v128.load(MIDDLE, 64), a5 = v128.load(MIDDLE, 80), a6 = v128.load(MIDDLE, 96), a7 = v128.load(MIDDLE, 112);
  const b0 = low(a0, a1), b1 = high(a0, a1), b2 = low(a2, a3), b3 = high(a2, a3);
  const b4 = low(a4, a5), b5 = high(a4, a5), b6 = low(a6, a7), b7 = high(a6, a7);
  const c0 = low32(b0, b2), c1 = high32(b0, b2), c2 = low32(b1, b3), c3 = high32(b1, b3);
  const c4 = low32(b4, b6), c5 = high32(b4, b6), c6 = low32(b5, b7), c7 = high32(b5, b7);
  pass(
    v128.shuffle<i64>(c0, c4, 0, 2), v128.shuffle<i64>(c0, c4, 1, 3),
    v128.shuffle<i64>(c1, c5, 0, 2), v128.shuffle<i64>(c1, c5, 1, 3),
    v128.shuffle<i64>(c2, c6, 0, 2), v128.shuffle<i64>(c2, c6, 1, 3),
    v128.shuffle<i64>(c3, c7, 0, 2), v128.shuffle<i64>(c3, c7, 1, 3), 18,
  );
  write(out, stride);
}

/** Columns at `MIDDLE` to rows of bytes. */
// @ts-ignore: decorator
@inline
function write(out: usize, stride: usize): void {
  const sign = i8x16.splat(-128);
  const a = v128.xor(i8x16.narrow_i16x8_s(v128.load(MIDDLE), v128.load(MIDDLE, 64)), sign);
  const b = v128.xor(i8x16.narrow_i16x8_s(v128.load(MIDDLE, 16), v128.load(MIDDLE, 80)), sign);
  const c = v128.xor(i8x16.narrow_i16x8_s(v128.load(MIDDLE, 32), v128.load(MIDDLE, 96)), sign);
  const d = v128.xor(i8x16.narrow_i16x8_s(v128.load(MIDDLE, 48), v128.load(MIDDLE, 112)), sign);
  // Columns 0 1, 4 5, 2 3, 6 7 of each row side by side.
  const ab = v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const ef = v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const cd = v128.shuffle<i8>(c, d, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const gh = v128.shuffle<i8>(c, d, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  // Halves of rows 0–3 and 4–7.
  const left0 = low(ab, cd), left4 = high(ab, cd);
  const right0 = low(ef, gh), right4 = high(ef, gh);
  const row0 = low32(left0, right0), row2 = high32(left0, right0);
  const row4 = low32(left4, right4), row6 = high32(left4, right4);
  v128.store64_lane(out, row0, 0);
  out += stride;
  v128.store64_lane(out, row0, 1);
  out += stride;
  v128.store64_lane(out, row2, 0);
  out += stride;
  v128.store64_lane(out, row2, 1);
  out += stride;
  v128.store64_lane(out, row4, 0);
  out += stride;
  v128.store64_lane(out, row4, 1);
  out += stride;
  v128.store64_lane(out, row6, 0);
  out += stride;
  v128.store64_lane(out, row6, 1);
}

/** `idct` of a block whose coefficients lie in its upper left 4×4: the same bytes in about half the time. */
export function idct_corner(coefs: usize, quant: usize, out: usize, stride: usize): void {
  const in0 = dequantized(coefs, quant, 0), in1 = dequantized(coefs, quant, 16);
  const in2 = dequantized(coefs, quant, 32), in3 = dequantized(coefs, quant, 48);
  const half = i32x4.splat(1 << 10);
  let p = low(in0, in2);
  const e0 = i32x4.add(dot(p, 8192, 10703), half), e1 = i32x4.add(dot(p, 8192, 4433), half);
  const e2 = i32x4.add(dot(p, 8192, -4433), half), e3 = i32x4.add(dot(p, 8192, -10703), half);
  p = low(in1, in3);
  const o0 = dot(p, 11363, 9633), o1 = dot(p, 9633, -2259), o2 = dot(p, 6437, -11362), o3 = dot(p, 2260, -6436);
  // [row 0, row 1], [2, 3] …, four columns of each; then the columns, eight rows of each.
  const a = i16x8.narrow_i32x4_s(plus(e0, o0, 11), plus(e1, o1, 11));
  const b = i16x8.narrow_i32x4_s(plus(e2, o2, 11), plus(e3, o3, 11));
  const c = i16x8.narrow_i32x4_s(minus(e3, o3, 11), minus(e2, o2, 11));
  const d = i16x8.narrow_i32x4_s(minus(e1, o1, 11), minus(e0, o0, 11));
  const ab0 = low(a, b), ab1 = high(a, b), cd0 = low(c, d), cd1 = high(c, d);
  const f0 = low(ab0, ab1), f1 = high(ab0, ab1), f2 = low(cd0, cd1), f3 = high(cd0, cd1);
  const column0 = v128.shuffle<i64>(f0, f2, 0, 2), column1 = v128.shuffle<i64>(f0, f2, 1, 3);
  const column2 = v128.shuffle<i64>(f1, f3, 0, 2), column3 = v128.shuffle<i64>(f1, f3, 1, 3);

  const round = i32x4.splat(1 << 17);
  p = low(column0, column2);
  let q = high(column0, column2);
  const g0 = i32x4.add(dot(p, 8192, 10703), round), g1 = i32x4.add(dot(p, 8192, 4433), round);
  const g2 = i32x4.add(dot(p, 8192, -4433), round), g3 = i32x4.add(dot(p, 8192, -10703), round);
  const h0 = i32x4.add(dot(q, 8192, 10703), round), h1 = i32x4.add(dot(q, 8192, 4433), round);
  const h2 = i32x4.add(dot(q, 8192, -4433), round), h3 = i32x4.add(dot(q, 8192, -10703), round);
  p = low(column1, column3);
  q = high(column1, column3);
  const r0 = dot(p, 11363, 9633), r1 = dot(p, 9633, -2259), r2 = dot(p, 6437, -11362), r3 = dot(p, 2260, -6436);
  const s0 = dot(q, 11363, 9633), s1 = dot(q, 9633, -2259), s2 = dot(q, 6437, -11362), s3 = dot(q, 2260, -6436);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(plus(g0, r0, 18), plus(h0, s0, 18)));
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(plus(g1, r1, 18), plus(h1, s1, 18)), 16);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(plus(g2, r2, 18), plus(h2, s2, 18)), 32);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(plus(g3, r3, 18), plus(h3, s3, 18)), 48);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(minus(g3, r3, 18), minus(h3, s3, 18)), 64);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(minus(g2, r2, 18), minus(h2, s2, 18)), 80);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(minus(g1, r1, 18), minus(h1, s1, 18)), 96);
  v128.store(MIDDLE, i16x8.narrow_i32x4_s(minus(g0, r0, 18), minus(h0, s0, 18)), 112);
  write(out, stride);
}

/** `idct` of a block that has its first coefficient alone. */
export function idct_flat(coefs: usize, quant: usize, out: usize, stride: usize): void {
  const first = <i32>load<i16>(coefs) * <i32>load<i16>(quant);
  const value = (<i32>(<i16>(first << 2)) + 16) >> 5;
  const row = <u64>(min(max(value, -128), 127) + 128) * 0x0101010101010101;
  for (let y = 0; y < 8; ++y) {
    store<u64>(out, row);
    out += stride;
  }
}
