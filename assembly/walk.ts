/**
 * The one walk of the products over their units, the one table of row pointers and the one copy of patches: what
 * `gemm_*`, `conv_*`, `im2col_*` and `conv_wgrad_f32` share.
 *
 * A unit is one panel of weights (two for a wide tile) over one chunk of `mc` rows, panels fastest: a chunk stays in L2 while all
 * panels pass over it, a panel stays in L1 while the chunk passes under it.
 */
import { headerBytes, inputShift, kindOf, multiplyRows, outputShift, weightShift } from "./product";
import { DOT8, F32, PANEL_COLUMNS, TAIL_BYTES } from "./tile";

/** Where the rows of a product come from: rows of a matrix; pixels under each kernel position; copied patches. */
export const ROWS: i32 = 0;
export const PIXELS: i32 = 1;
export const PATCHES: i32 = 2;

/** Inputs that a row of patches has: whole cells. */
// @ts-ignore: decorator
@inline
function padded(kind: i32, depth: i32): i32 {
  return kind == F32 ? depth : kind == DOT8 ? (depth + 3) & ~3 : (depth + 1) & ~1;
}

/**
 * A grouped product over units `from` to `to`.
 *
 * - `T`: the kind of product, as `kindOf` in `product.ts`
 * - `source`: `ROWS`, `PIXELS` or `PATCHES`
 * - `mr nr mc`: rows and columns of a tile, rows of a chunk
 * - `batch h w c`: the input; `ROWS`: `c` inputs of all groups in each of `ow` rows
 * - `oh ow n`: the output, `n` outputs of all groups
 * - `lda ldo`: elements from one row of the input (`ROWS`), of the output, to the next
 * - `pads`: what a pixel outside the image is: `c / groups` elements as the input has them; `PATCHES`: `c` elements
 * - `rs lo hi dequantize`: as in `product.ts`
 */
export function walk<T>(
  source: i32, from: i32, to: i32, scratch: usize, mr: i32, nr: i32, mc: i32, batch: i32, h: i32, w: i32, c: i32,
  oh: i32, ow: i32, n: i32, kh: i32, kw: i32, sh: i32, sw: i32, dh: i32, dw: i32, top: i32, left: i32, groups: i32,
  lda: i32, ldo: i32, input: usize, panels: usize, residual: usize, pads: usize, out: usize, rs: f32, lo: f32, hi: f32,
  dequantize: i32,
): void {
  const kind = kindOf<T>();
  const table = scratch + TAIL_BYTES;
  const patches = table + (<usize>mc << 2);
  const m = batch * oh * ow;
  const deep = c / groups;
  const width = n / groups;
  const across = (width + PANEL_COLUMNS - 1) / PANEL_COLUMNS;
  const perGroup = (width + nr - 1) / nr;
  const perChunk = perGroup * groups;
  const taps = source == PIXELS ? kh * kw : 1;
  const k = source == PATCHES ? padded(kind, kh * kw * c) : deep;
  const panelBytes = headerBytes(kind) + (<usize>(taps * k) << weightShift(kind));
  const tapStride: usize = source == PIXELS ? <usize>mc << 2 : 0;
  const outShift = outputShift(kind, dequantize);
  let tabled = -1;
  for (let unit = from; unit < to; ++unit) {
    const chunk = unit / perChunk;
    const column = unit - chunk * perChunk;
    const group = column / perGroup;
    const j = (column - group * perGroup) * nr;
    const row = chunk * mc;
    const rows = min(mc, m - row);
    const key = chunk * groups + group;
    if (key != tabled) {
      tabled = key;
      const base = input + (<usize>(group * deep) << inputShift(kind));
      if (source == ROWS) {
        pointRows(rows, base + (<usize>row * lda << inputShift(kind)), <usize>lda << inputShift(kind), table);
      } else if (source == PIXELS) {
        pointPixels(inputShift(kind), row, rows, h, w, c, oh, ow, kh, kw, sh, sw, dh, dw, top, left, base, pads, table, tapStride);
      } else {
        const rowBytes = <usize>k << inputShift(kind);
        if (isFloat<T>()) copyPatches<f32>(row, rows, h, w, c, oh, ow, c, 0, kh - 1, kw, sh, sw, 1, 1, top, left, base, pads, patches, rowBytes);
        else if (isSigned<T>()) copyPatches<i8>(row, rows, h, w, c, oh, ow, c, 0, kh - 1, kw, sh, sw, 1, 1, top, left, base, pads, patches, rowBytes);
        else copyPatches<i16>(row, rows, h, w, c, oh, ow, c, 0, kh - 1, kw, sh, sw, 1, 1, top, left, base, pads, patches, rowBytes);
        pointRows(rows, patches, rowBytes, table);
      }
    }
    const at = <usize>row * ldo + group * width + j;
    multiplyRows(
      kind, mr, rows, taps, k, min(nr, width - j), panelBytes, <usize>ldo << outShift, table, tapStride,
      panels + <usize>(group * across + j / PANEL_COLUMNS) * panelBytes, residual ? residual + (at << outShift) : 0,
      out + (at << outShift), scratch, rs, lo, hi, dequantize,
    );
  }
}

