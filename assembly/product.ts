/**
 * The register tiles that every product of rows by packed weights goes through: up to 6 rows by 8 or 16 columns.
 *
 *     sum[r, j] = bias[j] + Σ_tap Σ_i row[r, tap][i] · panel[tap, i, j]
 *     F32:          out[r, j] = clamp(sum[r, j] + residual[r, j])
 *     DOT8, DOT16:  out[r, j] = clamp(round(sum[r, j] · scale[j] + residual[r, j] · rs)), i8; or `dequantize`: sum · scale, f32
 *     I16:          out[r, j] = sum[r, j], i32, without a bias
 *
 * Rows are found through a table of pointers (as in Dukhan's "Indirect Convolution", arXiv 1907.02129), so that one
 * tile serves matrix products (one tap), convolution (a tap for each kernel position) and Winograd (36 grouped products).
 *
 * - `F32`: rows and panels of f32
 * - `DOT8`: rows of i8 in 0…127, four at a time by `relaxed_dot` (relaxed build only). 127 · 127 · 2 fits i16, so every
 *   lowering of the instruction gives the exact sum
 * - `DOT16`: rows of i16, two at a time by `i32x4.dot_i16x8_s`; weights are i8, widened as they are loaded
 * - `I16`: the same with weights of i16, sums modulo 2³²
 *
 * A panel, 8 outputs; a cell holds `q` inputs: 1 (F32), 4 (DOT8), 2 (DOT16, I16).
 *
 *     F32    | bias 8 × f32 | cell 0: w[0, 0…7] | cell 1: w[1, 0…7] | …                          32 bytes a cell
 *     DOT    | bias 8 × i32 | scale 8 × f32 | cell 0: (w[0..q, 0] … w[0..q, 7]) | cell 1: … |    i8, 8 · q bytes a cell
 *     I16    | cell 0: (w[0..2, 0] … w[0..2, 7]) | cell 1: … |                                   i16, 32 bytes a cell
 *
 * Each output is summed in one order whatever the tile: every tile gives the same bytes.
 *
 * Why 6×8: twelve sums, two panel vectors and one splat fill the 15 vector registers that V8 has on x86-64. Without a fused
 * multiply-add one more is needed: `src/variants.ts` has the rows by build. A pointer per row, advanced each step, because V8
 * spends an extra instruction on a splat with an offset. Why 6×16: where V8 packs pairs of neighbouring 128-bit operations
 * into one of 256 bits, a 6×8 tile has six sums and two ports with a latency of four cycles want eight or more
 * (K = 256, Zen 5: 130 against 90 GFLOP/s; without packing it spills, 44 against 66).
 */
import { MAGIC, requantize1, requantized, scaled } from "./requantize";
import { clamp, clamp1, dot16, dot8, madd } from "./simd";
import { BIAS_BYTES, DOT16, DOT8, F32, HEADER_BYTES, I16, PANEL_COLUMNS, TILE_ROWS, WIDE_COLUMNS } from "./tile";

/** Bytes before the cells of a panel. */
// @ts-ignore: decorator
@inline
export function headerBytes(kind: i32): usize {
  return kind == F32 ? <usize>BIAS_BYTES : kind == I16 ? <usize>0 : <usize>HEADER_BYTES;
}

/** Bytes that one input's weights take in a panel, as a power of two. */
// @ts-ignore: decorator
@inline
export function weightShift(kind: i32): usize {
  return kind == F32 ? 5 : kind == I16 ? 4 : 3;
}

/** Bytes of an element of the rows, as a power of two. */
// @ts-ignore: decorator
@inline
export function inputShift(kind: i32): usize {
  return kind == F32 ? 2 : kind == DOT8 ? 0 : 1;
}

/** Bytes of an element of the output, as a power of two. */
// @ts-ignore: decorator
@inline
export function outputShift(kind: i32, dequantize: i32): usize {
  return kind == F32 || kind == I16 || dequantize ? 2 : 0;
}

/** Bytes of a cell. */
// @ts-ignore: decorator
@inline
function cellBytes(kind: i32): usize {
  return kind == DOT16 ? 16 : 32;
}

