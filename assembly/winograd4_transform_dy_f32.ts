/**
 * Winograd F(4×4, 3×3), towards the gradient of the weights: the gradient of every 4×4 patch of outputs becomes that of its
 * 6×6 products, dM = A dY Aᵀ (Aᵀ in `winograd4_transform_output_f32.ts`).
 *
 * - `scratch`  this thread's; 832 bytes
 * - `oh ow n`  the output [batch, oh, ow, n]
 * - `ty tx`    patches down and across
 * - `first`    the first patch that `out` holds
 * - `dy`       [batch, oh, ow, n] f32
 * - `zeros`    `n` f32 zeros: the gradient of outputs beyond `oh` and `ow`
 * - `out`      [patches, 36, n] f32
 *
 * Unit: one patch.
 *
 * Must hold: `n` is a multiple of 8; `out` does not overlap `dy`.
 *
 * Why: the transpose of the forward pass's last step; with the transformed input, `gemm_wgrad_f32` then needs a quarter of the
 * multiplications of a direct sum.
 */
import { GRADIENT4, transformPatches } from "./winograd";

export function winograd4_transform_dy_f32(
  from: i32, to: i32, scratch: usize,
  oh: i32, ow: i32, n: i32, ty: i32, tx: i32, first: i32,
  dy: usize, zeros: usize, out: usize,
): void {
  assert(n % 8 == 0);
  transformPatches(GRADIENT4, from, to, scratch, oh, ow, n, ty, tx, 0, 0, first, dy, zeros, out);
}
