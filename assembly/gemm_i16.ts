/**
 * Grouped matrix product of i16 with sums in i32, modulo 2³²: the products inside Winograd over int8.
 *
 *     out[r, g, j] = Σ_i a[r, g, i] · w[g, i, j]
 *
 * - `mr`      rows of a register tile, 1…5
 * - `mc`      rows of a chunk
 * - `m n k`   rows; columns and depth of one group
 * - `groups`  independent products side by side
 * - `a`       [m, groups, k] i16
 * - `panels`  [groups, n/8] of `k / 2` cells: two inputs of eight outputs, [8, 2] i16
 * - `out`     [m, groups, n] i32
 *
 * Unit: one panel over one chunk of rows; `⌈m/mc⌉ · groups · n/8` of them, panels fastest.
 *
 * Must hold: `n` is a multiple of 8, `k` of 2; `out` overlaps neither source.
 *
 * Why: ten sums, two weights, a splat and a product fill V8's 15 registers; a sixth row spills (38 against 51 GMAC/s).
 */
import { dot16 } from "./simd";

// @ts-ignore: decorator
@inline
function tile(mr: i32, k: i32, lda: usize, ldo: usize, a: usize, panel: usize, out: usize): void {
  let c00 = i32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  let c40 = c00;
  let c41 = c00;
  let p0 = a;
  let p1 = mr > 1 ? p0 + lda : 0;
  let p2 = mr > 2 ? p1 + lda : 0;
  let p3 = mr > 3 ? p2 + lda : 0;
  let p4 = mr > 4 ? p3 + lda : 0;
  const end = panel + ((<usize>k) << 4);
  do {
    const b0 = v128.load(panel);
    const b1 = v128.load(panel, 16);
    panel += 32;
    let x = v128.load32_splat(p0);
    p0 += 4;
    c00 = dot16(x, b0, c00);
    c01 = dot16(x, b1, c01);
    if (mr > 1) {
      x = v128.load32_splat(p1);
      p1 += 4;
      c10 = dot16(x, b0, c10);
      c11 = dot16(x, b1, c11);
    }
    if (mr > 2) {
      x = v128.load32_splat(p2);
      p2 += 4;
      c20 = dot16(x, b0, c20);
      c21 = dot16(x, b1, c21);
    }
    if (mr > 3) {
      x = v128.load32_splat(p3);
      p3 += 4;
      c30 = dot16(x, b0, c30);
      c31 = dot16(x, b1, c31);
    }
    if (mr > 4) {
      x = v128.load32_splat(p4);
      p4 += 4;
      c40 = dot16(x, b0, c40);
      c41 = dot16(x, b1, c41);
    }
  } while (panel < end);
  v128.store(out, c00);
  v128.store(out, c01, 16);
  if (mr > 1) {
    out += ldo;
    v128.store(out, c10);
    v128.store(out, c11, 16);
  }
  if (mr > 2) {
    out += ldo;
    v128.store(out, c20);
    v128.store(out, c21, 16);
  }
  if (mr > 3) {
    out += ldo;
    v128.store(out, c30);
    v128.store(out, c31, 16);
  }
  if (mr > 4) {
    out += ldo;
    v128.store(out, c40);
    v128.store(out, c41, 16);
  }
}

export function gemm_i16(
  from: i32,
  to: i32,
  mr: i32,
  mc: i32,
  m: i32,
  n: i32,
  k: i32,
  groups: i32,
  a: usize,
  panels: usize,
  out: usize,
): void {
  assert(n % 8 == 0 && k % 2 == 0);
  const perGroup = n >> 3;
  const perChunk = perGroup * groups;
  const panelBytes = (<usize>k) << 4;
  const lda = <usize>(groups * k) << 1;
  const ldo = <usize>(groups * n) << 2;
  for (let unit = from; unit < to; ++unit) {
    const chunk = unit / perChunk;
    const column = unit - chunk * perChunk;
    const group = column / perGroup;
    const j = (column - group * perGroup) << 3;
    let row = chunk * mc;
    const panel = panels + <usize>column * panelBytes;
    let left = min(mc, m - row);
    let source = a + <usize>row * lda + ((<usize>(group * k)) << 1);
    let target = out + <usize>row * ldo + ((<usize>(group * n + j)) << 2);
    let tiles = (left + mr - 1) / mr;
    while (left > 0) {
      // Tiles of nearly one height: 16 rows are four times 4, not 5 + 5 + 3 + 3.
      const take = (left + tiles - 1) / tiles;
      tiles -= 1;
      switch (take) {
        case 5:
          tile(5, k, lda, ldo, source, panel, target);
          break;
        case 4:
          tile(4, k, lda, ldo, source, panel, target);
          break;
        case 3:
          tile(3, k, lda, ldo, source, panel, target);
          break;
        case 2:
          tile(2, k, lda, ldo, source, panel, target);
          break;
        default:
          tile(1, k, lda, ldo, source, panel, target);
      }
      left -= take;
      source += <usize>take * lda;
      target += <usize>take * ldo;
    }
  }
}
