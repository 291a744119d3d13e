/**
 * Direct convolution (cross-correlation) of NHWC activations by row pointers: no im2col matrix is ever made.
 *
 *     out[b, y, x, j] = clamp(bias[j] + Σ_{v,u,i} in[b, y·sh + v·dh − top, x·sw + u·dw − left, i] · w[v, u, i, j] + residual[b, y, x, j])
 *
 * - `scratch`            this thread's; `TAIL_BYTES + 4 · kh · kw · mc` bytes
 * - `mr mc`              rows of a register tile; output pixels of a chunk
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
 * Unit: one panel over one chunk of pixels; `⌈batch·oh·ow/mc⌉ · groups · ⌈n/groups/8⌉` of them, panels fastest.
 *
 * Must hold: `out` does not overlap `input`; it may be `residual`.
 *
 * Why: an image's rows are read in place, and the table is made once a chunk and group. Wants `c / groups` of 16 or
 * more; below that (the stem) the pointers cost as much as the products and `im2col_f32` serves.
 */
import { TAIL_BYTES, tiles_f32 } from "./tile_f32";

export function conv_f32(
  from: i32,
  to: i32,
  scratch: usize,
  mr: i32,
  mc: i32,
  batch: i32,
  h: i32,
  w: i32,
  c: i32,
  oh: i32,
  ow: i32,
  n: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  dh: i32,
  dw: i32,
  top: i32,
  left: i32,
  groups: i32,
  input: usize,
  panels: usize,
  residual: usize,
  zeros: usize,
  out: usize,
  lo: f32,
  hi: f32,
): void {
  const table = scratch + TAIL_BYTES;
  const m = batch * oh * ow;
  const k = c / groups;
  const width = n / groups;
  const perGroup = (width + 7) >> 3;
  const perChunk = perGroup * groups;
  const taps = kh * kw;
  const panelBytes = (<usize>(taps * k + 1)) << 5;
  const tapStride = (<usize>mc) << 2;
  const stride = (<usize>n) << 2;
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
      const base = input + ((<usize>(group * k)) << 2);
      let image = row / (oh * ow);
      let y = (row - image * oh * ow) / ow;
      let x = row - (image * oh + y) * ow;
      for (let r = 0; r < rows; ++r) {
        let slot = table + ((<usize>r) << 2);
        for (let v = 0; v < kh; ++v) {
          const iy = y * sh + v * dh - top;
          const rowInside = <u32>iy < <u32>h;
          const line = (image * h + iy) * w;
          for (let u = 0; u < kw; ++u) {
            const ix = x * sw + u * dw - left;
            const pointer = rowInside && <u32>ix < <u32>w ? base + ((<usize>(line + ix) * c) << 2) : zeros;
            store<u32>(slot, <u32>pointer);
            slot += tapStride;
          }
        }
        if (++x == ow) {
          x = 0;
          if (++y == oh) {
            y = 0;
            ++image;
          }
        }
      }
    }
    const at = (<usize>row * n + group * width + j) << 2;
    tiles_f32(
      mr,
      rows,
      taps,
      k,
      min(8, width - j),
      stride,
      table,
      tapStride,
      panels + <usize>column * panelBytes,
      residual ? residual + at : 0,
      out + at,
      scratch,
      lo,
      hi,
    );
  }
}
