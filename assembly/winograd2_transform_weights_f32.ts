/**
 * Winograd F(2×2, 3×3), once per load: each 3×3 weight g becomes U = G g Gᵀ, in the panels that `gemm_f32` reads with
 * 16 groups.
 *
 *          │    1    0    0 │
 *          │  1/2  1/2  1/2 │
 *     G =  │  1/2 -1/2  1/2 │
 *          │    0    0    1 │
 *
 * - `n c`          outputs and inputs
 * - `so si sv su`  elements from one output, input, kernel row, kernel column to the next
 * - `weights`      [n, c, 3, 3] f32 by those strides
 * - `scale` `bias` [n] f32: the batch norm that is folded in, ones and zeros without
 * - `out`          [16, ⌈n/8⌉] panels of `c` cells; the bias is in those of position (1, 1), elsewhere zero
 *
 * Unit: one panel's 8 outputs, at all positions; `⌈n/8⌉` of them.
 *
 * Must hold: `out` does not overlap the rest.
 *
 * Why: in f64, so that the transform costs no accuracy.
 */
export function winograd2_transform_weights_f32(
  from: i32, to: i32,
  n: i32, c: i32, so: i32, si: i32, sv: i32, su: i32,
  weights: usize, scale: usize, bias: usize, out: usize,
): void {
  const panelBytes = (<usize>(c + 1)) << 5;
  const position = panelBytes * ((n + 7) >> 3);
  for (let unit = from; unit < to; ++unit) {
    const cols = min(8, n - (unit << 3));
    const panel = out + <usize>unit * panelBytes;
    for (let p = 0; p < 16; ++p) memory.fill(panel + <usize>p * position, 0, cols < 8 ? panelBytes : 32);
    for (let r = 0; r < cols; ++r) {
      const o = <usize>((unit << 3) + r);
      const column = panel + ((<usize>r) << 2);
      store<f32>(column + 5 * position, load<f32>(bias + (o << 2)));
      const factor = <f64>load<f32>(scale + (o << 2));
      for (let i = 0; i < c; ++i) {
        const at = weights + ((o * so + <usize>(i * si)) << 2);
        const to4 = column + ((<usize>(i + 1)) << 5);
        for (let v = 0; v < 4; ++v) {
          const g0 = factor * along(v, at, sv);
          const g1 = factor * along(v, at + ((<usize>su) << 2), sv);
          const g2 = factor * along(v, at + ((<usize>su) << 3), sv);
          for (let u = 0; u < 4; ++u) {
            store<f32>(to4 + <usize>(v * 4 + u) * position, <f32>product(u, g0, g1, g2));
          }
        }
      }
    }
  }
}

/** Row `v` of G times a column of the kernel. */
function along(v: i32, at: usize, stride: i32): f64 {
  const step = (<usize>stride) << 2;
  return product(v, <f64>load<f32>(at), <f64>load<f32>(at + step), <f64>load<f32>(at + (step << 1)));
}

/** Row `v` of G times (a, b, c). */
function product(v: i32, a: f64, b: f64, c: f64): f64 {
  switch (v) {
    case 0:
      return a;
    case 1:
      return (a + b + c) / 2.0;
    case 2:
      return (a - b + c) / 2.0;
    default:
      return c;
  }
}
