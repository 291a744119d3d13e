/**
 * Winograd F(4×4, 3×3) over int8: transforms products back, adds bias and residual, requantises. Exact although its
 * sums wrap: they are right modulo 2³², and the result is known to be small.
 *
 *     576 · sum = Aᵀ M A  (mod 2³²)      M: the 6×6 products of one patch and channel
 *     out = clamp(round((sum + bias[j]) · scale[j] + residual · rs))
 *
 *          ⎡ 6  4  4  1  1   0 ⎤
 *     Aᵀ = ⎢ 0  4 −4  2 −2   0 ⎥
 *          ⎢ 0  4  4  4  4   0 ⎥
 *          ⎣ 0  4 −4  8 −8  24 ⎦
 *
 * 576 = 9 · 2⁶: the 9 is undone by its inverse modulo 2³², the 2⁶ by a shift, which is exact while |sum| < 2²⁵.
 *
 * - `scratch`    this thread's; 896 bytes
 * - `oh ow n`    the output [batch, oh, ow, n]
 * - `ty tx`      patches down and across one image
 * - `first`      patch of unit 0
 * - `products`   [patches, 36, n] i32
 * - `header`     bias [n] i32, then scale [n] f32
 * - `residual`   [batch, oh, ow, n] i8, or 0
 * - `out`        [batch, oh, ow, n] i8
 * - `rs lo hi`   scale of the residual in units of the output's; bounds of the output
 *
 * Unit: one patch of 4×4 outputs; those outside the image are left out.
 *
 * Must hold: `n` is a multiple of 8; 127 times the sum of the magnitudes of an output's weights is below 2²⁵; `out`
 * overlaps nothing but `residual`, which it may be.
 *
 * Why: a quarter of the products of direct sums, and still the same bytes: i16 holds both operands (inputs within
 * ±8,636, weights within ±6,223), and a wrapped sum needs no wider one.
 */
import { MAGIC, requantized, scaled } from "./requantize";
import { OUTPUT4_I32, PLAIN, transformRun } from "./winograd";

/** The inverse of 9 modulo 2³². */
const NINTH: i32 = 954437177;

/** Four sums, with their biases and times their scales, of 576 times as much. */
// @ts-ignore: decorator
@inline
function outputOf(x: v128, ninth: v128, bias: v128, scale: v128): v128 {
  return scaled(i32x4.add(i32x4.shr_s(i32x4.mul(x, ninth), 6), bias), scale);
}

export function winograd4_transform_output_i8(
  from: i32, to: i32, scratch: usize,
  oh: i32, ow: i32, n: i32, ty: i32, tx: i32, first: i32,
  products: usize, header: usize, residual: usize, out: usize,
  rs: f32, lo: f32, hi: f32,
): void {
  assert(n % 8 == 0);
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const scale4 = f32x4.splat(rs);
  const magic = f32x4.splat(MAGIC);
  const ninth = i32x4.splat(NINTH);
  const bytes = (<usize>n) << 2;
  const pitch = bytes * 6;
  const line = scratch + 4 * 192;
  for (let unit = from; unit < to; ++unit) {
    const patch = first + unit;
    const image = patch / (ty * tx);
    const y = ((patch / tx) % ty) * 4;
    const x = (patch % tx) * 4;
    const rows = min(4, oh - y);
    const columns = min(4, ow - x);
    const source = products + <usize>(unit * 36) * bytes;
    const corner = <usize>((image * oh + y) * ow + x) * n;
    for (let i: usize = 0; i < bytes; i += 32) {
      for (let u: usize = 0; u < 6; ++u) {
        transformRun(OUTPUT4_I32, PLAIN, source + u * bytes + i, pitch, scratch + (u << 5), 192, 0, low, low);
      }
      const bias0 = v128.load(header + i), bias1 = v128.load(header + i, 16);
      const scale0 = v128.load(header + bytes + i), scale1 = v128.load(header + bytes + i, 16);
      for (let v = 0; v < rows; ++v) {
        transformRun(OUTPUT4_I32, PLAIN, scratch + <usize>v * 192, 32, line, 32, 0, low, low);
        let at = corner + <usize>(v * ow) * n + (i >> 2);
        for (let pair = line; pair < line + (<usize>columns << 5); pair += 32) {
          const x0 = outputOf(v128.load(pair), ninth, bias0, scale0), x1 = outputOf(v128.load(pair, 16), ninth, bias1, scale1);
          v128.store64_lane(out + at, requantized(x0, x1, residual ? residual + at : 0, scale4, low, high, magic), 0);
          at += n;
        }
      }
    }
  }
}
