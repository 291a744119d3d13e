/** What the transforms of Winograd's weights share: G g Gᵀ for every pair of an output and an input. */

/**
 * Transforms weights, with the batch norm that is folded in, to the panels of `gemm_f32`.
 *
 * - `o`: 2 or 4, the side of a patch of outputs
 * - the rest as in `winograd4_transform_weights_f32`
 */
// @ts-ignore: decorator
@inline
export function transformWeights(
  o: i32, from: i32, to: i32, n: i32, c: i32, so: i32, si: i32, sv: i32, su: i32, weights: usize, scale: usize,
  bias: usize, out: usize,
): void {
  const side = o + 2;
  const panelBytes = (<usize>(c + 1)) << 5;
  const position = panelBytes * ((n + 7) >> 3);
  for (let unit = from; unit < to; ++unit) {
    const cols = min(8, n - (unit << 3));
    const panel = out + <usize>unit * panelBytes;
    for (let p = 0; p < side * side; ++p) memory.fill(panel + <usize>p * position, 0, cols < 8 ? panelBytes : 32);
    for (let r = 0; r < cols; ++r) {
      const output = <usize>((unit << 3) + r);
      const column = panel + ((<usize>r) << 2);
      // Position (1, 1), which Aᵀ … A spreads over all outputs.
      store<f32>(column + <usize>(side + 1) * position, load<f32>(bias + (output << 2)));
      const factor = <f64>load<f32>(scale + (output << 2));
      for (let i = 0; i < c; ++i) {
        const at = weights + ((output * so + <usize>(i * si)) << 2);
        const to4 = column + ((<usize>(i + 1)) << 5);
        for (let v = 0; v < side; ++v) {
          const g0 = factor * along(o, v, at, sv);
          const g1 = factor * along(o, v, at + ((<usize>su) << 2), sv);
          const g2 = factor * along(o, v, at + ((<usize>su) << 3), sv);
          for (let u = 0; u < side; ++u) {
            store<f32>(to4 + <usize>(v * side + u) * position, <f32>product(o, u, g0, g1, g2));
          }
        }
      }
    }
  }
}

/** Row `v` of G times a column of the kernel. */
function along(o: i32, v: i32, at: usize, stride: i32): f64 {
  const step = (<usize>stride) << 2;
  return product(o, v, <f64>load<f32>(at), <f64>load<f32>(at + step), <f64>load<f32>(at + (step << 1)));
}

/** Row `v` of G times (a, b, c). */
function product(o: i32, v: i32, a: f64, b: f64, c: f64): f64 {
  if (o == 2) {
    if (v == 0) return a;
    else if (v == 1) return (a + b + c) / 2.0;
    else if (v == 2) return (a - b + c) / 2.0;
    else return c;
  }
  if (v == 0) return a / 4.0;
  else if (v == 1) return -(a + b + c) / 6.0;
  else if (v == 2) return -(a - b + c) / 6.0;
  else if (v == 3) return a / 24.0 + b / 12.0 + c / 6.0;
  else if (v == 4) return a / 24.0 - b / 12.0 + c / 6.0;
  else return c;
}
