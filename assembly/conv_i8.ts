/**
 * Direct convolution of NHWC int8 activations by row pointers, residual addition and requantisation in its store; with a
 * 1×1 kernel, the matrix product of linear layers too.
 *
 *     sum = bias[j] + Σ_{v,u,i} in[b, y·sh + v·dh − top, x·sw + u·dw − left, i] · w[v, u, i, j]
 *     out[b, y, x, j] = clamp(round(sum · scale[j] + residual[b, y, x, j] · rs))       or, `dequantize`, sum · scale[j]
 *
 * - `scratch`            this thread's; `TAIL_BYTES + 4 · kh · kw · mc` bytes
 * - `kind`               `DOT8`: the input is i8 in 0…127; `DOT16`: it is i16
 * - `mr nr mc`           rows and columns (8 or 16) of a register tile; output pixels of a chunk
 * - `batch h w c`        the input [batch, h, w, c]
 * - `oh ow n`            the output [batch, oh, ow, n]
 * - `kh kw sh sw dh dw`  kernel, stride, dilation
 * - `top left`           zero padding before the first row and pixel; what lies beyond the last is zero too
 * - `groups`             `c / groups` inputs and `n / groups` outputs each
 * - `dequantize`         0: the output is i8; 1: it is f32
 * - `input`              [batch, h, w, c]
 * - `panels`             [groups, ⌈n/groups/8⌉] panels as `product.ts` draws them, `kh · kw` taps of `c / groups` inputs
 * - `residual`           [batch, oh, ow, n] i8, or 0
 * - `zeros`              `c / groups` zeros: what a pointer outside the image points at
 * - `out`                [batch, oh, ow, n]
 * - `rs lo hi`           scale of the residual in units of the output's; bounds of the output
 *
 * Unit: `nr` outputs of one group over one chunk of pixels; `⌈batch·oh·ow/mc⌉ · groups · ⌈n/groups/nr⌉` of them, outputs fastest.
 *
 * Must hold: `c / groups` is a multiple of 4 (`DOT8`) or 2; `out` does not overlap `input`; it may be `residual`.
 *
 * Why: as `conv_f32`. With AVX-VNNI a step of `DOT8` does four times the products of an f32 step.
 */
import { DOT8 } from "./tile";
import { PIXELS, walk } from "./walk";

export function conv_i8(
  from: i32, to: i32, scratch: usize,
  kind: i32, mr: i32, nr: i32, mc: i32, batch: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32, kh: i32, kw: i32,
  sh: i32, sw: i32, dh: i32, dw: i32, top: i32, left: i32, groups: i32, dequantize: i32,
  input: usize, panels: usize, residual: usize, zeros: usize, out: usize,
  rs: f32, lo: f32, hi: f32,
): void {
  assert((c / groups) % 2 == 0);
  if (kind == DOT8) {
    walk<i8>(
      PIXELS, from, to, scratch, mr, nr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, groups, 0, n,
      input, panels, residual, zeros, out, rs, lo, hi, dequantize,
    );
  } else {
    walk<u8>(
      PIXELS, from, to, scratch, mr, nr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, groups, 0, n,
      input, panels, residual, zeros, out, rs, lo, hi, dequantize,
    );
  }
}
