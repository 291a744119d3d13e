/**
 * Grouped matrix product: 1×1 convolution with stride 1, linear layers, and the products inside Winograd.
 *
 *     out[r, g, j] = clamp(bias[g, j] + Σ_i a[r, g, i] · w[g, i, j] + residual[r, g, j])
 *
 * - `scratch`  this thread's; `TAIL_BYTES + 4 · mc` bytes
 * - `mr`       rows of a register tile, 1…6
 * - `mc`       rows of a chunk: what is read again for every panel, so it should stay in the L2 cache
 * - `m n k`    rows; columns and depth of one group
 * - `groups`   independent products side by side
 * - `lda ldo`  elements from one row of `a` / of `out` and `residual` to the next
 * - `a`        [m, groups, k] f32
 * - `panels`   [groups, ⌈n/8⌉] panels as `tile_f32.ts` draws them, one tap
 * - `residual` [m, groups, n] f32, or 0
 * - `out`      [m, groups, n] f32
 *
 * Unit: one panel over one chunk of rows; `⌈m/mc⌉ · groups · ⌈n/8⌉` of them, panels fastest.
 *
 * Must hold: `out` does not overlap `a`; it may be `residual`.
 *
 * Why: a chunk of `a` stays in L2 while all panels pass over it, a panel stays in L1 while the chunk passes under it.
 */
import { TAIL_BYTES, tiles_f32 } from "./tile_f32";

export function gemm_f32(
  from: i32,
  to: i32,
  scratch: usize,
  mr: i32,
  mc: i32,
  m: i32,
  n: i32,
  k: i32,
  groups: i32,
  lda: i32,
  ldo: i32,
  a: usize,
  panels: usize,
  residual: usize,
  out: usize,
  lo: f32,
  hi: f32,
): void {
  const table = scratch + TAIL_BYTES;
  const perGroup = (n + 7) >> 3;
  const perChunk = perGroup * groups;
  const panelBytes = (<usize>(k + 1)) << 5;
  const stride = (<usize>ldo) << 2;
  let tabled = -1;
  for (let unit = from; unit < to; ++unit) {
    const chunk = unit / perChunk;
    const column = unit - chunk * perChunk;
    const group = column / perGroup;
    const j = (column - group * perGroup) << 3;
    const row = chunk * mc;
    const rows = min(mc, m - row);
    const key = chunk * groups + group;
    if (key != tabled) {
      tabled = key;
      let pointer = a + ((<usize>row * lda + group * k) << 2);
      for (let r = 0; r < rows; ++r) {
        store<u32>(table + ((<usize>r) << 2), <u32>pointer);
        pointer += (<usize>lda) << 2;
      }
    }
    const at = (<usize>row * ldo + group * n + j) << 2;
    tiles_f32(
      mr,
      rows,
      1,
      k,
      min(8, n - j),
      stride,
      table,
      0,
      panels + <usize>column * panelBytes,
      residual ? residual + at : 0,
      out + at,
      scratch,
      lo,
      hi,
    );
  }
}
