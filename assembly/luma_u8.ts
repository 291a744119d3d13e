/**
 * Colours to gray, as Pillow's `convert("L")` computes it (ITU-R BT.601 luma in 16 bits): bit for bit its result.
 *
 *     out[p, 0…2] = (19595·R + 38470·G + 7471·B + 2¹⁵) >> 16
 *
 * - `w`      pixels of a row
 * - `input`  [rows, w, 4] u8 RGBA
 * - `out`    [rows, w, 4] u8; the fourth byte is 0
 *
 * Unit: one row.
 *
 * Must hold: `out` is `input`, or does not overlap it.
 *
 * Why: four pixels at once; the sums, below 2²⁴, stand in the lanes of their pixels.
 */
export function luma_u8(from: i32, to: i32, w: i32, input: usize, out: usize): void {
  const byte = i32x4.splat(255);
  const half = i32x4.splat(1 << 15);
  let at = (<usize>from * w) << 2;
  const end = (<usize>to * w) << 2;
  for (; at + 16 <= end; at += 16) {
    const pixels = v128.load(input + at);
    v128.store(out + at, luma(pixels, byte, half));
  }
  for (; at < end; at += 4) {
    v128.store_lane<u32>(out + at, luma(v128.load32_zero(input + at), byte, half), 0);
  }
}

/** Gray of four pixels, in their three lower bytes. */
// @ts-ignore: decorator
@inline
function luma(pixels: v128, byte: v128, half: v128): v128 {
  const red = i32x4.mul(v128.and(pixels, byte), i32x4.splat(19595));
  const green = i32x4.mul(v128.and(i32x4.shr_u(pixels, 8), byte), i32x4.splat(38470));
  const blue = i32x4.mul(v128.and(i32x4.shr_u(pixels, 16), byte), i32x4.splat(7471));
  const gray = i32x4.shr_u(i32x4.add(i32x4.add(red, green), i32x4.add(blue, half)), 16);
  return i32x4.mul(gray, i32x4.splat(0x10101));
}
