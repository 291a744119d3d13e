/**
 * Weight gradients as a sum of outer products: of 1×1 convolutions with stride 1, linear layers, and inside Winograd.
 *
 *     dw[g, i, j] = (adds ? dw[g, i, j] : 0) + Σ_r input[r, g, i] · dy[r, g, j]
 *
 * - `scratch`  this thread's; `TAIL_BYTES + 4 · mc · (⌈k/mr⌉·mr + ⌈n/nr⌉·nr)` bytes
 * - `mr nr`    rows (1…6) and columns (8 or 16) of a register tile
 * - `mc`       products added up before they go to memory
 * - `m n k`    products to add; columns and rows of one group's `dw`
 * - `groups`   independent sums side by side
 * - `lda ldb`  elements from one row of `input` / of `dy` to the next
 * - `ldo ogo`  elements from one row of `dw`, and from one group of it, to the next
 * - `adds`     1 adds to what `dw` holds, 0 overwrites it
 * - `input`    [m, groups, k] f32: the layer's input
 * - `dy`       [m, groups, n] f32: the gradient of its output
 * - `dw`       [groups, k, n] f32
 *
 * Unit: one tile of `dw`; `groups · ⌈k/mr⌉ · ⌈n/nr⌉` of them, columns fastest. Each is summed over all rows in one order,
 * so that the result does not depend on who computes it.
 *
 * Must hold: `m` ≥ 1; 28 bytes after the end of `dy` can be read; `dw` overlaps neither operand.
 *
 * Why: the sum is the long dimension; it is taken in chunks that the tiles of a block read from L1 or L2. From 32 channels on
 * a chunk is copied into panels first: rows of `input` and `dy` are powers of two apart, often enough in one set of L1.
 */
import { TAIL_BYTES } from "./tile";
import { tileWgrad_f32 } from "./tile_wgrad_f32";

export function gemm_wgrad_f32(
  from: i32, to: i32, scratch: usize,
  mr: i32, nr: i32, mc: i32, m: i32, n: i32, k: i32, groups: i32, lda: i32, ldb: i32, ldo: i32, ogo: i32, adds: i32,
  input: usize, dy: usize, dw: usize,
): void {
  assert(m >= 1);
  const across = (n + nr - 1) / nr;
  const down = (k + mr - 1) / mr;
  const perGroup = across * down;
  const aBytes = (<usize>lda) << 2;
  const bBytes = (<usize>ldb) << 2;
  const outBytes = (<usize>ldo) << 2;
  const packs = k >= 32 && n >= 32;
  const aPanels = scratch + TAIL_BYTES;
  const bPanels = aPanels + ((<usize>(down * mr * mc)) << 2);
  // Tiles whose sums are carried from chunk to chunk stay in L2 meanwhile.
  const most = m > mc ? max(1, BLOCK / (mr * across * nr)) * across : perGroup;
  let unit = from;
  while (unit < to) {
    const group = unit / perGroup;
    const first = unit - group * perGroup;
    const end = min(min(to, (group + 1) * perGroup), unit + most);
    const last = end - 1 - group * perGroup;
    for (let row = 0; row < m; row += mc) {
      const rows = min(mc, m - row);
      const a0 = input + <usize>row * aBytes + ((<usize>(group * k)) << 2);
      const b0 = dy + <usize>row * bBytes + ((<usize>(group * n)) << 2);
      const more = adds | i32(row > 0);
      if (packs) {
        for (let i = first / across; i <= last / across; ++i) {
          const from4 = a0 + ((<usize>(i * mr)) << 2);
          pack(rows, min(mr, k - i * mr), mr, from4, aBytes, aPanels + ((<usize>(i * mr * mc)) << 2));
        }
        for (let j = 0; j < across; ++j) {
          const from4 = b0 + ((<usize>(j * nr)) << 2);
          pack(rows, min(nr, n - j * nr), nr, from4, bBytes, bPanels + ((<usize>(j * nr * mc)) << 2));
        }
      }
      for (let each = first; each <= last; ++each) {
        const i = each / across;
        const j = each % across;
        tileWgrad_f32(
          min(mr, k - i * mr),
          rows,
          min(nr, n - j * nr),
          packs ? (<usize>mr) << 2 : aBytes,
          packs ? (<usize>nr) << 2 : bBytes,
          outBytes,
          more,
          packs ? aPanels + ((<usize>(i * mr * mc)) << 2) : a0 + ((<usize>(i * mr)) << 2),
          packs ? bPanels + ((<usize>(j * nr * mc)) << 2) : b0 + ((<usize>(j * nr)) << 2),
          dw + ((<usize>group * ogo + <usize>(i * mr) * ldo + j * nr) << 2),
          scratch,
        );
      }
    }
    unit = end;
  }
}

/** Elements of `dw` that a thread carries along at once. */
export const BLOCK: i32 = 49152;

/** `cols` of `pitch` columns, row after row. */
function pack(rows: i32, cols: i32, pitch: i32, source: usize, stride: usize, to: usize): void {
  const step = (<usize>pitch) << 2;
  if ((cols & 7) == 0) {
    for (; rows > 0; --rows) {
      for (let i: usize = 0; i < (<usize>cols) << 2; i += 32) {
        v128.store(to + i, v128.load(source + i));
        v128.store(to + i, v128.load(source + i, 16), 16);
      }
      source += stride;
      to += step;
    }
  } else if (cols == 6) {
    for (; rows > 0; --rows) {
      v128.store(to, v128.load(source));
      store<u64>(to, load<u64>(source, 16), 16);
      source += stride;
      to += step;
    }
  } else {
    for (; rows > 0; --rows) {
      for (let i: usize = 0; i < (<usize>cols) << 2; i += 4) store<f32>(to + i, load<f32>(source + i));
      source += stride;
      to += step;
    }
  }
}
