/**
 * Winograd F(4×4, 3×3) over int8: transforms the input. Exact: whole numbers within ±8,636.
 *
 *     out[p, ·, ·, i] = Bᵀ d B      d: 6×6 pixels of channel i, those outside the image zero
 *
 *          ⎡ 4  0 −5  0  1  0 ⎤
 *          ⎢ 0 −4 −4  1  1  0 ⎥
 *     Bᵀ = ⎢ 0  4 −4 −1  1  0 ⎥
 *          ⎢ 0 −2 −1  2  1  0 ⎥
 *          ⎢ 0  2 −1 −2  1  0 ⎥
 *          ⎣ 0  4  0 −5  0  1 ⎦
 *
 * - `scratch`      this thread's; 1,296 bytes
 * - `batch h w c`  the input [batch, h, w, c]
 * - `ty tx`        patches down and across one image
 * - `top left`     zero padding before the first row and pixel
 * - `first`        patch of unit 0
 * - `input`        [batch, h, w, c] i8 in 0…127
 * - `zeros`        [c] i8 zeros
 * - `out`          [patches, 36, c] i16
 *
 * Unit: one patch of 4×4 outputs.
 *
 * Must hold: `c` is a multiple of 16; `out` does not overlap `input`.
 *
 * Why: Lavin & Gray 2015 (arXiv 1509.09308). Eight channels in a vector, twice as many as in f32.
 */
import { INPUT4_I16, transformPatches } from "./winograd";

export function winograd4_transform_input_i8(
  from: i32, to: i32, scratch: usize,
  batch: i32, h: i32, w: i32, c: i32, ty: i32, tx: i32, top: i32, left: i32, first: i32,
  input: usize, zeros: usize, out: usize,
): void {
  assert(c % 16 == 0);
  transformPatches(INPUT4_I16, from, to, scratch, h, w, c, ty, tx, top, left, first, input, zeros, out);
}
