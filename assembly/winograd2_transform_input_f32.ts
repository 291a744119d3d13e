/**
 * Winograd F(2×2, 3×3), first step (Lavin & Gray 2015, arXiv 1509.09308): every 4×4 patch d of the padded image,
 * 2 pixels apart, becomes V = Bᵀ d B.
 *
 *           │  1  0 -1  0 │
 *           │  0  1  1  0 │
 *     Bᵀ =  │  0 -1  1  0 │
 *           │  0  1  0 -1 │
 *
 * - `scratch`      this thread's; 576 bytes
 * - `batch h w c`  the input [batch, h, w, c]
 * - `ty tx`        patches down and across
 * - `top left`     zero padding before the first row and pixel; what lies beyond the last is zero too
 * - `first`        the first patch that `out` holds: a layer may be done a band of patches at a time
 * - `input`        [batch, h, w, c] f32
 * - `zeros`        `c` f32 zeros: what lies outside the image
 * - `out`          [patches, 16, c] f32
 *
 * Unit: one patch.
 *
 * Must hold: `c` is a multiple of 8; `out` does not overlap `input`.
 *
 * Why: channels in the lanes make the transform 32 additions a vector and no shuffle. Where F(4×4) would cost too much memory or waste too much of the last patch.
 */
import { INPUT2, transformPatches } from "./winograd";

export function winograd2_transform_input_f32(
  from: i32, to: i32, scratch: usize,
  batch: i32, h: i32, w: i32, c: i32, ty: i32, tx: i32, top: i32, left: i32, first: i32,
  input: usize, zeros: usize, out: usize,
): void {
  assert(c % 8 == 0);
  transformPatches(INPUT2, from, to, scratch, h, w, c, ty, tx, top, left, first, input, zeros, out);
}