/** The first (`half` 0) or last four outputs of a cell. */
// @ts-ignore: decorator
@inline
function weights(kind: i32, cell: usize, half: i32): v128 {
  if (kind == DOT16) return half ? v128.load8x8_s(cell, 8) : v128.load8x8_s(cell);
  else return half ? v128.load(cell, 16) : v128.load(cell);
}

/** The sum before the first product: four of the panel's biases. */
// @ts-ignore: decorator
@inline
function start(kind: i32, panel: usize, half: i32): v128 {
  if (kind == I16) return i32x4.splat(0);
  else return half ? v128.load(panel, 16) : v128.load(panel);
}

// @ts-ignore: decorator
@inline
function multiply(kind: i32, a: v128, b: v128, c: v128): v128 {
  if (kind == F32) return madd(a, b, c);
  else if (kind == DOT8) return dot8(a, b, c);
  else return dot16(a, b, c);
}

/** Stores eight sums of one row of which all columns exist, but not those of `dequantize`. */
// @ts-ignore: decorator
@inline
function put(
  kind: i32, c0: v128, c1: v128, header: usize, residual: usize, out: usize, rs: v128, lo: v128, hi: v128, magic: v128,
): void {
  if (kind == F32) {
    if (residual) {
      c0 = f32x4.add(c0, v128.load(residual));
      c1 = f32x4.add(c1, v128.load(residual, 16));
    }
    v128.store(out, clamp(c0, lo, hi));
    v128.store(out, clamp(c1, lo, hi), 16);
  } else if (kind == I16) {
    v128.store(out, c0);
    v128.store(out, c1, 16);
  } else {
    const x0 = scaled(c0, v128.load(header, 32));
    const x1 = scaled(c1, v128.load(header, 48));
    v128.store64_lane(out, requantized(x0, x1, residual, rs, lo, hi, magic), 0);
  }
}

/** Puts a row's eight sums aside. */
// @ts-ignore: decorator
@inline
function keep(tail: usize, c0: v128, c1: v128): void {
  v128.store(tail, c0);
  v128.store(tail, c1, 16);
}

/** Stores `cols` columns of sums that were put aside in `tail` `[rows, pitch / 4]`, one by one. */
function putSlowly(
  kind: i32, rows: i32, cols: i32, stride: usize, header: usize, tail: usize, pitch: usize, residual: usize, out: usize,
  rs: f32, lo: f32, hi: f32, dequantize: i32,
): void {
  for (let r = 0; r < rows; ++r) {
    for (let j: usize = 0; j < <usize>cols; ++j) {
      const at = j << 2;
      if (kind == F32) {
        let sum = load<f32>(tail + at);
        if (residual) sum += load<f32>(residual + at);
        store<f32>(out + at, clamp1(sum, lo, hi));
      } else if (dequantize) {
        store<f32>(out + at, <f32>load<i32>(tail + at) * load<f32>(header + at, 32));
      } else {
        const other: f32 = residual ? <f32>load<i8>(residual + j) : 0;
        store<i8>(out + j, requantize1(load<i32>(tail + at), load<f32>(header + at, 32), other, rs, lo, hi));
      }
    }
    tail += pitch;
    out += stride;
    if (residual) residual += stride;
  }
}