/** The table of rows that lie `stride` bytes apart. */
// @ts-ignore: decorator
@inline
function pointRows(rows: i32, first: usize, stride: usize, table: usize): void {
  for (let r = 0; r < rows; ++r) {
    store<u32>(table, <u32>first);
    table += 4;
    first += stride;
  }
}

/** The table of the pixels under each kernel position, for `rows` output pixels from `row` on. */
function pointPixels(
  shift: usize, row: i32, rows: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32,
  dh: i32, dw: i32, top: i32, left: i32, base: usize, pads: usize, table: usize, tapStride: usize,
): void {
  let image = row / (oh * ow);
  let y = (row - image * oh * ow) / ow;
  let x = row - (image * oh + y) * ow;
  for (let r = 0; r < rows; ++r) {
    let slot = table + (<usize>r << 2);
    for (let v = 0; v < kh; ++v) {
      const iy = y * sh + v * dh - top;
      const rowInside = <u32>iy < <u32>h;
      const line = (image * h + iy) * w;
      for (let u = 0; u < kw; ++u) {
        const ix = x * sw + u * dw - left;
        const inside = rowInside && <u32>ix < <u32>w;
        store<u32>(slot, <u32>(inside ? base + (<usize>(line + ix) * c << shift) : pads));
        slot += tapStride;
      }
    }
    if (++x == ow) { x = 0; if (++y == oh) { y = 0; ++image; } }
  }
}

/**
 * Copies what lies under the kernel, for `rows` output pixels from `row` on: `[rows, kh, kw, deep]` of `T` at `patches`,
 * `rowBytes` apart. The input is f32 where `T` is f32, and otherwise i8, widened where `T` is i16. The bytes that make a row
 * whole cells are 0.
 *
 * - `first last`: rows of the kernel to copy
 * - `deep`: channels to copy, from `base` on
 */
export function copyPatches<T>(
  row: i32, rows: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32, deep: i32, first: i32, last: i32, kw: i32, sh: i32,
  sw: i32, dh: i32, dw: i32, top: i32, left: i32, base: usize, pads: usize, patches: usize, rowBytes: usize,
): void {
  const shift: usize = isFloat<T>() ? 2 : 0;
  // Neighbouring pixels are one run of memory.
  const joined = deep == c && dw == 1;
  let image = row / (oh * ow);
  let y = (row - image * oh * ow) / ow;
  let x = row - (image * oh + y) * ow;
  for (let r = 0; r < rows; ++r) {
    let to = patches + <usize>(first * kw * deep) * sizeof<T>();
    patches += rowBytes;
    // Written over below where the depth is whole cells.
    if (!isFloat<T>()) store<i32>(patches - 4, 0);
    const x0 = x * sw - left;
    const before = min(kw, max(0, -x0));
    const end = max(before, min(kw, w - x0));
    for (let v = first; v <= last; ++v) {
      const iy = y * sh + v * dh - top;
      const line = base + (<usize>(((image * h + iy) * w + x0) * c) << shift);
      if (<u32>iy >= <u32>h) {
        to = padding<T>(kw, deep, pads, to);
      } else if (joined) {
        to = padding<T>(before, c, pads, to);
        to = inside<T>((end - before) * c, line + (<usize>(before * c) << shift), to);
        to = padding<T>(kw - end, c, pads, to);
      } else {
        for (let u = 0; u < kw; ++u) {
          if (<u32>(x0 + u * dw) < <u32>w) to = inside<T>(deep, line + (<usize>(u * dw * c) << shift), to);
          else to = padding<T>(1, deep, pads, to);
        }
      }
    }
    if (++x == ow) { x = 0; if (++y == oh) { y = 0; ++image; } }
  }
}

/** `pixels` pixels of padding at `to`; returns what is behind them. */
function padding<T>(pixels: i32, c: i32, pads: usize, to: usize): usize {
  for (; pixels > 0; --pixels) to = inside<T>(c, pads, to);
  return to;
}

/** `count` elements of the input at `to`; returns what is behind them. */
function inside<T>(count: i32, from: usize, to: usize): usize {
  if (isFloat<T>()) {
    for (; count >= 4; count -= 4) { v128.store(to, v128.load(from)); from += 16; to += 16; }
    for (; count > 0; --count) { store<f32>(to, load<f32>(from)); from += 4; to += 4; }
  } else {
    for (; count >= 8; count -= 8) {
      if (sizeof<T>() == 1) store<i64>(to, load<i64>(from));
      else v128.store(to, v128.load8x8_s(from));
      from += 8;
      to += 8 * sizeof<T>();
    }
    for (; count > 0; --count) { store<T>(to, <T>load<i8>(from)); from += 1; to += sizeof<T>(); }
  }
  return to;
}
