/**
 * Weight gradients as a sum of outer products: of 1×1 convolutions with stride 1, linear layers, and inside Winograd.
 *
 *     out[g, i, j] = (adds ? out[g, i, j] : 0) + Σ_r a[r, g, i] · b[r, g, j]
 *
 * - `mr mc`    rows of a register tile, 1…6; products added up before they go to memory
 * - `m n k`    products to add; columns and rows of one group's `out`
 * - `groups`   independent sums side by side
 * - `lda ldb`  elements from one row of `a` / of `b` to the next
 * - `ldo ogo`  elements from one row of `out`, and from one group of it, to the next
 * - `adds`     1 adds to what `out` holds, 0 overwrites it
 * - `a`        [m, groups, k] f32: the layer's input
 * - `b`        [m, groups, n] f32: the gradient of its output
 * - `out`      [groups, k, n] f32
 * - `scratch`  this thread's; 32 bytes
 *
 * Unit: one tile of `out`; `groups · ⌈k/mr⌉ · ⌈n/8⌉` of them, columns fastest. Each is summed over all rows in one order,
 * so that the result does not depend on who computes it.
 *
 * Must hold: `m` ≥ 1; 28 bytes after the end of `b` can be read; `out` overlaps neither operand.
 *
 * Why: the sum is the long dimension; chunks of it are the outer loop, so that all tiles read a chunk from L1 or L2.
 */
import { outerTile_f32 } from "./outer_tile_f32";

export function outer_f32(
  from: i32,
  to: i32,
  mr: i32,
  mc: i32,
  m: i32,
  n: i32,
  k: i32,
  groups: i32,
  lda: i32,
  ldb: i32,
  ldo: i32,
  ogo: i32,
  adds: i32,
  a: usize,
  b: usize,
  out: usize,
  scratch: usize,
): void {
  const across = (n + 7) >> 3;
  const down = (k + mr - 1) / mr;
  const perGroup = across * down;
  const aBytes = (<usize>lda) << 2;
  const bBytes = (<usize>ldb) << 2;
  const outBytes = (<usize>ldo) << 2;
  for (let row = 0; row < m; row += mc) {
    const rows = min(mc, m - row);
    const a0 = a + <usize>row * aBytes;
    const b0 = b + <usize>row * bBytes;
    const more = adds | i32(row > 0);
    for (let unit = from; unit < to; ++unit) {
      const group = unit / perGroup;
      const inGroup = unit - group * perGroup;
      const i = (inGroup / across) * mr;
      const j = (inGroup % across) << 3;
      outerTile_f32(
        min(mr, k - i),
        rows,
        min(8, n - j),
        aBytes,
        bBytes,
        outBytes,
        more,
        a0 + ((<usize>(group * k + i)) << 2),
        b0 + ((<usize>(group * n + j)) << 2),
        out + ((<usize>group * ogo + <usize>i * ldo + j) << 2),
        scratch,
      );
    }
  }
}
