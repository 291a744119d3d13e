/**
 * Grouped matrix product of i16 with sums in i32, modulo 2³²: the products inside Winograd over int8.
 *
 *     out[r, g, j] = Σ_i a[r, g, i] · w[g, i, j]
 *
 * - `scratch` this thread's; `TAIL_BYTES + 4 · mc` bytes
 * - `mr nr`   rows (1…6) and columns (8 or 16) of a register tile
 * - `mc`      rows of a chunk
 * - `m n k`   rows; columns and depth of one group
 * - `groups`  independent products side by side
 * - `a`       [m, groups, k] i16
 * - `panels`  [groups, n/8] of `k / 2` cells: two inputs of eight outputs, [8, 2] i16
 * - `out`     [m, groups, n] i32
 *
 * Unit: `nr` columns of one group over one chunk of rows; `⌈m/mc⌉ · groups · ⌈n/nr⌉` of them, columns fastest.
 *
 * Must hold: `n` is a multiple of 8, `k` of 2; `out` overlaps neither source.
 *
 * Why: as `gemm_f32`; `src/variants.ts` has the rows of its tile.
 */
import { ROWS, walk } from "./walk";

export function gemm_i16(
  from: i32, to: i32, scratch: usize,
  mr: i32, nr: i32, mc: i32, m: i32, n: i32, k: i32, groups: i32,
  a: usize, panels: usize, out: usize,
): void {
  assert(n % 8 == 0 && k % 2 == 0);
  walk<i16>(
    ROWS, from, to, scratch, mr, nr, mc, 1, 1, m, groups * k, 1, m, groups * n, 1, 1, 1, 1, 1, 1, 0, 0, groups, groups * k,
    groups * n, a, panels, 0, 0, out, 0, 0, 0, 0,
  );
}
