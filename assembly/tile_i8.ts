/**
 * The register tile that every int8 product goes through: up to 6 rows by 8 columns, sums exact in i32.
 *
 *     sum[r, j]  = bias[j] + Σ_tap Σ_i row[r, tap][i] · panel[tap, i, j]
 *     out[r, j]  = clamp(round(sum[r, j] · scale[j] + residual[r, j] · rs))      i8, half to even
 *     or, `wide`:  sum[r, j] · scale[j]                                          f32
 *
 * Rows are found through a table of pointers, as in `tile_f32.ts`. Two ways to multiply, the same sums bit for bit:
 *
 * - `DOT8`: rows of i8 in 0…127, four at a time by `relaxed_dot` (relaxed build only). 127 · 127 · 2 fits i16, so every
 *   lowering of the instruction gives the exact sum.
 * - `DOT16`: rows of i16, two at a time by `i32x4.dot_i16x8_s`; weights are widened as they are loaded.
 *
 * A panel: 8 output channels, bias and scale first; a cell holds `q` inputs of 8 outputs, `q` = 4 for DOT8, 2 for DOT16.
 *
 *     | bias 8 × i32 | scale 8 × f32 | cell 0: (w[0..q, 0] … w[0..q, 7]) | cell 1: w[q..2q, 0] … | …      i8, 8 · q bytes a cell
 *
 * Products and sums in f32 are separate instructions, never fused: all builds and engines round alike.
 */
import { clamp, dot16, dot8 } from "./simd";

export const DOT16: i32 = 0;
export const DOT8: i32 = 1;

/** Bytes at the start of a thread's scratch where a tile narrower than 8 columns is put before its columns are copied. */
export const TAIL_BYTES: usize = 6 * 32;

/** 1.5 · 2²³: added to a small f32 it leaves the integer nearest to it, half to even, in the low bits. */
const MAGIC: f32 = 12582912;

// @ts-ignore: decorator
@inline
function scaled(c: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(c), scale);
}

