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
 * - `scratch`    this thread's; 384 bytes
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
 * Must hold: `n` is a multiple of 4; 127 times the sum of the magnitudes of an output's weights is below 2²⁵; `out`
 * overlaps nothing but `residual`, which it may be.
 *
 * Why: a quarter of the products of direct sums, and still the same bytes: i16 holds both operands (inputs within
 * ±8,636, weights within ±6,223), and a wrapped sum needs no wider one.
 */
import { clamp } from "./simd";

const MAGIC: f32 = 12582912;
/** The inverse of 9 modulo 2³². */
const NINTH: i32 = 954437177;

// @ts-ignore: decorator
@inline
function finish(
  x: v128, ninth: v128, bias: v128, scale: v128, residual: usize, rs: v128, lo: v128, hi: v128, magic: v128, out: usize,
): void {
  const sum = i32x4.add(i32x4.shr_s(i32x4.mul(x, ninth), 6), bias);
  let y = f32x4.mul(f32x4.convert_i32x4_s(sum), scale);
  if (residual) {
    const r = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(residual)));
    y = f32x4.add(y, f32x4.mul(f32x4.convert_i32x4_s(r), rs));
  }
  const whole = i32x4.sub(f32x4.add(clamp(y, lo, hi), magic), magic);
  const narrow = i16x8.narrow_i32x4_s(whole, whole);
  v128.store32_lane(out, i8x16.narrow_i16x8_s(narrow, narrow), 0);
}

export function winograd4_transform_output_i8(
  from: i32, to: i32, scratch: usize,
  oh: i32, ow: i32, n: i32, ty: i32, tx: i32, first: i32,
  products: usize, header: usize, residual: usize, out: usize,
  rs: f32, lo: f32, hi: f32,
): void {
  assert(n % 4 == 0);
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const scale4 = f32x4.splat(rs);
  const magic = f32x4.splat(MAGIC);
  const ninth = i32x4.splat(NINTH);
  const bytes = (<usize>n) << 2;
  for (let unit = from; unit < to; ++unit) {
    const patch = first + unit;
    const image = patch / (ty * tx);
    const y = ((patch / tx) % ty) * 4;
    const x = (patch % tx) * 4;
    const rows = min(4, oh - y);
    const columns = min(4, ow - x);
    const source = products + <usize>(unit * 36) * bytes;
    const corner = <usize>((image * oh + y) * ow + x) * n;
    for (let i: usize = 0; i < <usize>n; i += 4) {
      // Columns: Aᵀ M.
      for (let u: usize = 0; u < 6; ++u) {
        let at = source + u * bytes + (i << 2);
        const d0 = v128.load(at);
        at += 6 * bytes;
        const d1 = v128.load(at);
        at += 6 * bytes;
        const d2 = v128.load(at);
        at += 6 * bytes;
        const d3 = v128.load(at);
        at += 6 * bytes;
        const d4 = v128.load(at);
        at += 6 * bytes;
        const d5 = v128.load(at);
        const p = i32x4.shl(i32x4.add(d1, d2), 2);
        const q = i32x4.shl(i32x4.sub(d1, d2), 2);
        const r = i32x4.add(d3, d4);
        const s = i32x4.shl(i32x4.sub(d3, d4), 1);
        const six = i32x4.add(i32x4.shl(d0, 2), i32x4.shl(d0, 1));
        const last = i32x4.add(i32x4.shl(d5, 4), i32x4.shl(d5, 3));
        const to4 = scratch + u * 16;
        v128.store(to4, i32x4.add(i32x4.add(six, p), r), 0);
        v128.store(to4, i32x4.add(q, s), 96);
        v128.store(to4, i32x4.add(p, i32x4.shl(r, 2)), 192);
        v128.store(to4, i32x4.add(i32x4.add(q, i32x4.shl(s, 2)), last), 288);
      }
      const bias = v128.load(header + (i << 2));
      const scale = v128.load(header + bytes + (i << 2));
      // Rows: (Aᵀ M) A.
      for (let v = 0; v < rows; ++v) {
        const row = scratch + <usize>v * 96;
        const d0 = v128.load(row, 0);
        const d1 = v128.load(row, 16);
        const d2 = v128.load(row, 32);
        const d3 = v128.load(row, 48);
        const d4 = v128.load(row, 64);
        const d5 = v128.load(row, 80);
        const p = i32x4.shl(i32x4.add(d1, d2), 2);
        const q = i32x4.shl(i32x4.sub(d1, d2), 2);
        const r = i32x4.add(d3, d4);
        const s = i32x4.shl(i32x4.sub(d3, d4), 1);
        const six = i32x4.add(i32x4.shl(d0, 2), i32x4.shl(d0, 1));
        const last = i32x4.add(i32x4.shl(d5, 4), i32x4.shl(d5, 3));
        const e0 = i32x4.add(i32x4.add(six, p), r);
        const e1 = i32x4.add(q, s);
        const e2 = i32x4.add(p, i32x4.shl(r, 2));
        const e3 = i32x4.add(i32x4.add(q, i32x4.shl(s, 2)), last);
        let at = corner + <usize>(v * ow) * n + i;
        finish(e0, ninth, bias, scale, residual ? residual + at : 0, scale4, low, high, magic, out + at);
        if (columns > 1) {
          at += n;
          finish(e1, ninth, bias, scale, residual ? residual + at : 0, scale4, low, high, magic, out + at);
        }
        if (columns > 2) {
          at += n;
          finish(e2, ninth, bias, scale, residual ? residual + at : 0, scale4, low, high, magic, out + at);
        }
        if (columns > 3) {
          at += n;
          finish(e3, ninth, bias, scale, residual ? residual + at : 0, scale4, low, high, magic, out + at);
        }
      }
    }
  }
}
