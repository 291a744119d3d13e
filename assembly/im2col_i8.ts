/**
 * Convolution of NHWC int8 activations through small im2col blocks: for the stem, which has few channels, and for any
 * number of channels.
 *
 *     sum = bias[j] + Σ_{v,u,i} in[b, y·sh + v − top, x·sw + u − left, i] · w[v, u, i, j]
 *     out[b, y, x, j] = clamp(round(sum · scale[j] + residual[b, y, x, j] · rs))
 *
 * - `scratch`      this thread's; `TAIL_BYTES + 4 · mc + e · mc · k` bytes: `e` bytes an element (1 or 2), `k` = `kh · kw · c` rounded up
 *                  to whole cells (4 or 2)
 * - `kind`         `DOT8`: the input is in 0…127 and is copied; `DOT16`: it is any i8 and is widened to i16
 * - `mr nr mc`     rows and columns (8 or 16) of a register tile; output pixels of a chunk
 * - `batch h w c`  the input [batch, h, w, c]
 * - `oh ow n`      the output [batch, oh, ow, n]
 * - `kh kw sh sw`  kernel and stride
 * - `top left`     padding before the first row and pixel; what lies beyond the last is padding too
 * - `input`        [batch, h, w, c] i8
 * - `panels`       [⌈n/8⌉] panels as `product.ts` draws them, one tap
 * - `residual`     [batch, oh, ow, n] i8, or 0
 * - `pads`         [c] i8: what a pixel outside the image is
 * - `out`          [batch, oh, ow, n] i8
 *
 * Unit: `nr` outputs over one chunk of pixels; `⌈batch·oh·ow/mc⌉ · ⌈n/nr⌉` of them, outputs fastest.
 *
 * Must hold: `out` does not overlap `input`; it may be `residual`.
 *
 * Why: a pointer for every pixel of a 7×7 window costs as much as its three products.
 */
import { DOT8 } from "./tile";
import { PATCHES, walk } from "./walk";

export function im2col_i8(
  from: i32, to: i32, scratch: usize,
  kind: i32, mr: i32, nr: i32, mc: i32, batch: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32, kh: i32, kw: i32,
  sh: i32, sw: i32, top: i32, left: i32,
  input: usize, panels: usize, residual: usize, pads: usize, out: usize,
  rs: f32, lo: f32, hi: f32,
): void {
  if (kind == DOT8) {
    walk<i8>(
      PATCHES, from, to, scratch, mr, nr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, 1, 1, top, left, 1, 0, n,
      input, panels, residual, pads, out, rs, lo, hi, 0,
    );
  } else {
    walk<u8>(
      PATCHES, from, to, scratch, mr, nr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, 1, 1, top, left, 1, 0, n,
      input, panels, residual, pads, out, rs, lo, hi, 0,
    );
  }
}
