/**
 * Winograd F(2×2, 3×3), last step: the products M of every patch become 2×2 outputs, Y = Aᵀ M A.
 *
 *           │  1  1  1  0 │
 *     Aᵀ =  │  0  1 -1 -1 │
 *
 *     out = clamp(Y + residual)
 *
 * The bias is in M already: added to the product at (1, 1), Aᵀ … A spreads it over all 2×2 outputs.
 *
 * - `scratch`   this thread's; 128 bytes
 * - `oh ow n`   the output [batch, oh, ow, n]
 * - `ty tx`     patches down and across; outputs beyond `oh` and `ow` are not stored
 * - `first`     the first patch that `products` holds
 * - `products`  [patches, 16, n] f32
 * - `residual`  [batch, oh, ow, n] f32, or 0
 * - `out`       [batch, oh, ow, n] f32
 *
 * Unit: one patch.
 *
 * Must hold: `n` is a multiple of 4; `out` may be `residual` and overlaps nothing else.
 *
 * Why: as `winograd2_transform_input_f32`.
 */
import { clamp } from "./simd";

export function winograd2_transform_output_f32(
  from: i32, to: i32, scratch: usize,
  oh: i32, ow: i32, n: i32, ty: i32, tx: i32, first: i32,
  products: usize, residual: usize, out: usize,
  lo: f32, hi: f32,
): void {
  assert(n % 4 == 0);
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const bytes = (<usize>n) << 2;
  for (let unit = from; unit < to; ++unit) {
    const patch = first + unit;
    const image = patch / (ty * tx);
    const y = ((patch / tx) % ty) * 2;
    const x = (patch % tx) * 2;
    const rows = min(2, oh - y);
    const columns = min(2, ow - x);
    const source = products + ((<usize>(unit * 16) * n) << 2);
    const corner = <usize>((image * oh + y) * ow + x) * bytes;
    for (let i: usize = 0; i < bytes; i += 16) {
      // Columns: Aᵀ M.
      for (let u: usize = 0; u < 4; ++u) {
        let at = source + u * bytes + i;
        const d0 = v128.load(at);
        at += 4 * bytes;
        const d1 = v128.load(at);
        at += 4 * bytes;
        const d2 = v128.load(at);
        at += 4 * bytes;
        const d3 = v128.load(at);
        const e0 = f32x4.add(f32x4.add(d0, d1), d2);
        const e1 = f32x4.sub(f32x4.sub(d1, d2), d3);
        const to4 = scratch + u * 16;
        v128.store(to4, e0, 0);
        v128.store(to4, e1, 64);
      }
      // Rows: (Aᵀ M) A.
      for (let v = 0; v < rows; ++v) {
        const row = scratch + <usize>v * 64;
        const d0 = v128.load(row, 0);
        const d1 = v128.load(row, 16);
        const d2 = v128.load(row, 32);
        const d3 = v128.load(row, 48);
        const e0 = f32x4.add(f32x4.add(d0, d1), d2);
        const e1 = f32x4.sub(f32x4.sub(d1, d2), d3);
        let at = corner + <usize>(v * ow) * bytes + i;
        v128.store(out + at, clamp(residual ? f32x4.add(e0, v128.load(residual + at)) : e0, low, high));
        if (columns > 1) {
          at += bytes;
          v128.store(out + at, clamp(residual ? f32x4.add(e1, v128.load(residual + at)) : e1, low, high));
        }
      }
    }
  }
}
