/**
 * Grouped matrix product: 1×1 convolution with stride 1, linear layers, and the products inside Winograd.
 *
 *     out[r, g, j] = clamp(bias[g, j] + Σ_i a[r, g, i] · w[g, i, j] + residual[r, g, j])
 *
 * - `scratch`  this thread's; `TAIL_BYTES + 4 · mc` bytes
 * - `mr nr`    rows (1…6) and columns (8 or 16) of a register tile
 * - `mc`       rows of a chunk: what is read again for every panel, so it should stay in the L2 cache
 * - `m n k`    rows; columns and depth of one group
 * - `groups`   independent products side by side
 * - `lda ldo`  elements from one row of `a` / of `out` and `residual` to the next
 * - `a`        [m, groups, k] f32
 * - `panels`   [groups, ⌈n/8⌉] panels as `product.ts` draws them, one tap
 * - `residual` [m, groups, n] f32, or 0
 * - `out`      [m, groups, n] f32
 *
 * Unit: `nr` columns of one group over one chunk of rows; `⌈m/mc⌉ · groups · ⌈n/nr⌉` of them, columns fastest.
 *
 * Must hold: `out` does not overlap `a`; it may be `residual`.
 *
 * Why: a chunk of `a` stays in L2 while all panels pass over it, a panel stays in L1 while the chunk passes under it.
 */
import { ROWS, walk } from "./walk";

export function gemm_f32(
  from: i32, to: i32, scratch: usize,
  mr: i32, nr: i32, mc: i32, m: i32, n: i32, k: i32, groups: i32, lda: i32, ldo: i32,
  a: usize, panels: usize, residual: usize, out: usize,
  lo: f32, hi: f32,
): void {
  walk<f32>(
    ROWS, from, to, scratch, mr, nr, mc, 1, 1, m, groups * k, 1, m, groups * n, 1, 1, 1, 1, 1, 1, 0, 0, groups, lda, ldo,
    a, panels, residual, 0, out, 0, lo, hi, 0,
  );
}
