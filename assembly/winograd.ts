/**
 * What Winograd's transforms share (Lavin & Gray 2015, arXiv 1509.09308): the walk over patches, and the product of each small
 * matrix with the columns and then the rows of a patch. Channels are in the lanes, so nothing is shuffled.
 *
 * Two vectors of channels at a time, their loads and stores side by side: V8 can pack such pairs into vectors of 256 bits.
 */
import { clamp, madd } from "./simd";

/**
 * The matrices, each for the vector of a column or row of a patch.
 *
 *                                          │  4  0 -5  0  1  0 │
 *              │  1  0 -1  0 │             │  0 -4 -4  1  1  0 │
 *     INPUT2 = │  0  1  1  0 │    INPUT4 = │  0  4 -4 -1  1  0 │    (`INPUT4_I16`: the same, in i16)
 *              │  0 -1  1  0 │             │  0 -2 -1  2  1  0 │
 *              │  0  1  0 -1 │             │  0  2 -1 -2  1  0 │
 *                                          │  0  4  0 -5  0  1 │
 *
 *                                           │  1  1  1  1  1  0 │                  │ 6  4  4  1  1   0 │
 *     OUTPUT2 = │  1  1  1  0 │   OUTPUT4 = │  0  1 -1  2 -2  0 │    OUTPUT4_I32 = │ 0  4 -4  2 -2   0 │
 *               │  0  1 -1 -1 │             │  0  1  1  4  4  0 │                  │ 0  4  4  4  4   0 │
 *                                           │  0  1 -1  8 -8  1 │                  │ 0  4 -4  8 -8  24 │
 *
 *     GRADIENT4 = the transpose of OUTPUT4
 */
export const INPUT2: i32 = 0;
export const INPUT4: i32 = 1;
export const INPUT4_I16: i32 = 2;
export const GRADIENT4: i32 = 3;
export const OUTPUT2: i32 = 4;
export const OUTPUT4: i32 = 5;
export const OUTPUT4_I32: i32 = 6;

/** Columns of a matrix: the side of the patch it is for. */
// @ts-ignore: decorator
@inline
function columnsOf(kind: i32): i32 {
  return kind == INPUT2 || kind == OUTPUT2 || kind == GRADIENT4 ? 4 : 6;
}

/** Rows of a matrix: the side of what comes out. */
// @ts-ignore: decorator
@inline
function rowsOf(kind: i32): i32 {
  return kind == OUTPUT2 ? 2 : kind == INPUT2 || kind == OUTPUT4 || kind == OUTPUT4_I32 ? 4 : 6;
}