/** `mr` rows by one panel. */
// @ts-ignore: decorator
@inline
function tile8(
  kind: i32, mr: i32, taps: i32, k: i32, cols: i32, stride: usize, table: usize, tapStride: usize, panel: usize,
  residual: usize, out: usize, tail: usize, rs: f32, lo: f32, hi: f32, dequantize: i32,
): void {
  const header = panel;
  let c00 = start(kind, panel, 0), c01 = start(kind, panel, 1);
  let c10 = c00, c11 = c01, c20 = c00, c21 = c01, c30 = c00, c31 = c01, c40 = c00, c41 = c01, c50 = c00, c51 = c01;
  panel += headerBytes(kind);
  const bytes = <usize>k << weightShift(kind);
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
      const b0 = weights(kind, panel, 0), b1 = weights(kind, panel, 1);
      panel += cellBytes(kind);
      let a = v128.load32_splat(p0);
      p0 += 4;
      c00 = multiply(kind, a, b0, c00);
      c01 = multiply(kind, a, b1, c01);
      if (mr > 1) { a = v128.load32_splat(p1); p1 += 4; c10 = multiply(kind, a, b0, c10); c11 = multiply(kind, a, b1, c11); }
      if (mr > 2) { a = v128.load32_splat(p2); p2 += 4; c20 = multiply(kind, a, b0, c20); c21 = multiply(kind, a, b1, c21); }
      if (mr > 3) { a = v128.load32_splat(p3); p3 += 4; c30 = multiply(kind, a, b0, c30); c31 = multiply(kind, a, b1, c31); }
      if (mr > 4) { a = v128.load32_splat(p4); p4 += 4; c40 = multiply(kind, a, b0, c40); c41 = multiply(kind, a, b1, c41); }
      if (mr > 5) { a = v128.load32_splat(p5); p5 += 4; c50 = multiply(kind, a, b0, c50); c51 = multiply(kind, a, b1, c51); }
    } while (panel < end);
  }
  const isWhole = cols == PANEL_COLUMNS && !dequantize;
  // The relaxed build has two int8 kinds, and room for one that requantizes in place: DOT16 loses 3 % of a network by this.
  const isAside = kind == DOT16 && ASC_FEATURE_RELAXED_SIMD;
  if (isAside || !isWhole) {
    keep(tail, c00, c01);
    if (mr > 1) keep(tail + 32, c10, c11);
    if (mr > 2) keep(tail + 64, c20, c21);
    if (mr > 3) keep(tail + 96, c30, c31);
    if (mr > 4) keep(tail + 128, c40, c41);
    if (mr > 5) keep(tail + 160, c50, c51);
    if (isAside && isWhole) requantize8(mr, stride, header, tail, residual, out, rs, lo, hi);
    else putSlowly(kind, mr, cols, stride, header, tail, 32, residual, out, rs, lo, hi, dequantize);
    return;
  }
  const low = f32x4.splat(lo), high = f32x4.splat(hi), scale = f32x4.splat(rs), magic = f32x4.splat(MAGIC);
  const next = residual ? stride : 0;
  put(kind, c00, c01, header, residual, out, scale, low, high, magic);
  if (mr > 1) { out += stride; residual += next; put(kind, c10, c11, header, residual, out, scale, low, high, magic); }
  if (mr > 2) { out += stride; residual += next; put(kind, c20, c21, header, residual, out, scale, low, high, magic); }
  if (mr > 3) { out += stride; residual += next; put(kind, c30, c31, header, residual, out, scale, low, high, magic); }
  if (mr > 4) { out += stride; residual += next; put(kind, c40, c41, header, residual, out, scale, low, high, magic); }
  if (mr > 5) { out += stride; residual += next; put(kind, c50, c51, header, residual, out, scale, low, high, magic); }
}