/** Two quads of scaled sums, with a residual added, as eight i16 within lo…hi. */
// @ts-ignore: decorator
@inline
function requantized(
  c0: v128,
  c1: v128,
  s0: v128,
  s1: v128,
  residual: usize,
  rs: v128,
  lo: v128,
  hi: v128,
  magic: v128,
): v128 {
  let x0 = scaled(c0, s0);
  let x1 = scaled(c1, s1);
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

// @ts-ignore: decorator
@inline
function multiply(kind: i32, a: v128, b: v128, c: v128): v128 {
  return kind == DOT8 ? dot8(a, b, c) : dot16(a, b, c);
}

// @ts-ignore: decorator
@inline
function tile(
  kind: i32,
  mr: i32,
  taps: i32,
  k: i32,
  cols: i32,
  stride: usize,
  table: usize,
  tapStride: usize,
  panel: usize,
  residual: usize,
  out: usize,
  tail: usize,
  rs: f32,
  lo: f32,
  hi: f32,
  wide: i32,
): void {
  const header = panel;
  let c00 = v128.load(panel);
  let c01 = v128.load(panel, 16);
  let c10 = c00;
  let c11 = c01;
  let c20 = c00;
  let c21 = c01;
  let c30 = c00;
  let c31 = c01;
  let c40 = c00;
  let c41 = c01;
  let c50 = c00;
  let c51 = c01;
  panel += 64;
  const bytes = <usize>k << 3;
  for (; taps > 0; --taps) {
    let p0: usize = <usize>load<u32>(table);
    let p1: usize = mr > 1 ? <usize>load<u32>(table, 4) : 0;
    let p2: usize = mr > 2 ? <usize>load<u32>(table, 8) : 0;
    let p3: usize = mr > 3 ? <usize>load<u32>(table, 12) : 0;
    let p4: usize = mr > 4 ? <usize>load<u32>(table, 16) : 0;
    let p5: usize = mr > 5 ? <usize>load<u32>(table, 20) : 0;
    table += tapStride;
    const end = panel + bytes;
    do {
      let b0: v128;
      let b1: v128;
      if (kind == DOT8) {
        b0 = v128.load(panel);
        b1 = v128.load(panel, 16);
        panel += 32;
      } else {
        b0 = v128.load8x8_s(panel);
        b1 = v128.load8x8_s(panel, 8);
        panel += 16;
      }
      let a = v128.load32_splat(p0);
      p0 += 4;
      c00 = multiply(kind, a, b0, c00);
      c01 = multiply(kind, a, b1, c01);
      if (mr > 1) {
        a = v128.load32_splat(p1);
        p1 += 4;
        c10 = multiply(kind, a, b0, c10);
        c11 = multiply(kind, a, b1, c11);
      }
      if (mr > 2) {
        a = v128.load32_splat(p2);
        p2 += 4;
        c20 = multiply(kind, a, b0, c20);
        c21 = multiply(kind, a, b1, c21);
      }
      if (mr > 3) {
        a = v128.load32_splat(p3);
        p3 += 4;
        c30 = multiply(kind, a, b0, c30);
        c31 = multiply(kind, a, b1, c31);
      }
      if (mr > 4) {
        a = v128.load32_splat(p4);
        p4 += 4;
        c40 = multiply(kind, a, b0, c40);
        c41 = multiply(kind, a, b1, c41);
      }
      if (mr > 5) {
        a = v128.load32_splat(p5);
        p5 += 4;
        c50 = multiply(kind, a, b0, c50);
        c51 = multiply(kind, a, b1, c51);
      }
    } while (panel < end);
  }
  if (cols < 8 || wide) {
    v128.store(tail, c00);
    v128.store(tail, c01, 16);
    if (mr > 1) {
      v128.store(tail, c10, 32);
      v128.store(tail, c11, 48);
    }
    if (mr > 2) {
      v128.store(tail, c20, 64);
      v128.store(tail, c21, 80);
    }
    if (mr > 3) {
      v128.store(tail, c30, 96);
      v128.store(tail, c31, 112);
    }
    if (mr > 4) {
      v128.store(tail, c40, 128);
      v128.store(tail, c41, 144);
    }
    if (mr > 5) {
      v128.store(tail, c50, 160);
      v128.store(tail, c51, 176);
    }
    storeSlowly(mr, cols, stride, header, tail, residual, out, rs, lo, hi, wide);
    return;
  }
  const s0 = v128.load(header, 32);
  const s1 = v128.load(header, 48);
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const scale = f32x4.splat(rs);
  const magic = f32x4.splat(MAGIC);
  const next = residual ? stride : 0;
  v128.store64_lane(out, requantized(c00, c01, s0, s1, residual, scale, low, high, magic), 0);
  if (mr > 1) {
    out += stride;
    residual += next;
    v128.store64_lane(out, requantized(c10, c11, s0, s1, residual, scale, low, high, magic), 0);
  }
  if (mr > 2) {
    out += stride;
    residual += next;
    v128.store64_lane(out, requantized(c20, c21, s0, s1, residual, scale, low, high, magic), 0);
  }
  if (mr > 3) {
    out += stride;
    residual += next;
    v128.store64_lane(out, requantized(c30, c31, s0, s1, residual, scale, low, high, magic), 0);
  }
  if (mr > 4) {
    out += stride;
    residual += next;
    v128.store64_lane(out, requantized(c40, c41, s0, s1, residual, scale, low, high, magic), 0);
  }
  if (mr > 5) {
    out += stride;
    residual += next;
    v128.store64_lane(out, requantized(c50, c51, s0, s1, residual, scale, low, high, magic), 0);
  }
}

/** A sum as an i8 in lo…hi: `requantized` for one. */
export function requantize1(sum: i32, scale: f32, residual: f32, rs: f32, lo: f32, hi: f32): i32 {
  let x = <f32>sum * scale + residual * rs;
  x = x < lo ? lo : x;
  x = hi < x ? hi : x;
  return reinterpret<i32>(x + MAGIC) - reinterpret<i32>(MAGIC);
}

/** Sums that are not stored eight at a time, from `tail` `[rows, 8]` i32, one by one. */
function storeSlowly(
  rows: i32,
  cols: i32,
  stride: usize,
  header: usize,
  tail: usize,
  residual: usize,
  out: usize,
  rs: f32,
  lo: f32,
  hi: f32,
  wide: i32,
): void {
  for (let r = 0; r < rows; ++r) {
    for (let j: usize = 0; j < <usize>cols; ++j) {
      const sum = load<i32>(tail + (j << 2));
      const scale = load<f32>(header + (j << 2), 32);
      if (wide) {
        store<f32>(out + (j << 2), <f32>sum * scale);
      } else {
        const other: f32 = residual ? <f32>load<i8>(residual + j) : 0;
        store<i8>(out + j, requantize1(sum, scale, other, rs, lo, hi));
      }
    }
    tail += 32;
    out += stride;
    if (residual) residual += stride;
  }
}

/**
 * `rows` rows by one panel, split into tiles of at most `mr` rows.
 *
 * - `kind`: `DOT8` or `DOT16`
 * - `taps`, `k`: the panel holds `taps · k` inputs; `k` is a multiple of 4 (DOT8) or 2 (DOT16)
 * - `cols`: columns of the panel that exist, 1…8
 * - `stride`: bytes from one output (and residual) row to the next
 * - `table`: u32 pointers `[taps, tapStride / 4]`, the first `rows` of each tap valid
 * - `residual`: 0, or the address of i8 that are added
 * - `rs`: the residual's scale in units of the output's
 */
export function tiles_i8(
  kind: i32,
  mr: i32,
  rows: i32,
  taps: i32,
  k: i32,
  cols: i32,
  stride: usize,
  table: usize,
  tapStride: usize,
  panel: usize,
  residual: usize,
  out: usize,
  tail: usize,
  rs: f32,
  lo: f32,
  hi: f32,
  wide: i32,
): void {
  let tiles = (rows + mr - 1) / mr;
  while (rows > 0) {
    // Tiles of nearly one height: 16 rows are four times 4, not 5 + 5 + 5 + 1.
    const take = (rows + tiles - 1) / tiles;
    tiles -= 1;
    if (kind == DOT8) pick(DOT8, take, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, wide);
    else pick(DOT16, take, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, wide);
    rows -= take;
    table += (<usize>take) << 2;
    const step = (<usize>take) * stride;
    out += step;
    if (residual) residual += step;
  }
}

// @ts-ignore: decorator
@inline
function pick(
  kind: i32,
  take: i32,
  taps: i32,
  k: i32,
  cols: i32,
  stride: usize,
  table: usize,
  tapStride: usize,
  panel: usize,
  residual: usize,
  out: usize,
  tail: usize,
  rs: f32,
  lo: f32,
  hi: f32,
  wide: i32,
): void {
  switch (take) {
    case 6:
      tile(kind, 6, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, wide);
      break;
    case 5:
      tile(kind, 5, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, wide);
      break;
    case 4:
      tile(kind, 4, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, wide);
      break;
    case 3:
      tile(kind, 3, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, wide);
      break;
    case 2:
      tile(kind, 2, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, wide);
      break;
    default:
      tile(kind, 1, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, wide);
  }
}
