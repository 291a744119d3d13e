/**
 * Convolution of NHWC int8 activations through small im2col blocks of i16: for the stem, whose inputs are whole bytes and
 * few channels, and for any number of channels.
 *
 *     sum = bias[j] + Σ_{v,u,i} in[b, y·sh + v − top, x·sw + u − left, i] · w[v, u, i, j]
 *     out[b, y, x, j] = clamp(round(sum · scale[j] + residual[b, y, x, j] · rs))
 *
 * - `mr mc`        rows of a register tile; output pixels of a chunk
 * - `batch h w c`  the input [batch, h, w, c]
 * - `oh ow n`      the output [batch, oh, ow, n]
 * - `kh kw sh sw`  kernel and stride
 * - `top left`     padding before the first row and pixel; what lies beyond the last is padding too
 * - `input`        [batch, h, w, c] i8
 * - `panels`       [⌈n/8⌉] panels of DOT16 as `tile_i8.ts` draws them, one tap
 * - `residual`     [batch, oh, ow, n] i8, or 0
 * - `pads`         [c] i8: what a pixel outside the image is
 * - `out`          [batch, oh, ow, n] i8
 * - `scratch`      this thread's; `TAIL_BYTES + 4 · mc + 2 · mc · q` bytes, `q` = `kh · kw · c` rounded up to even
 *
 * Unit: one panel over one chunk of pixels; `⌈batch·oh·ow/mc⌉ · ⌈n/8⌉` of them, panels fastest.
 *
 * Must hold: `out` does not overlap `input`; it may be `residual`.
 *
 * Why: pixels minus 128 fill all of i8, which DOT8 cannot take; as i16 their sums stay exact.
 */
import { DOT16, TAIL_BYTES, tiles_i8 } from "./tile_i8";

export function im2col_i8(
  from: i32,
  to: i32,
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
  pads: usize,
  out: usize,
  scratch: usize,
  rs: f32,
  lo: f32,
  hi: f32,
): void {
  const table = scratch + TAIL_BYTES;
  const patches = table + ((<usize>mc) << 2);
  const m = batch * oh * ow;
  const perChunk = (n + 7) >> 3;
  const k = (kh * kw * c + 1) & ~1;
  const rowBytes = (<usize>k) << 1;
  const panelBytes = (<usize>(k + 8)) << 3;
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
      for (let r = 0; r < rows; ++r) {
        let patch = patches + <usize>r * rowBytes;
        store<u32>(table + ((<usize>r) << 2), <u32>patch);
        // The cell that makes the depth even: its weights are zeros.
        store<i16>(patch + rowBytes - 2, 0);
        const left0 = x * sw - left;
        const before = min(kw, max(0, -left0));
        const end = max(before, min(kw, w - left0));
        for (let v = 0; v < kh; ++v) {
          const iy = y * sh + v - top;
          const isInside = <u32>iy < <u32>h;
          const blank = isInside ? before : kw;
          const source = input + <usize>((image * h + iy) * w + left0) * c;
          patch = padding(blank, c, pads, patch);
          if (isInside) {
            patch = widened((end - before) * c, source + <usize>(before * c), patch);
            patch = padding(kw - end, c, pads, patch);
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
    const at = <usize>row * n + j;
    tiles_i8(
      DOT16,
      mr,
      rows,
      1,
      k,
      min(8, n - j),
      <usize>n,
      table,
      0,
      panels + <usize>column * panelBytes,
      residual ? residual + at : 0,
      out + at,
      scratch,
      rs,
      lo,
      hi,
      0,
    );
  }
}

/** `pixels` pixels of padding as i16 at `to`; returns what is behind them. */
function padding(pixels: i32, c: i32, pads: usize, to: usize): usize {
  for (; pixels > 0; --pixels) {
    for (let i: usize = 0; i < <usize>c; ++i) {
      store<i16>(to, load<i8>(pads + i));
      to += 2;
    }
  }
  return to;
}

/** `count` i8 as i16 at `to`; returns what is behind them. */
function widened(count: i32, from: usize, to: usize): usize {
  for (; count >= 8; count -= 8) {
    v128.store(to, v128.load8x8_s(from));
    from += 8;
    to += 16;
  }
  for (; count > 0; --count) {
    store<i16>(to, load<i8>(from));
    from += 1;
    to += 2;
  }
  return to;
}