/** `mr` rows by two neighbouring panels, `panelBytes` apart, of which all columns exist. */
// @ts-ignore: decorator
@inline
function tile16(
  kind: i32, mr: i32, taps: i32, k: i32, panelBytes: usize, stride: usize, table: usize, tapStride: usize, panel: usize,
  residual: usize, out: usize, tail: usize, rs: f32, lo: f32, hi: f32,
): void {
  const header = panel;
  let other = panel + panelBytes;
  let c00 = start(kind, panel, 0), c01 = start(kind, panel, 1), c02 = start(kind, other, 0), c03 = start(kind, other, 1);
  let c10 = c00, c11 = c01, c12 = c02, c13 = c03, c20 = c00, c21 = c01, c22 = c02, c23 = c03;
  let c30 = c00, c31 = c01, c32 = c02, c33 = c03, c40 = c00, c41 = c01, c42 = c02, c43 = c03;
  let c50 = c00, c51 = c01, c52 = c02, c53 = c03;
  panel += headerBytes(kind);
  other += headerBytes(kind);
  const bytes = <usize>k << weightShift(kind);
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
      const b0 = weights(kind, panel, 0), b1 = weights(kind, panel, 1), b2 = weights(kind, other, 0), b3 = weights(kind, other, 1);
      panel += cellBytes(kind);
      other += cellBytes(kind);
      let a = v128.load32_splat(p0);
      p0 += 4;
      c00 = multiply(kind, a, b0, c00); c01 = multiply(kind, a, b1, c01); c02 = multiply(kind, a, b2, c02); c03 = multiply(kind, a, b3, c03);
      if (mr > 1) {
        a = v128.load32_splat(p1); p1 += 4;
        c10 = multiply(kind, a, b0, c10); c11 = multiply(kind, a, b1, c11); c12 = multiply(kind, a, b2, c12); c13 = multiply(kind, a, b3, c13);
      }
      if (mr > 2) {
        a = v128.load32_splat(p2); p2 += 4;
        c20 = multiply(kind, a, b0, c20); c21 = multiply(kind, a, b1, c21); c22 = multiply(kind, a, b2, c22); c23 = multiply(kind, a, b3, c23);
      }
      if (mr > 3) {
        a = v128.load32_splat(p3); p3 += 4;
        c30 = multiply(kind, a, b0, c30); c31 = multiply(kind, a, b1, c31); c32 = multiply(kind, a, b2, c32); c33 = multiply(kind, a, b3, c33);
      }
      if (mr > 4) {
        a = v128.load32_splat(p4); p4 += 4;
        c40 = multiply(kind, a, b0, c40); c41 = multiply(kind, a, b1, c41); c42 = multiply(kind, a, b2, c42); c43 = multiply(kind, a, b3, c43);
      }
      if (mr > 5) {
        a = v128.load32_splat(p5); p5 += 4;
        c50 = multiply(kind, a, b0, c50); c51 = multiply(kind, a, b1, c51); c52 = multiply(kind, a, b2, c52); c53 = multiply(kind, a, b3, c53);
      }
    } while (panel < end);
  }
  if (kind == DOT8 || kind == DOT16) {
    // Only stores of 16 bytes side by side make V8 pack what leads to them.
    keep(tail, c00, c01); keep(tail + 32, c02, c03);
    if (mr > 1) { keep(tail + 64, c10, c11); keep(tail + 96, c12, c13); }
    if (mr > 2) { keep(tail + 128, c20, c21); keep(tail + 160, c22, c23); }
    if (mr > 3) { keep(tail + 192, c30, c31); keep(tail + 224, c32, c33); }
    if (mr > 4) { keep(tail + 256, c40, c41); keep(tail + 288, c42, c43); }
    if (mr > 5) { keep(tail + 320, c50, c51); keep(tail + 352, c52, c53); }
    requantize16(mr, stride, header, header + panelBytes, tail, residual, out, rs, lo, hi);
    return;
  }
  const low = f32x4.splat(lo), high = f32x4.splat(hi);
  const next = residual ? stride : 0;
  put16(kind, c00, c01, c02, c03, residual, out, low, high);
  if (mr > 1) { out += stride; residual += next; put16(kind, c10, c11, c12, c13, residual, out, low, high); }
  if (mr > 2) { out += stride; residual += next; put16(kind, c20, c21, c22, c23, residual, out, low, high); }
  if (mr > 3) { out += stride; residual += next; put16(kind, c30, c31, c32, c33, residual, out, low, high); }
  if (mr > 4) { out += stride; residual += next; put16(kind, c40, c41, c42, c43, residual, out, low, high); }
  if (mr > 5) { out += stride; residual += next; put16(kind, c50, c51, c52, c53, residual, out, low, high); }
}

/** `put` for sixteen sums of f32 or i16. */
// @ts-ignore: decorator
@inline
function put16(
  kind: i32, c0: v128, c1: v128, c2: v128, c3: v128, residual: usize, out: usize, lo: v128, hi: v128,
): void {
  put(kind, c0, c1, 0, residual, out, lo, lo, hi, lo);
  put(kind, c2, c3, 0, residual ? residual + 32 : 0, out + 32, lo, lo, hi, lo);
}

/** Eight sums of each of `rows` rows, put aside in `tail`, as i8. */
function requantize8(
  rows: i32, stride: usize, header: usize, tail: usize, residual: usize, out: usize, rs: f32, lo: f32, hi: f32,
): void {
  const s0 = v128.load(header, 32), s1 = v128.load(header, 48);
  const low = f32x4.splat(lo), high = f32x4.splat(hi), scale = f32x4.splat(rs), magic = f32x4.splat(MAGIC);
  for (let r = 0; r < rows; ++r) {
    const x0 = scaled(v128.load(tail), s0), x1 = scaled(v128.load(tail, 16), s1);
    v128.store64_lane(out, requantized(x0, x1, residual, scale, low, high, magic), 0);
    tail += 32;
    out += stride;
    if (residual) residual += stride;
  }
}

