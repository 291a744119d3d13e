/**
 * Colours of one row, planes of bytes to planes of bytes, 16 pixels at a time (the last vector reads and writes beyond `count`).
 */

// @ts-ignore: decorator
@inline
function low(row: usize): v128 {
  return v128.load8x8_u(row);
}

/**
 * Y, Cb and Cr → R, G and B as libjpeg's tables of 16 bits (jdcolor.c), bit for bit:
 *
 *     R = Y + (91881·Cr + 2¹⁵ >> 16)    G = Y + (−22554·Cb − 46802·Cr + 2¹⁵ >> 16)    B = Y + (116130·Cb + 2¹⁵ >> 16)
 *
 * Cb and Cr less 128. What is beyond the whole multiples of Cb and Cr is a rounding product of 16 bits: 13175 and −7471 (of 2¹⁵)
 * give the tables' results for all 256 values.
 */
export function ycc_to_rgb(y: usize, cb: usize, cr: usize, count: i32, r: usize, g: usize, b: usize): void {
  const end = y + count;
  const middle = i16x8.splat(128);
  const weights = i32x4.splat((-22554 & 0xffff) | (18734 << 16));
  const half = i32x4.splat(1 << 15);
  const toRed = i16x8.splat(13175), toBlue = i16x8.splat(-7471);
  for (; y < end; y += 16) {
    const y0 = low(y), y1 = low(y + 8);
    const u0 = i16x8.sub(low(cb), middle), u1 = i16x8.sub(low(cb + 8), middle);
    const v0 = i16x8.sub(low(cr), middle), v1 = i16x8.sub(low(cr + 8), middle);
    const r0 = i16x8.add(i16x8.add(y0, v0), i16x8.q15mulr_sat_s(v0, toRed));
    const r1 = i16x8.add(i16x8.add(y1, v1), i16x8.q15mulr_sat_s(v1, toRed));
    v128.store(r, i8x16.narrow_i16x8_u(r0, r1));
    const b0 = i16x8.add(i16x8.add(y0, i16x8.add(u0, u0)), i16x8.q15mulr_sat_s(u0, toBlue));
    const b1 = i16x8.add(i16x8.add(y1, i16x8.add(u1, u1)), i16x8.q15mulr_sat_s(u1, toBlue));
    v128.store(b, i8x16.narrow_i16x8_u(b0, b1));
    const g0 = i16x8.add(i16x8.sub(y0, v0), green(u0, v0, weights, half));
    const g1 = i16x8.add(i16x8.sub(y1, v1), green(u1, v1, weights, half));
    v128.store(g, i8x16.narrow_i16x8_u(g0, g1));
    cb += 16;
    cr += 16;
    r += 16;
    g += 16;
    b += 16;
  }
}

// @ts-ignore: decorator
@inline
function green(u: v128, v: v128, weights: v128, half: v128): v128 {
  const lower = i32x4.dot_i16x8_s(v128.shuffle<i16>(u, v, 0, 8, 1, 9, 2, 10, 3, 11), weights);
  const upper = i32x4.dot_i16x8_s(v128.shuffle<i16>(u, v, 4, 12, 5, 13, 6, 14, 7, 15), weights);
  return i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(lower, half), 16), i32x4.shr_s(i32x4.add(upper, half), 16));
}

/**
 * One colour under black, as Pillow's `convert("RGB")` of CMYK: `out = k − (x·k + 128 + (x·k + 128 >> 8) >> 8)`.
 *
 * `x` is the complement of the stored ink when `inverted` is 255, and as stored when it is 0. `out` may be `x`.
 */
export function under_black(x: usize, k: usize, inverted: i32, count: i32, out: usize): void {
  const end = x + count;
  const flip = i8x16.splat(<i8>inverted);
  for (; x < end; x += 16) {
    const ink = v128.xor(v128.load(x), flip);
    const black = v128.load(k);
    const lower = scaled(i16x8.extend_low_i8x16_u(ink), i16x8.extend_low_i8x16_u(black));
    const upper = scaled(i16x8.extend_high_i8x16_u(ink), i16x8.extend_high_i8x16_u(black));
    v128.store(out, i8x16.sub_sat_u(black, i8x16.narrow_i16x8_u(lower, upper)));
    k += 16;
    out += 16;
  }
}

/** `x·k / 255`, rounded, of bytes in words. */
// @ts-ignore: decorator
@inline
function scaled(x: v128, k: v128): v128 {
  const product = i16x8.add(i16x8.mul(x, k), i16x8.splat(128));
  return i16x8.shr_u(i16x8.add(product, i16x8.shr_u(product, 8)), 8);
}

/** Luma of R, G and B, as `luma_u8`. */
export function luma(r: usize, g: usize, b: usize, count: i32, out: usize): void {
  for (let i = 0; i < count; ++i) {
    const sum = 19595 * <i32>load<u8>(r + i) + 38470 * <i32>load<u8>(g + i) + 7471 * <i32>load<u8>(b + i);
    store<u8>(out + i, (sum + (1 << 15)) >> 16);
  }
}

/** Planes → RGBA, alpha 255. */
export function interleave(r: usize, g: usize, b: usize, count: i32, out: usize): void {
  const end = r + count;
  const alpha = i8x16.splat(-1);
  for (; r < end; r += 16) {
    const red = v128.load(r), green = v128.load(g), blue = v128.load(b);
    const rg0 = v128.shuffle<i8>(red, green, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const rg1 = v128.shuffle<i8>(red, green, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    const ba0 = v128.shuffle<i8>(blue, alpha, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const ba1 = v128.shuffle<i8>(blue, alpha, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    v128.store(out, v128.shuffle<i16>(rg0, ba0, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(out, v128.shuffle<i16>(rg0, ba0, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    v128.store(out, v128.shuffle<i16>(rg1, ba1, 0, 8, 1, 9, 2, 10, 3, 11), 32);
    v128.store(out, v128.shuffle<i16>(rg1, ba1, 4, 12, 5, 13, 6, 14, 7, 15), 48);
    g += 16;
    b += 16;
    out += 64;
  }
}