/** Row `k` of a matrix times a vector. What rows have in common is written out in each: the compiler finds it. */
// @ts-ignore: decorator
@inline
function row(kind: i32, k: i32, d0: v128, d1: v128, d2: v128, d3: v128, d4: v128, d5: v128): v128 {
  if (kind == INPUT2) {
    if (k == 0) return f32x4.sub(d0, d2);
    else if (k == 1) return f32x4.add(d1, d2);
    else if (k == 2) return f32x4.sub(d2, d1);
    else return f32x4.sub(d1, d3);
  } else if (kind == INPUT4) {
    const p = madd(d2, f32x4.splat(-4), d4), q = madd(d1, f32x4.splat(-4), d3);
    const r = f32x4.sub(d4, d2), s = f32x4.sub(d3, d1);
    if (k == 0) return madd(d0, f32x4.splat(4), madd(d2, f32x4.splat(-5), d4));
    else if (k == 1) return f32x4.add(p, q);
    else if (k == 2) return f32x4.sub(p, q);
    else if (k == 3) return madd(s, f32x4.splat(2), r);
    else if (k == 4) return madd(s, f32x4.splat(-2), r);
    else return madd(d1, f32x4.splat(4), madd(d3, f32x4.splat(-5), d5));
  } else if (kind == INPUT4_I16) {
    const p = i16x8.sub(d4, i16x8.shl(d2, 2)), q = i16x8.sub(d3, i16x8.shl(d1, 2));
    const r = i16x8.sub(d4, d2), s = i16x8.shl(i16x8.sub(d3, d1), 1);
    if (k == 0) return i16x8.add(i16x8.shl(i16x8.sub(d0, d2), 2), r);
    else if (k == 1) return i16x8.add(p, q);
    else if (k == 2) return i16x8.sub(p, q);
    else if (k == 3) return i16x8.add(r, s);
    else if (k == 4) return i16x8.sub(r, s);
    else return i16x8.add(i16x8.shl(i16x8.sub(d1, d3), 2), i16x8.sub(d5, d3));
  } else if (kind == GRADIENT4) {
    const p = f32x4.add(d0, d2), q = f32x4.add(d1, d3);
    const r = madd(d2, f32x4.splat(4), d0), s = madd(d3, f32x4.splat(8), f32x4.add(d1, d1));
    if (k == 0) return d0;
    else if (k == 1) return f32x4.add(p, q);
    else if (k == 2) return f32x4.sub(p, q);
    else if (k == 3) return f32x4.add(r, s);
    else if (k == 4) return f32x4.sub(r, s);
    else return d3;
  } else if (kind == OUTPUT2) {
    if (k == 0) return f32x4.add(f32x4.add(d0, d1), d2);
    else return f32x4.sub(f32x4.sub(d1, d2), d3);
  } else if (kind == OUTPUT4_I32) {
    const p = i32x4.shl(i32x4.add(d1, d2), 2), q = i32x4.shl(i32x4.sub(d1, d2), 2);
    const r = i32x4.add(d3, d4), s = i32x4.shl(i32x4.sub(d3, d4), 1);
    if (k == 0) return i32x4.add(i32x4.add(i32x4.add(i32x4.shl(d0, 2), i32x4.shl(d0, 1)), p), r);
    else if (k == 1) return i32x4.add(q, s);
    else if (k == 2) return i32x4.add(p, i32x4.shl(r, 2));
    else return i32x4.add(i32x4.add(q, i32x4.shl(s, 2)), i32x4.add(i32x4.shl(d5, 4), i32x4.shl(d5, 3)));
  } else {
    const p = f32x4.add(d1, d2), q = f32x4.sub(d1, d2), r = f32x4.add(d3, d4), s = f32x4.sub(d3, d4);
    if (k == 0) return f32x4.add(f32x4.add(d0, p), r);
    else if (k == 1) return madd(s, f32x4.splat(2), q);
    else if (k == 2) return madd(r, f32x4.splat(4), p);
    else return f32x4.add(madd(s, f32x4.splat(8), q), d5);
  }
}

/** What a result of a transform goes through: nothing, the bounds, or the residual and the bounds. */
export const PLAIN: i32 = 0;
const CLAMPED: i32 = 1;
const ADDED: i32 = 2;
/** Nothing, and what is transformed is i8, widened to i16 as it is loaded. */
const WIDENED: i32 = 3;

/** Stores two vectors side by side. */
// @ts-ignore: decorator
@inline
function put(how: i32, a: v128, b: v128, to: usize, residual: usize, lo: v128, hi: v128): void {
  if (how == ADDED) {
    const ra = v128.load(residual), rb = v128.load(residual, 16);
    a = f32x4.add(a, ra);
    b = f32x4.add(b, rb);
  }
  v128.store(to, how == PLAIN || how == WIDENED ? a : clamp(a, lo, hi));
  v128.store(to, how == PLAIN || how == WIDENED ? b : clamp(b, lo, hi), 16);
}

/** The first or second vector of an element. */
// @ts-ignore: decorator
@inline
function get(how: i32, half: i32, at: usize): v128 {
  if (how == WIDENED) return half ? v128.load8x8_s(at, 8) : v128.load8x8_s(at);
  else return half ? v128.load(at, 16) : v128.load(at);
}

/**
 * A matrix times two vectors of which the elements are at `x0`, `x1`, …, side by side; the results at `to` and every
 * `stride` bytes on.
 */