/** Sixteen sums of each row, of two panels. */
function requantize16(
  rows: i32, stride: usize, header: usize, other: usize, tail: usize, residual: usize, out: usize, rs: f32, lo: f32,
  hi: f32,
): void {
  const s0 = v128.load(header, 32), s1 = v128.load(header, 48), s2 = v128.load(other, 32), s3 = v128.load(other, 48);
  const low = f32x4.splat(lo), high = f32x4.splat(hi), scale = f32x4.splat(rs), magic = f32x4.splat(MAGIC);
  for (let r = 0; r < rows; ++r) {
    const x0 = scaled(v128.load(tail), s0), x1 = scaled(v128.load(tail, 16), s1);
    const x2 = scaled(v128.load(tail, 32), s2), x3 = scaled(v128.load(tail, 48), s3);
    v128.store64_lane(out, requantized(x0, x1, residual, scale, low, high, magic), 0);
    v128.store64_lane(out + 8, requantized(x2, x3, residual ? residual + 8 : 0, scale, low, high, magic), 0);
    tail += 64;
    out += stride;
    if (residual) residual += stride;
  }
}

/** One tile of `mr` rows by `nr` columns, `nr` known when compiled. */
// @ts-ignore: decorator
@inline
function tile(
  kind: i32, nr: i32, mr: i32, taps: i32, k: i32, cols: i32, panelBytes: usize, stride: usize, table: usize,
  tapStride: usize, panel: usize, residual: usize, out: usize, tail: usize, rs: f32, lo: f32, hi: f32, dequantize: i32,
): void {
  if (nr == WIDE_COLUMNS) tile16(kind, mr, taps, k, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi);
  else tile8(kind, mr, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
}

/** Rows of the next tile. */
// @ts-ignore: decorator
@inline
function rowsOf(kind: i32, mr: i32, rows: i32, tiles: i32): i32 {
  // A tile of fewer than four rows of f32 cannot hide the latency of the additions, so 7 rows are 4 + 3, not 6 + 1.
  if (kind == F32) return rows > mr + 3 ? mr : rows > mr ? (rows + 1) >> 1 : rows;
  // Others are of nearly one height: 16 rows are four times 4, not 5 + 5 + 5 + 1.
  else return (rows + tiles - 1) / tiles;
}

/** Most rows of a tile: a sixth row of an int8 tile of one panel would spill, and is not compiled. */
// @ts-ignore: decorator
@inline
function mostRows(kind: i32, nr: i32): i32 {
  return kind == F32 || nr == WIDE_COLUMNS ? TILE_ROWS : TILE_ROWS - 1;
}

/** `rows` rows by `nr` columns, split into tiles of at most `mr` rows. */
// @ts-ignore: decorator
@inline
function product(
  kind: i32, nr: i32, mr: i32, rows: i32, taps: i32, k: i32, cols: i32, panelBytes: usize, stride: usize, table: usize,
  tapStride: usize, panel: usize, residual: usize, out: usize, tail: usize, rs: f32, lo: f32, hi: f32, dequantize: i32,
): void {
  mr = min(mr, mostRows(kind, nr));
  let tiles = (rows + mr - 1) / mr;
  while (rows > 0) {
    let take = rowsOf(kind, mr, rows, tiles);
    if (take > 2 || nr == PANEL_COLUMNS) tiles -= 1;
    switch (take) {
      case 6: if (mostRows(kind, nr) == 6) { tile(kind, nr, 6, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize); break; }
      case 5: tile(kind, nr, 5, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize); break;
      case 4: tile(kind, nr, 4, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize); break;
      case 3: tile(kind, nr, 3, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize); break;
      case 2:
        if (nr == PANEL_COLUMNS) {
          tile(kind, nr, 2, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
          break;
        }
        // Two rows of a wide tile one by one: rare, and not worth its code.
        take = 1;
      default:
        tile(kind, nr, 1, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
    }
    rows -= take;
    table += <usize>take << 2;
    const step = <usize>take * stride;
    out += step;
    if (residual) residual += step;
  }
}

/**
 * The kind that a type stands for: f32 F32, i8 DOT8, u8 DOT16, i16 I16. With types each kind is compiled to functions of its
 * own: V8 decides for a whole function whether it packs pairs.
 */
// @ts-ignore: decorator
@inline
export function kindOf<T>(): i32 {
  return isFloat<T>() ? F32 : sizeof<T>() == 2 ? I16 : isSigned<T>() ? DOT8 : DOT16;
}

function columns8<T>(
  mr: i32, rows: i32, taps: i32, k: i32, cols: i32, panelBytes: usize, stride: usize, table: usize, tapStride: usize,
  panel: usize, residual: usize, out: usize, tail: usize, rs: f32, lo: f32, hi: f32, dequantize: i32,
): void {
  product(kindOf<T>(), PANEL_COLUMNS, mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
}

function columns16<T>(
  mr: i32, rows: i32, taps: i32, k: i32, cols: i32, panelBytes: usize, stride: usize, table: usize, tapStride: usize,
  panel: usize, residual: usize, out: usize, tail: usize, rs: f32, lo: f32, hi: f32, dequantize: i32,
): void {
  product(kindOf<T>(), WIDE_COLUMNS, mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
}

/** Columns of one panel, or of two. */
// @ts-ignore: decorator
@inline
function columns(
  kind: i32, nr: i32, mr: i32, rows: i32, taps: i32, k: i32, cols: i32, panelBytes: usize, stride: usize, table: usize,
  tapStride: usize, panel: usize, residual: usize, out: usize, tail: usize, rs: f32, lo: f32, hi: f32, dequantize: i32,
): void {
  if (nr == PANEL_COLUMNS) {
    if (kind == F32) columns8<f32>(mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
    else if (kind == DOT8) columns8<i8>(mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
    else if (kind == DOT16) columns8<u8>(mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
    else columns8<i16>(mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
  } else {
    if (kind == F32) columns16<f32>(mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
    else if (kind == DOT8) columns16<i8>(mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
    else if (kind == DOT16) columns16<u8>(mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
    else columns16<i16>(mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
  }
}

/** Rows by nine to sixteen columns, a panel at a time. */
// @ts-ignore: decorator
@inline
function eightAndEight(
  kind: i32, mr: i32, rows: i32, taps: i32, k: i32, cols: i32, panelBytes: usize, stride: usize, table: usize,
  tapStride: usize, panel: usize, residual: usize, out: usize, tail: usize, rs: f32, lo: f32, hi: f32, dequantize: i32,
): void {
  const next = <usize>PANEL_COLUMNS << outputShift(kind, dequantize);
  columns(kind, PANEL_COLUMNS, mr, rows, taps, k, PANEL_COLUMNS, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
  columns(
    kind, PANEL_COLUMNS, mr, rows, taps, k, cols - PANEL_COLUMNS, panelBytes, stride, table, tapStride, panel + panelBytes,
    residual ? residual + next : 0, out + next, tail, rs, lo, hi, dequantize,
  );
}

/**
 * `rows` rows by `cols` columns.
 *
 * - `mr`: most rows of a tile
 * - `taps`, `k`: a panel holds `taps · k` inputs; `k` is a multiple of the inputs of a cell
 * - `cols`: 1…16; those after the eighth are of the panel that lies `panelBytes` behind
 * - `stride`: bytes from one output (and residual) row to the next
 * - `table`: u32 pointers `[taps, tapStride / 4]`, the first `rows` of each tap valid
 * - `residual`: 0, or the address of what is added
 */
// @ts-ignore: decorator
@inline
export function multiplyRows(
  kind: i32, mr: i32, rows: i32, taps: i32, k: i32, cols: i32, panelBytes: usize, stride: usize, table: usize,
  tapStride: usize, panel: usize, residual: usize, out: usize, tail: usize, rs: f32, lo: f32, hi: f32, dequantize: i32,
): void {
  // The narrow one first: the compiler meets it before the wide one, which calls it.
  if (cols <= PANEL_COLUMNS) {
    columns(kind, PANEL_COLUMNS, mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
  } else if (cols == WIDE_COLUMNS && rows > 2 && !dequantize) {
    columns(kind, WIDE_COLUMNS, mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, 0);
  } else {
    eightAndEight(kind, mr, rows, taps, k, cols, panelBytes, stride, table, tapStride, panel, residual, out, tail, rs, lo, hi, dequantize);
  }
}
