/**
 * The register tile that every f32 product of this project goes through: up to 6 rows by 8 columns.
 *
 *     out[r, j] = clamp(bias[j] + Σ_tap Σ_i row[r, tap][i] · panel[tap, i, j] + residual[r, j])
 *
 * Rows are found through a table of pointers (as in Dukhan's "Indirect Convolution", arXiv 1907.02129), so that one
 * tile serves plain GEMM (one tap), convolution (a tap for each kernel position) and Winograd (36 grouped GEMMs).
 *
 * A panel: 8 output channels, the bias first.
 *
 *     | bias 0…7 | tap 0: i = 0: w 0…7 | i = 1: w 0…7 | … | tap 1: … |      f32, 32 bytes a cell
 *
 * Why 6×8: twelve accumulators, two panel vectors and one splat fill the 15 vector registers V8 has on x86-64. Without a
 * fused multiply-add one more is needed, so the baseline build picks 4×8 (`src/kernels.ts`). A pointer per row,
 * advanced each step, because V8 spends an extra instruction on a splat with an offset.
 */
import { clamp, clamp1, madd } from "./simd";

/** Bytes at the start of a thread's scratch where a tile narrower than 8 columns is put before its columns are copied. */
export const TAIL_BYTES: usize = 6 * 32;

// @ts-ignore: decorator
@inline
function tile(
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
  lo: f32,
  hi: f32,
): void {
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
  panel += 32;
  const bytes = <usize>k << 5;
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
      const b0 = v128.load(panel);
      const b1 = v128.load(panel, 16);
      panel += 32;
      let a = v128.load32_splat(p0);
      p0 += 4;
      c00 = madd(a, b0, c00);
      c01 = madd(a, b1, c01);
      if (mr > 1) {
        a = v128.load32_splat(p1);
        p1 += 4;
        c10 = madd(a, b0, c10);
        c11 = madd(a, b1, c11);
      }
      if (mr > 2) {
        a = v128.load32_splat(p2);
        p2 += 4;
        c20 = madd(a, b0, c20);
        c21 = madd(a, b1, c21);
      }
      if (mr > 3) {
        a = v128.load32_splat(p3);
        p3 += 4;
        c30 = madd(a, b0, c30);
        c31 = madd(a, b1, c31);
      }
      if (mr > 4) {
        a = v128.load32_splat(p4);
        p4 += 4;
        c40 = madd(a, b0, c40);
        c41 = madd(a, b1, c41);
      }
      if (mr > 5) {
        a = v128.load32_splat(p5);
        p5 += 4;
        c50 = madd(a, b0, c50);
        c51 = madd(a, b1, c51);
      }
    } while (panel < end);
  }
  if (cols < 8) {
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
    storeNarrow(mr, cols, stride, tail, residual, out, lo, hi);
    return;
  }
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  if (residual) {
    c00 = f32x4.add(c00, v128.load(residual));
    c01 = f32x4.add(c01, v128.load(residual, 16));
    if (mr > 1) {
      residual += stride;
      c10 = f32x4.add(c10, v128.load(residual));
      c11 = f32x4.add(c11, v128.load(residual, 16));
    }
    if (mr > 2) {
      residual += stride;
      c20 = f32x4.add(c20, v128.load(residual));
      c21 = f32x4.add(c21, v128.load(residual, 16));
    }
    if (mr > 3) {
      residual += stride;
      c30 = f32x4.add(c30, v128.load(residual));
      c31 = f32x4.add(c31, v128.load(residual, 16));
    }
    if (mr > 4) {
      residual += stride;
      c40 = f32x4.add(c40, v128.load(residual));
      c41 = f32x4.add(c41, v128.load(residual, 16));
    }
    if (mr > 5) {
      residual += stride;
      c50 = f32x4.add(c50, v128.load(residual));
      c51 = f32x4.add(c51, v128.load(residual, 16));
    }
  }
  v128.store(out, clamp(c00, low, high));
  v128.store(out, clamp(c01, low, high), 16);
  if (mr > 1) {
    out += stride;
    v128.store(out, clamp(c10, low, high));
    v128.store(out, clamp(c11, low, high), 16);
  }
  if (mr > 2) {
    out += stride;
    v128.store(out, clamp(c20, low, high));
    v128.store(out, clamp(c21, low, high), 16);
  }
  if (mr > 3) {
    out += stride;
    v128.store(out, clamp(c30, low, high));
    v128.store(out, clamp(c31, low, high), 16);
  }
  if (mr > 4) {
    out += stride;
    v128.store(out, clamp(c40, low, high));
    v128.store(out, clamp(c41, low, high), 16);
  }
  if (mr > 5) {
    out += stride;
    v128.store(out, clamp(c50, low, high));
    v128.store(out, clamp(c51, low, high), 16);
  }
}

/** The last columns of a matrix whose width is no multiple of 8, from `tail` `[rows, 8]`, one by one. */
function storeNarrow(
  rows: i32,
  cols: i32,
  stride: usize,
  tail: usize,
  residual: usize,
  out: usize,
  lo: f32,
  hi: f32,
): void {
  for (let r = 0; r < rows; ++r) {
    for (let j = 0; j < cols; ++j) {
      const at = (<usize>j) << 2;
      let sum = load<f32>(tail + at);
      if (residual) sum += load<f32>(residual + at);
      store<f32>(out + at, clamp1(sum, lo, hi));
    }
    tail += 32;
    out += stride;
    if (residual) residual += stride;
  }
}

/**
 * `rows` rows by one panel, split into tiles of at most `mr` rows.
 *
 * - `taps`, `k`: the panel holds `taps · k` cells after its bias
 * - `cols`: columns of the panel that exist, 1…8
 * - `stride`: bytes from one output (and residual) row to the next
 * - `table`: u32 pointers `[taps, tapStride / 4]`, the first `rows` of each tap valid
 * - `residual`: 0, or the address of what is added
 */
export function tiles_f32(
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
  lo: f32,
  hi: f32,
): void {
  while (rows > 0) {
    // A tile of fewer than four rows cannot hide the latency of the additions, so 7 rows are 4 + 3, not 6 + 1.
    const take = rows > mr + 3 ? mr : rows > mr ? (rows + 1) >> 1 : rows;
    switch (take) {
      case 6:
        tile(6, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, lo, hi);
        break;
      case 5:
        tile(5, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, lo, hi);
        break;
      case 4:
        tile(4, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, lo, hi);
        break;
      case 3:
        tile(3, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, lo, hi);
        break;
      case 2:
        tile(2, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, lo, hi);
        break;
      default:
        tile(1, taps, k, cols, stride, table, tapStride, panel, residual, out, tail, lo, hi);
    }
    rows -= take;
    table += (<usize>take) << 2;
    const step = (<usize>take) * stride;
    out += step;
    if (residual) residual += step;
  }
}
