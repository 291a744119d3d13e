/**
 * Convolution of an image with few channels: im2col a chunk at a time into this thread's scratch, then the product.
 *
 *     out[b, y, x, j] = clamp(bias[j] + Σ_q patch[b, y, x][q] · w[q, j] + residual[b, y, x, j]),  q = (v · kw + u) · c + i
 *
 * - `scratch`      this thread's; `TAIL_BYTES + 4 · mc · (1 + kh · kw · c)` bytes
 * - `mr nr mc`     rows and columns (8 or 16) of a register tile; output pixels of a chunk
 * - `batch h w c`  the input [batch, h, w, c]
 * - `oh ow n`      the output [batch, oh, ow, n]
 * - `kh kw sh sw`  kernel and stride; no dilation, no groups
 * - `top left`     padding before the first row and pixel; what lies beyond the last is padding too
 * - `input`        [batch, h, w, c] f32
 * - `panels`       [⌈n/8⌉] panels of one tap with `kh · kw · c` cells (the same bytes as `kh · kw` taps of `c`)
 * - `residual`     [batch, oh, ow, n] f32, or 0
 * - `pads`         [c] f32: what a pixel outside the image is
 * - `out`          [batch, oh, ow, n] f32
 *
 * Unit: `nr` outputs over one chunk of pixels; `⌈batch·oh·ow/mc⌉ · ⌈n/nr⌉` of them, outputs fastest.
 *
 * Must hold: `out` does not overlap `input`; it may be `residual`.
 *
 * Why: a row of the kernel is `kw · c` neighbouring f32 in NHWC, 21 in the ImageNet stem, so a patch is seven short copies.
 */
import { PATCHES, walk } from "./walk";

export function im2col_f32(
  from: i32, to: i32, scratch: usize,
  mr: i32, nr: i32, mc: i32, batch: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32, kh: i32, kw: i32, sh: i32,
  sw: i32, top: i32, left: i32,
  input: usize, panels: usize, residual: usize, pads: usize, out: usize,
  lo: f32, hi: f32,
): void {
  walk<f32>(
    PATCHES, from, to, scratch, mr, nr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, 1, 1, top, left, 1, 0, n,
    input, panels, residual, pads, out, 0, lo, hi, 0,
  );
}
