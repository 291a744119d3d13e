/**
 * Second pass of an antialiased resize, as Pillow does it (`ImagingResampleVertical_8bpc`): bit for bit its result.
 *
 *     out[y, x, i] = clip8((2²¹ + Σ_j in[start[y] + j, x, i] · k[y, j]) >> 22)
 *
 * - `w`       pixels of a row
 * - `ksize`   most taps of one output row
 * - `input`   [rows, w, 4] u8 RGBA
 * - `bounds`  [units, 2] i32: first input row and number of taps
 * - `taps`    [units, ksize] i32: weights times 2²²
 * - `out`     [units, w, 4] u8 RGBA
 *
 * Unit: one output row.
 *
 * Must hold: taps lie inside the image; `out` does not overlap the rest.
 *
 * Why: the four channels of a pixel are the four lanes.
 */
export function resize_u8_vertical(
  from: i32, to: i32,
  w: i32, ksize: i32,
  input: usize, bounds: usize, taps: usize, out: usize,
): void {
  const line = (<usize>w) << 2;
  for (let unit = from; unit < to; ++unit) {
    const bound = bounds + ((<usize>unit) << 3);
    const first = input + <usize>load<i32>(bound) * line;
    const count = load<i32>(bound, 4);
    const row = taps + ((<usize>(unit * ksize)) << 2);
    const target = out + <usize>unit * line;
    for (let x: usize = 0; x < line; x += 4) {
      let pixel = first + x;
      let tap = row;
      let sum = i32x4.splat(1 << 21);
      for (let j = 0; j < count; ++j) {
        const value = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(pixel)));
        sum = i32x4.add(sum, i32x4.mul(value, v128.load32_splat(tap)));
        pixel += line;
        tap += 4;
      }
      const words = i16x8.narrow_i32x4_s(i32x4.shr_s(sum, 22), sum);
      v128.store_lane<u32>(target + x, i8x16.narrow_i16x8_u(words, words), 0);
    }
  }
}
