/**
 * Weight gradient of any convolution: patches of the input are copied to scratch a chunk at a time, then summed as outer
 * products with the gradient of the output.
 *
 *     dw[v, u, i, g·n' + j] += Σ_{b,y,x} in[b, y·sh + v·dh − top, x·sw + u·dw − left, g·c' + i] · dy[b, y, x, g·n' + j]
 *
 * with `c' = c / groups`, `n' = n / groups`.
 *
 * - `scratch`            this thread's; `TAIL_BYTES + 4 · mc · kh · kw · c'` bytes
 * - `mr nr`              rows (1…6) and columns (8 or 16) of a register tile
 * - `mc`                 output pixels of a chunk
 * - `batch h w c`        the input [batch, h, w, c]
 * - `oh ow n`            the output [batch, oh, ow, n]
 * - `kh kw sh sw dh dw`  kernel, stride, dilation
 * - `top left`           zero padding before the first row and pixel
 * - `groups`             as of the convolution
 * - `input`              [batch, h, w, c] f32
 * - `dy`                 [batch, oh, ow, n] f32
 * - `zeros`              `c'` f32 zeros: what lies outside the image
 * - `dw`                 [kh, kw, c', n] f32
 *
 * Unit: one tile of `dw`; `groups · ⌈kh·kw·c'/mr⌉ · ⌈n'/nr⌉` of them, columns fastest.
 *
 * Must hold: 28 bytes after the end of `dy` can be read; `dw` overlaps neither operand.
 *
 * Why: copied patches make every row of the kernel one run of memory, and the same tile serves as for 1×1. Only the kernel
 * rows that the range needs are copied, so that threads share that work too.
 */
import { BLOCK } from "./gemm_wgrad_f32";
import { TAIL_BYTES } from "./tile";
import { tileWgrad_f32 } from "./tile_wgrad_f32";
import { copyPatches } from "./walk";

export function conv_wgrad_f32(
  from: i32, to: i32, scratch: usize,
  mr: i32, nr: i32, mc: i32, batch: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32, kh: i32, kw: i32, sh: i32, sw: i32,
  dh: i32, dw: i32, top: i32, left: i32, groups: i32,
  input: usize, dy: usize, zeros: usize, out: usize,
): void {
  const patches = scratch + TAIL_BYTES;
  const m = batch * oh * ow;
  const deep = c / groups;
  const width = n / groups;
  const run = kw * deep;
  const k = kh * run;
  const across = (width + nr - 1) / nr;
  const perGroup = across * ((k + mr - 1) / mr);
  const patchBytes = (<usize>k) << 2;
  const rowBytes = (<usize>n) << 2;
  // Tiles whose sums are carried from chunk to chunk stay in L2 meanwhile.
  const most = max(1, BLOCK / (mr * across * nr)) * across;
  let unit = from;
  while (unit < to) {
    const group = unit / perGroup;
    const end = min(min(to, (group + 1) * perGroup), unit + most);
    const first = (((unit - group * perGroup) / across) * mr) / run;
    const last = min(k - 1, ((end - 1 - group * perGroup) / across) * mr + mr - 1) / run;
    const base = input + ((<usize>(group * deep)) << 2);
    for (let row = 0; row < m; row += mc) {
      const rows = min(mc, m - row);
      copyPatches<f32>(row, rows, h, w, c, oh, ow, deep, first, last, kw, sh, sw, dh, dw, top, left, base, zeros, patches, patchBytes);
      const b = dy + <usize>row * rowBytes + ((<usize>(group * width)) << 2);
      for (let each = unit; each < end; ++each) {
        const inGroup = each - group * perGroup;
        const i = (inGroup / across) * mr;
        const j = (inGroup % across) * nr;
        tileWgrad_f32(
          min(mr, k - i),
          rows,
          min(nr, width - j),
          patchBytes,
          rowBytes,
          rowBytes,
          1,
          patches + ((<usize>i) << 2),
          b + ((<usize>j) << 2),
          out + <usize>i * rowBytes + ((<usize>(group * width + j)) << 2),
          scratch,
        );
      }
    }
    unit = end;
  }
}
