/**
 * First pass of an antialiased resize, as Pillow does it (`ImagingResampleHorizontal_8bpc`): bit for bit its result.
 *
 *     out[y, x, i] = clip8((2²¹ + Σ_j in[y, start[x] + j, i] · k[x, j]) >> 22)
 *
 * - `w`       pixels of an output row
 * - `pitch`   pixels of an input row
 * - `ksize`   most taps of one output pixel
 * - `input`   [rows, pitch, 4] u8 RGBA
 * - `bounds`  [w, 2] i32: first input pixel and number of taps
 * - `taps`    [w, ksize] i32: weights times 2²²
 * - `out`     [rows, w, 4] u8 RGBA
 *
 * Unit: one row.
 *
 * Must hold: taps lie inside the row; `out` does not overlap the rest.
 *
 * Why: the four channels of a pixel are the four lanes.
 */
export function resize_u8_horizontal(
  from: i32, to: i32,
  w: i32, pitch: i32, ksize: i32,
  input: usize, bounds: usize, taps: usize, out: usize,
): void {
  for (let unit = from; unit < to; ++unit) {
    const row = input + ((<usize>unit * pitch) << 2);
    let target = out + ((<usize>unit * w) << 2);
    for (let x = 0; x < w; ++x) {
      const bound = bounds + ((<usize>x) << 3);
      let pixel = row + ((<usize>load<i32>(bound)) << 2);
      const count = load<i32>(bound, 4);
      let tap = taps + ((<usize>(x * ksize)) << 2);
      let sum = i32x4.splat(1 << 21);
      for (let j = 0; j < count; ++j) {
        const value = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(pixel)));
        sum = i32x4.add(sum, i32x4.mul(value, v128.load32_splat(tap)));
        pixel += 4;
        tap += 4;
      }
      const words = i16x8.narrow_i32x4_s(i32x4.shr_s(sum, 22), sum);
      v128.store_lane<u32>(target, i8x16.narrow_i16x8_u(words, words), 0);
      target += 4;
    }
  }
}
