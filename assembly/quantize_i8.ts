/**
 * A preprocessed f32 image as the input of an int8 network.
 *
 *     out[p, i] = round(in[p, i] · scale[i] + shift[i]) within 0…127
 *
 * - `c`       pixels of a row
 * - `input`   [rows, c, 3] f32
 * - `affine`  scale and shift by channel, each four times over: [2, 12] f32
 * - `out`     [rows, c, 3] i8
 *
 * Unit: one row.
 *
 * Must hold: `out` does not overlap `input`.
 *
 * Why: once a picture, four pixels at a time; product and sum are rounded apart, so that all builds agree.
 */
const MAGIC: f32 = 12582912;

export function quantize_i8(from: i32, to: i32, c: i32, input: usize, affine: usize, out: usize): void {
  const zero = f32x4.splat(0);
  const top = f32x4.splat(127);
  const magic = f32x4.splat(MAGIC);
  let at = <usize>(from * c) * 3;
  const end = <usize>(to * c) * 3;
  // Where in the pattern of channels `at` is: rows begin with the first.
  let phase: usize = 0;
  for (; at + 4 <= end; at += 4) {
    let x = f32x4.mul(v128.load(input + (at << 2)), v128.load(affine + phase));
    x = f32x4.add(x, v128.load(affine + phase, 48));
    // A NaN is no greater than anything, and becomes 0.
    x = f32x4.pmin(f32x4.pmax(zero, x), top);
    x = i32x4.sub(f32x4.add(x, magic), magic);
    const narrow = i16x8.narrow_i32x4_s(x, x);
    v128.store32_lane(out + at, i8x16.narrow_i16x8_s(narrow, narrow), 0);
    phase = phase == 32 ? 0 : phase + 16;
  }
  for (; at < end; ++at) {
    let x = load<f32>(input + (at << 2)) * load<f32>(affine + phase);
    x = x + load<f32>(affine + phase, 48);
    x = x > 0 ? x : 0;
    x = x < 127 ? x : 127;
    store<i8>(out + at, reinterpret<i32>(x + MAGIC) - reinterpret<i32>(MAGIC));
    phase += 4;
  }
}
