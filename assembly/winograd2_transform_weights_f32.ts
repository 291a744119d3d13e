/**
 * Winograd F(2×2, 3×3), once per load: each 3×3 weight g becomes U = G g Gᵀ, in the panels that `gemm_f32` reads with
 * 16 groups.
 *
 *          │    1    0    0 │
 *          │  1/2  1/2  1/2 │
 *     G =  │  1/2 -1/2  1/2 │
 *          │    0    0    1 │
 *
 * - `scratch`      this thread's; 1,456 bytes
 * - `n c`          outputs and inputs
 * - `so si sv su`  elements from one output, input, kernel row, kernel column to the next
 * - `weights`      [n, c, 3, 3] f32 by those strides
 * - `scale` `bias` [n] f32: the batch norm that is folded in, ones and zeros without
 * - `out`          [16, n/8] panels of `c` cells; the bias is in those of position (1, 1), elsewhere zero
 *
 * Unit: one panel's 8 outputs, at all positions; `n/8` of them.
 *
 * Must hold: `n` is a multiple of 8; `out` does not overlap the rest.
 *
 * Why: in f64, so that the transform costs no accuracy.
 */
import { transformWeights } from "./winograd_weights";

export function winograd2_transform_weights_f32(
  from: i32, to: i32, scratch: usize,
  n: i32, c: i32, so: i32, si: i32, sv: i32, su: i32,
  weights: usize, scale: usize, bias: usize, out: usize,
): void {
  assert(n % 8 == 0);
  transformWeights(2, from, to, scratch, n, c, so, si, sv, su, weights, scale, bias, out);
}
