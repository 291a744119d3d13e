/**
 * Winograd F(4×4, 3×3) over int8: transforms the weights. Exact: whole numbers within ±6,223.
 *
 *     U = G g Gᵀ, its rows and columns multiplied by 4, 6, 6, 24, 24 and 1, which `winograd4_transform_output_i8` undoes
 *
 *         ⎡  1  0  0 ⎤
 *         ⎢ −1 −1 −1 ⎥
 *     G = ⎢ −1  1 −1 ⎥
 *         ⎢  1  2  4 ⎥
 *         ⎢  1 −2  4 ⎥
 *         ⎣  0  0  1 ⎦
 *
 * - `scratch`  this thread's; 2,736 bytes
 * - `n c`      outputs, inputs
 * - `weights`  [n, c, 3, 3] i8
 * - `out`      [36, n/8] panels of `c / 2` cells, [8, 2] i16: as `gemm_i16` reads them
 *
 * Unit: eight outputs; `n / 8` of them.
 *
 * Must hold: `n` is a multiple of 8, `c` of 4; `out` does not overlap `weights`.
 *
 * Why: four outputs by two inputs in a vector. All positions of four inputs are made in scratch and stored as whole cache lines: in
 * `out`, positions lie a power of two apart, and share one set of each cache.
 */
import { pairs } from "./gather";
import { HALVES_BYTES } from "./winograd_weights";

export function winograd4_transform_weights_i8(
  from: i32, to: i32, scratch: usize,
  n: i32, c: i32,
  weights: usize, out: usize,
): void {
  assert(n % 8 == 0 && c % 4 == 0);
  const half = scratch + 144;
  const cells = scratch + HALVES_BYTES;
  const row = <usize>(c * 9);
  const panelBytes = (<usize>c) << 4;
  const position = panelBytes * (n >> 3);
  for (let unit = from; unit < to; ++unit) {
    let line = out + <usize>unit * panelBytes;
    for (let i = 0; i < c; i += 4) {
      for (let k: usize = 0; k < 4; ++k) {
        // Two inputs of the first four outputs and of the others, then the next two inputs.
        const at = weights + (((<usize>unit) << 3) + ((k & 1) << 2)) * row + <usize>(i * 9) + (k >> 1) * 18;
        for (let t: usize = 0; t < 9; ++t) {
          v128.store(scratch + (t << 4), i16x8.extend_low_i8x16_s(pairs(at + t, 9, row)));
        }
        transform(3, scratch, 16, 48, half, 16, 48);
        transform(6, half, 48, 16, cells + (k << 4), 384, 64);
      }
      for (let p: usize = 0; p < 36; ++p) {
        const cell = cells + (p << 6), target = line + p * position;
        v128.store(target, v128.load(cell));
        v128.store(target, v128.load(cell, 16), 16);
        v128.store(target, v128.load(cell, 32), 32);
        v128.store(target, v128.load(cell, 48), 48);
      }
      line += 64;
    }
  }
}

/**
 * G times `count` columns of three vectors.
 *
 * - `at` `step` `pitch`: bytes from one column to the next, and from one vector to the next
 * - `to` `next` `stride`: the same of the results
 */
function transform(count: i32, at: usize, step: usize, pitch: usize, to: usize, next: usize, stride: usize): void {
  do {
    const x = v128.load(at), y = v128.load(at + pitch), z = v128.load(at + (pitch << 1));
    const even = i16x8.add(x, z), y2 = i16x8.shl(y, 1), even4 = i16x8.add(x, i16x8.shl(z, 2));
    let row = to;
    v128.store(row, x);
    row += stride;
    v128.store(row, i16x8.neg(i16x8.add(even, y)));
    row += stride;
    v128.store(row, i16x8.sub(y, even));
    row += stride;
    v128.store(row, i16x8.add(even4, y2));
    row += stride;
    v128.store(row, i16x8.sub(even4, y2));
    row += stride;
    v128.store(row, z);
    at += step;
    to += next;
  } while (--count);
}
