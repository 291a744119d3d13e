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
 * - `scratch`   this thread's; 320 bytes
 * - `oh ow n`   the output [batch, oh, ow, n]
 * - `ty tx`     patches down and across; outputs beyond `oh` and `ow` are not stored
 * - `first`     the first patch that `products` holds
 * - `products`  [patches, 16, n] f32
 * - `residual`  [batch, oh, ow, n] f32, or 0
 * - `out`       [batch, oh, ow, n] f32
 *
 * Unit: one patch.
 *
 * Must hold: `n` is a multiple of 8; `out` may be `residual` and overlaps nothing else.
 *
 * Why: as `winograd2_transform_input_f32`.
 */
import { OUTPUT2, transformProducts } from "./winograd";

export function winograd2_transform_output_f32(
  from: i32, to: i32, scratch: usize,
  oh: i32, ow: i32, n: i32, ty: i32, tx: i32, first: i32,
  products: usize, residual: usize, out: usize,
  lo: f32, hi: f32,
): void {
  assert(n % 8 == 0);
  transformProducts(OUTPUT2, from, to, scratch, oh, ow, n, ty, tx, first, products, residual, out, lo, hi);
}
