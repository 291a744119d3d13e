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
 * - `n c`      outputs, inputs
 * - `weights`  [n, c, 3, 3] i8
 * - `out`      [36, n/8] panels of `c / 2` cells, [8, 2] i16: as `gemm_i16` reads them
 *
 * Unit: eight outputs; `n / 8` of them.
 *
 * Must hold: `n` is a multiple of 8, `c` of 2; `out` does not overlap `weights`.
 *
 * Why: runs once a model.
 */
export function winograd4_transform_weights_i8(from: i32, to: i32, n: i32, c: i32, weights: usize, out: usize): void {
  assert(n % 8 == 0 && c % 2 == 0);
  const panelBytes = (<usize>c) << 4;
  const position = panelBytes * (n >> 3);
  for (let unit = from; unit < to; ++unit) {
    const panel = out + <usize>unit * panelBytes;
    for (let j = 0; j < 8; ++j) {
      for (let i = 0; i < c; ++i) {
        const g = weights + <usize>(((unit << 3) + j) * c + i) * 9;
        const cell = panel + ((<usize>(((i >> 1) << 4) + (j << 1) + (i & 1))) << 1);
        for (let v = 0; v < 6; ++v) {
          const x = row(v, load<i8>(g, 0), load<i8>(g, 3), load<i8>(g, 6));
          const y = row(v, load<i8>(g, 1), load<i8>(g, 4), load<i8>(g, 7));
          const z = row(v, load<i8>(g, 2), load<i8>(g, 5), load<i8>(g, 8));
          for (let u = 0; u < 6; ++u) store<i16>(cell + <usize>(v * 6 + u) * position, row(u, x, y, z));
        }
      }
    }
  }
}

/** Row `r` of G times a column. */
function row(r: i32, x: i32, y: i32, z: i32): i32 {
  switch (r) {
    case 0:
      return x;
    case 1:
      return -(x + y + z);
    case 2:
      return y - x - z;
    case 3:
      return x + 2 * y + 4 * z;
    case 4:
      return x - 2 * y + 4 * z;
    default:
      return z;
  }
}