// @ts-ignore: decorator
@inline
function transform(
  kind: i32, how: i32, x0: usize, x1: usize, x2: usize, x3: usize, x4: usize, x5: usize, to: usize, stride: usize,
  residual: usize, lo: v128, hi: v128,
): void {
  const six = columnsOf(kind) == 6;
  const rows = rowsOf(kind);
  const a0 = get(how, 0, x0), a1 = get(how, 0, x1), a2 = get(how, 0, x2), a3 = get(how, 0, x3);
  const a4 = six ? get(how, 0, x4) : a0, a5 = six ? get(how, 0, x5) : a0;
  const e0 = row(kind, 0, a0, a1, a2, a3, a4, a5), e1 = row(kind, 1, a0, a1, a2, a3, a4, a5);
  const e2 = rows > 2 ? row(kind, 2, a0, a1, a2, a3, a4, a5) : e0, e3 = rows > 2 ? row(kind, 3, a0, a1, a2, a3, a4, a5) : e0;
  const e4 = rows > 4 ? row(kind, 4, a0, a1, a2, a3, a4, a5) : e0, e5 = rows > 4 ? row(kind, 5, a0, a1, a2, a3, a4, a5) : e0;
  const b0 = get(how, 1, x0), b1 = get(how, 1, x1), b2 = get(how, 1, x2), b3 = get(how, 1, x3);
  const b4 = six ? get(how, 1, x4) : b0, b5 = six ? get(how, 1, x5) : b0;
  put(how, e0, row(kind, 0, b0, b1, b2, b3, b4, b5), to, residual, lo, hi);
  to += stride;
  residual += stride;
  put(how, e1, row(kind, 1, b0, b1, b2, b3, b4, b5), to, residual, lo, hi);
  if (rows > 2) {
    to += stride;
    residual += stride;
    put(how, e2, row(kind, 2, b0, b1, b2, b3, b4, b5), to, residual, lo, hi);
    to += stride;
    residual += stride;
    put(how, e3, row(kind, 3, b0, b1, b2, b3, b4, b5), to, residual, lo, hi);
  }
  if (rows > 4) {
    to += stride;
    put(how, e4, row(kind, 4, b0, b1, b2, b3, b4, b5), to, residual, lo, hi);
    to += stride;
    put(how, e5, row(kind, 5, b0, b1, b2, b3, b4, b5), to, residual, lo, hi);
  }
}

/** `transform` of vectors that lie `pitch` bytes apart. */
// @ts-ignore: decorator
@inline
export function transformRun(
  kind: i32, how: i32, first: usize, pitch: usize, to: usize, stride: usize, residual: usize, lo: v128, hi: v128,
): void {
  const x1 = first + pitch, x2 = x1 + pitch, x3 = x2 + pitch, x4 = x3 + pitch;
  transform(kind, how, first, x1, x2, x3, x4, x4 + pitch, to, stride, residual, lo, hi);
}

/** The table of a patch's pixels, `[columns, rows]` pointers; those outside the image point at `zeros`. */
// @ts-ignore: decorator
@inline
export function pointPatch(
  side: i32, step: i32, patch: i32, h: i32, w: i32, ty: i32, tx: i32, top: i32, left: i32, pixelBytes: usize,
  input: usize, zeros: usize, table: usize,
): void {
  const image = patch / (ty * tx);
  const y = ((patch / tx) % ty) * step - top;
  const x = (patch % tx) * step - left;
  for (let v = 0; v < side; ++v) {
    const inside = <u32>(y + v) < <u32>h;
    for (let u = 0; u < side; ++u) {
      const at = (image * h + y + v) * w + x + u;
      const pointer = inside && <u32>(x + u) < <u32>w ? input + <usize>at * pixelBytes : zeros;
      store<u32>(table + (<usize>(u * side + v) << 2), <u32>pointer);
    }
  }
}

/**
 * Transforms every patch of an image, `[patches, side², c]` f32 (or i16) at `out`.
 *
 * - `kind`: `INPUT2`, `INPUT4`, `INPUT4_I16` or `GRADIENT4`
 * - the rest as in `winograd4_transform_input_f32`
 */
