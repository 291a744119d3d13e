/**
 * A preprocessed f32 image as the input of an int8 network.
 *
 *     out[p, i] = round(in[p, i] · scale[i] + shift[i]) within −128…127
 *
 * - `c`             pixels of a row
 * - `input`         [rows, c, 3] f32
 * - `scale` `shift` [3] f32, one after the other at `affine`
 * - `out`           [rows, c, 3] i8
 *
 * Unit: one row.
 *
 * Must hold: `out` does not overlap `input`.
 *
 * Why: once a picture; product and sum are rounded apart, so that all builds agree.
 */
const MAGIC: f32 = 12582912;

export function quantize_i8(from: i32, to: i32, c: i32, input: usize, affine: usize, out: usize): void {
  const end = <usize>to * c;
  for (let p = <usize>from * c; p < end; ++p) {
    for (let i: usize = 0; i < 3; ++i) {
      const at = p * 3 + i;
      let x = load<f32>(input + (at << 2)) * load<f32>(affine + (i << 2));
      x = x + load<f32>(affine + (i << 2), 12);
      // A NaN is neither, and becomes the least.
      x = x > -128 ? x : -128;
      x = x < 127 ? x : 127;
      store<i8>(out + at, reinterpret<i32>(x + MAGIC) - reinterpret<i32>(MAGIC));
    }
  }
}
