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
 * - `mr mc`        rows of a register tile; output pixels of a chunk
 * - `batch h w c`  the input [batch, h, w, c]
 * - `oh ow n`      the output [batch, oh, ow, n]
 * - `kh kw sh sw`  kernel and stride
 * - `top left`     padding before the first row and pixel; what lies beyond the last is padding too
 * - `input`        [batch, h, w, c] i8
 * - `panels`       [⌈n/8⌉] panels as `tile_i8.ts` draws them, one tap
 * - `residual`     [batch, oh, ow, n] i8, or 0
 * - `pads`         [c] i8: what a pixel outside the image is
 * - `out`          [batch, oh, ow, n] i8
 *
 * Unit: one panel over one chunk of pixels; `⌈batch·oh·ow/mc⌉ · ⌈n/8⌉` of them, panels fastest.
 *
 * Must hold: `out` does not overlap `input`; it may be `residual`.
 *
 * Why: a pointer for every pixel of a 7×7 window costs as much as its three products.
 */
import { DOT8, TAIL_BYTES, tiles_i8 } from "./tile_i8";

export function im2col_i8(
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
  top: i32,
  left: i32,
  input: usize,
  panels: usize,
  residual: usize,
  pads: usize,
  out: usize,
  rs: f32,
  lo: f32,
  hi: f32,
): void {
  const table = scratch + TAIL_BYTES;
  const patches = table + ((<usize>mc) << 2);
  const m = batch * oh * ow;
  const perChunk = (n + 7) >> 3;
  const depth = kh * kw * c;
  const k = kind == DOT8 ? (depth + 3) & ~3 : (depth + 1) & ~1;
  const shift: usize = kind == DOT8 ? 0 : 1;
  const rowBytes = (<usize>k) << shift;
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
        // What makes the depth whole cells: its weights are zeros. The rest is written over below.
        store<i32>(patch + rowBytes - 4, 0);
        const left0 = x * sw - left;
        const before = min(kw, max(0, -left0));
        const end = max(before, min(kw, w - left0));
        for (let v = 0; v < kh; ++v) {
          const iy = y * sh + v - top;
          const isInside = <u32>iy < <u32>h;
          const blank = isInside ? before : kw;
          const source = input + <usize>((image * h + iy) * w + left0) * c;
          patch = padding(kind, blank, c, pads, patch);
          if (isInside) {
            patch = inside(kind, (end - before) * c, source + <usize>(before * c), patch);
            patch = padding(kind, kw - end, c, pads, patch);
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
      kind,
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

/** `pixels` pixels of padding at `to`; returns what is behind them. */
function padding(kind: i32, pixels: i32, c: i32, pads: usize, to: usize): usize {
  for (; pixels > 0; --pixels) {
    for (let i: usize = 0; i < <usize>c; ++i) {
      if (kind == DOT8) {
        store<i8>(to, load<i8>(pads + i));
        to += 1;
      } else {
        store<i16>(to, load<i8>(pads + i));
        to += 2;
      }
    }
  }
  return to;
}

/** `count` elements of the image at `to`; returns what is behind them. */
function inside(kind: i32, count: i32, from: usize, to: usize): usize {
  if (kind == DOT8) {
    for (; count >= 8; count -= 8) {
      store<i64>(to, load<i64>(from));
      from += 8;
      to += 8;
    }
    for (; count > 0; --count) {
      store<i8>(to, load<i8>(from));
      from += 1;
      to += 1;
    }
    return to;
  }
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