// @ts-ignore: decorator
@inline
export function transformPatches(
  kind: i32, from: i32, to: i32, scratch: usize, h: i32, w: i32, c: i32, ty: i32, tx: i32, top: i32, left: i32,
  first: i32, input: usize, zeros: usize, out: usize,
): void {
  const side = columnsOf(kind), rows = rowsOf(kind);
  const step = kind == INPUT2 ? 2 : 4;
  const half = scratch + <usize>(side * side * 4);
  const how = kind == INPUT4_I16 ? WIDENED : PLAIN;
  // An i16 of the output is an i8 of the input.
  const bytes = <usize>c << (how == WIDENED ? 1 : 2);
  const shift: usize = how == WIDENED ? 1 : 0;
  const none = f32x4.splat(0);
  for (let unit = from; unit < to; ++unit) {
    pointPatch(side, step, first + unit, h, w, ty, tx, top, left, bytes >> shift, input, zeros, scratch);
    const target = out + <usize>(unit * rows * rows) * bytes;
    for (let i: usize = 0; i < bytes; i += 32) {
      const at = i >> shift;
      for (let u: usize = 0; u < <usize>side; ++u) {
        const column = scratch + u * <usize>(side * 4);
        const x4 = side == 6 ? <usize>load<u32>(column, 16) + at : 0, x5 = side == 6 ? <usize>load<u32>(column, 20) + at : 0;
        transform(
          kind, how, <usize>load<u32>(column) + at, <usize>load<u32>(column, 4) + at, <usize>load<u32>(column, 8) + at,
          <usize>load<u32>(column, 12) + at, x4, x5, half + (u << 5), <usize>(side * 32), 0, none, none,
        );
      }
      for (let v: usize = 0; v < <usize>rows; ++v) {
        const line = half + v * <usize>(side * 32);
        transformRun(kind, PLAIN, line, 32, target + v * <usize>rows * bytes + i, bytes, 0, none, none);
      }
    }
  }
}

/**
 * Transforms the products of every patch to outputs, adds the residual where there is one, and keeps them within bounds.
 *
 * - `kind`: `OUTPUT2` or `OUTPUT4`
 * - the rest as in `winograd4_transform_output_f32`
 */
// @ts-ignore: decorator
@inline
export function transformProducts(
  kind: i32, from: i32, to: i32, scratch: usize, oh: i32, ow: i32, n: i32, ty: i32, tx: i32, first: i32,
  products: usize, residual: usize, out: usize, lo: f32, hi: f32,
): void {
  const side = columnsOf(kind), o = rowsOf(kind);
  const low = f32x4.splat(lo), high = f32x4.splat(hi);
  const bytes = <usize>n << 2;
  const pitch = <usize>side * bytes;
  const end = scratch + <usize>(o * side * 32);
  for (let unit = from; unit < to; ++unit) {
    const patch = first + unit;
    const image = patch / (ty * tx);
    const y = ((patch / tx) % ty) * o;
    const x = (patch % tx) * o;
    const rows = min(o, oh - y);
    const columns = min(o, ow - x);
    const source = products + <usize>unit * <usize>side * pitch;
    const corner = <usize>((image * oh + y) * ow + x) * bytes;
    for (let i: usize = 0; i < bytes; i += 32) {
      for (let u: usize = 0; u < <usize>side; ++u) {
        transformRun(kind, PLAIN, source + u * bytes + i, pitch, scratch + (u << 5), <usize>(side * 32), 0, low, low);
      }
      for (let v = 0; v < rows; ++v) {
        const line = scratch + <usize>(v * side * 32);
        const at = corner + <usize>(v * ow) * bytes + i;
        // F(2×2) serves few layers: this is not compiled for it.
        const whole = kind == OUTPUT4 ? columns == o : false;
        if (whole && residual) transformRun(kind, ADDED, line, 32, out + at, bytes, residual + at, low, high);
        else if (whole) transformRun(kind, CLAMPED, line, 32, out + at, bytes, 0, low, high);
        else {
          // Some columns may be outside the image.
          transformRun(kind, PLAIN, line, 32, end, 32, 0, low, low);
          for (let u = 0; u < columns; ++u) {
            const pair = end + <usize>(u << 5), pixel = at + <usize>u * bytes;
            if (residual) put(ADDED, v128.load(pair), v128.load(pair, 16), out + pixel, residual + pixel, low, high);
            else put(CLAMPED, v128.load(pair), v128.load(pair, 16), out + pixel, 0, low, high);
          }
        }
      }
    }
  }
}
