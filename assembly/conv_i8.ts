/**
 * Direct convolution of NHWC int8 activations by row pointers, residual addition and requantisation in its store; with a
 * 1×1 kernel, the matrix product of linear layers too.
 *
 *     sum = bias[j] + Σ_{v,u,i} in[b, y·sh + v·dh − top, x·sw + u·dw − left, i] · w[v, u, i, j]
 *     out[b, y, x, j] = clamp(round(sum · scale[j] + residual[b, y, x, j] · rs))       or, `wide`, sum · scale[j]
 *
 * - `scratch`            this thread's; `TAIL_BYTES + 4 · kh · kw · mc` bytes
 * - `kind`               `DOT8`: the input is i8 in 0…127; `DOT16`: it is i16
 * - `mr mc`              rows of a register tile; output pixels of a chunk
 * - `batch h w c`        the input [batch, h, w, c]
 * - `oh ow n`            the output [batch, oh, ow, n]
 * - `kh kw sh sw dh dw`  kernel, stride, dilation
 * - `top left`           zero padding before the first row and pixel; what lies beyond the last is zero too
 * - `groups`             `c / groups` inputs and `n / groups` outputs each
 * - `wide`               0: the output is i8; 1: it is f32
 * - `input`              [batch, h, w, c]
 * - `panels`             [groups, ⌈n/groups/8⌉] panels as `tile_i8.ts` draws them, `kh · kw` taps of `c / groups` inputs
 * - `residual`           [batch, oh, ow, n] i8, or 0
 * - `zeros`              `c / groups` zeros: what a pointer outside the image points at
 * - `out`                [batch, oh, ow, n]
 * - `rs lo hi`           scale of the residual in units of the output's; bounds of the output
 *
 * Unit: one panel over one chunk of pixels; `⌈batch·oh·ow/mc⌉ · groups · ⌈n/groups/8⌉` of them, panels fastest.
 *
 * Must hold: `c / groups` is a multiple of 4 (`DOT8`) or 2; `out` does not overlap `input`; it may be `residual`.
 *
 * Why: as `conv_f32`. With AVX-VNNI a step of `DOT8` does four times the products of an f32 step.
 */
import { DOT8, TAIL_BYTES, tiles_i8 } from "./tile_i8";

export function conv_i8(
  from: i32,
  to: i32,
  scratch: usize,
  kind: i32,
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
  wide: i32,
  input: usize,
  panels: usize,
  residual: usize,
  zeros: usize,
  out: usize,
  rs: f32,
  lo: f32,
  hi: f32,
): void {
  assert((c / groups) % 2 == 0);
  const table = scratch + TAIL_BYTES;
  const m = batch * oh * ow;
  const k = c / groups;
  const width = n / groups;
  const perGroup = (width + 7) >> 3;
  const perChunk = perGroup * groups;
  const taps = kh * kw;
  const panelBytes = (<usize>(taps * k + 8)) << 3;
  const tapStride = (<usize>mc) << 2;
  const inShift: usize = kind == DOT8 ? 0 : 1;
  const outShift: usize = wide ? 2 : 0;
  const stride = (<usize>n) << outShift;
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
      const base = input + ((<usize>(group * k)) << inShift);
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
            const inside = rowInside && <u32>ix < <u32>w;
            store<u32>(slot, <u32>(inside ? base + ((<usize>(line + ix) * c) << inShift) : zeros));
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
    const at = <usize>row * n + group * width + j;
    tiles_i8(
      kind,
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
      out + (at << outShift),
      scratch,
      rs,
      lo,
      hi,
      wide,
    );
  }
}
