/**
 * Direct convolution (cross-correlation) of NHWC activations by row pointers: no im2col matrix is ever made.
 *
 *     out[b, y, x, j] = clamp(bias[j] + Σ_{v,u,i} in[b, y·sh + v·dh − top, x·sw + u·dw − left, i] · w[v, u, i, j] + residual[b, y, x, j])
 *
 * - `scratch`            this thread's; `TAIL_BYTES + 4 · kh · kw · mc` bytes
 * - `mr nr mc`           rows and columns (8 or 16) of a register tile; output pixels of a chunk
 * - `batch h w c`        the input [batch, h, w, c]
 * - `oh ow n`            the output [batch, oh, ow, n]
 * - `kh kw sh sw dh dw`  kernel, stride, dilation
 * - `top left`           zero padding before the first row and pixel; what lies beyond the last is zero too
 * - `groups`             `c / groups` inputs and `n / groups` outputs each
 * - `input`              [batch, h, w, c] f32
 * - `panels`             [groups, ⌈n/groups/8⌉] panels, `kh · kw` taps of `c / groups` cells
 * - `residual`           [batch, oh, ow, n] f32, or 0
 * - `zeros`              `c / groups` f32 zeros: what a pointer outside the image points at
 * - `out`                [batch, oh, ow, n] f32
 *
 * Unit: `nr` outputs of one group over one chunk of pixels; `⌈batch·oh·ow/mc⌉ · groups · ⌈n/groups/nr⌉` of them, outputs fastest.
 *
 * Must hold: `out` does not overlap `input`; it may be `residual`.
 *
 * Why: an image's rows are read in place, and the table is made once a chunk and group. Wants `c / groups` of 16 or
 * more; below that (the stem) the pointers cost as much as the products and `im2col_f32` serves.
 */
import { PIXELS, walk } from "./walk";

export function conv_f32(
  from: i32, to: i32, scratch: usize,
  mr: i32, nr: i32, mc: i32, batch: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32, kh: i32, kw: i32, sh: i32,
  sw: i32, dh: i32, dw: i32, top: i32, left: i32, groups: i32,
  input: usize, panels: usize, residual: usize, zeros: usize, out: usize,
  lo: f32, hi: f32,
): void {
  walk<f32>(
    PIXELS, from, to, scratch, mr, nr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, groups, 0, n,
    input, panels, residual, zeros, out, 0, lo, hi, 0,
  );
}
