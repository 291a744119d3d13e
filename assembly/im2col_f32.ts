/**
 * Convolution of an image with few channels: im2col a chunk at a time into this thread's scratch, then the product.
 *
 *     out[b, y, x, j] = clamp(bias[j] + Σ_q patch[b, y, x][q] · w[q, j] + residual[b, y, x, j]),  q = (v · kw + u) · c + i
 *
 * - `scratch`      this thread's; `TAIL_BYTES + 4 · mc · (1 + kh · kw · c)` bytes
 * - `mr mc`        rows of a register tile; output pixels of a chunk
 * - `batch h w c`  the input [batch, h, w, c]
 * - `oh ow n`      the output [batch, oh, ow, n]
 * - `kh kw sh sw`  kernel and stride; no dilation, no groups
 * - `top left`     zero padding before the first row and pixel; what lies beyond the last is zero too
 * - `input`        [batch, h, w, c] f32
 * - `panels`       [⌈n/8⌉] panels of one tap with `kh · kw · c` cells (the same bytes as `kh · kw` taps of `c`)
 * - `residual`     [batch, oh, ow, n] f32, or 0
 * - `out`          [batch, oh, ow, n] f32
 *
 * Unit: one panel over one chunk of pixels; `⌈batch·oh·ow/mc⌉ · ⌈n/8⌉` of them, panels fastest.
 *
 * Must hold: `out` does not overlap `input`; it may be `residual`.
 *
 * Why: a row of the kernel is `kw · c` neighbouring f32 in NHWC, 21 in the ImageNet stem, so a patch is seven short copies.
 */
import { TAIL_BYTES, tiles_f32 } from "./tile_f32";

export function im2col_f32(
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
  top: i32,
  left: i32,
  input: usize,
  panels: usize,
  residual: usize,
  out: usize,
  lo: f32,
  hi: f32,
): void {
  const table = scratch + TAIL_BYTES;
  const patches = table + ((<usize>mc) << 2);
  const m = batch * oh * ow;
  const perChunk = (n + 7) >> 3;
  const k = kh * kw * c;
  const panelBytes = (<usize>(k + 1)) << 5;
  const stride = (<usize>n) << 2;
  let tabled = -1;
  for (let unit = from; unit < to; ++unit) {
    const chunk = unit / perChunk;
    const column = unit - chunk * perChunk;
    const j = column << 3;
    const row = chunk * mc;
    const rows = min(mc, m - row);
    if (chunk != tabled) {
      tabled = chunk;
      let image = row / (oh * ow);
      let y = (row - image * oh * ow) / ow;
      let x = row - (image * oh + y) * ow;
      let patch = patches;
      for (let r = 0; r < rows; ++r) {
        store<u32>(table + ((<usize>r) << 2), <u32>patch);
        const left0 = x * sw - left;
        const before = max(0, -left0) * c;
        const inside = max(0, min(kw, w - left0)) * c;
        for (let v = 0; v < kh; ++v) {
          const iy = y * sh + v - top;
          const end = <u32>iy < <u32>h ? inside : 0;
          const source = input + ((<usize>((image * h + iy) * w + left0) * c) << 2);
          copyRun(kw * c, before, end, source, patch);
          patch += (<usize>(kw * c)) << 2;
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
    const at = (<usize>row * n + j) << 2;
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

/** `to[i] = from <= i < end ? source[i] : 0` for `i` in `[0, length)`. */
function copyRun(length: i32, from: i32, end: i32, source: usize, to: usize): void {
  let i = 0;
  const blank = min(from, length);
  for (; i < blank; ++i) store<f32>(to + ((<usize>i) << 2), 0);
  for (; i + 4 <= end; i += 4) v128.store(to + ((<usize>i) << 2), v128.load(source + ((<usize>i) << 2)));
  for (; i < end; ++i) store<f32>(to + ((<usize>i) << 2), load<f32>(source + ((<usize>i) << 2)));
  for (; i < length; ++i) store<f32>(to + ((<usize>i) << 2), 0);
}
