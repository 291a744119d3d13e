/**
 * Convolution or linear weights, in whatever order their file has them, into panels (drawn in `product.ts`).
 *
 *     panel[g, p] = | bias 0…7 | for v, u, i: w[o, i, v, u] · scale[o] of its 8 outputs o |
 *
 * - `n c`               outputs and inputs of one group
 * - `kh kw`             kernel
 * - `so si sv su`       elements from one output, input, kernel row, kernel column to the next
 * - `weights`           [groups · n, c, kh, kw] f32 by those strides
 * - `scale` `bias`      [groups · n] f32: the batch norm that is folded in, ones and zeros without
 * - `out`               [groups, ⌈n/8⌉] panels; outputs that do not exist are zero
 *
 * Unit: one panel; `groups · ⌈n/8⌉` of them.
 *
 * Must hold: `out` does not overlap the rest.
 *
 * Why: a cell at a time, so that panels are written once and in order; loads by lane serve every order of weights.
 */
import { fours } from "./gather";

export function pack_f32(
  from: i32, to: i32,
  n: i32, c: i32, kh: i32, kw: i32, so: i32, si: i32, sv: i32, su: i32,
  weights: usize, scale: usize, bias: usize, out: usize,
): void {
  const perGroup = (n + 7) >> 3;
  const panelBytes = (<usize>(kh * kw * c + 1)) << 5;
  const pitch = (<usize>so) << 2;
  for (let unit = from; unit < to; ++unit) {
    const group = unit / perGroup;
    const j = (unit - group * perGroup) << 3;
    const first = <usize>(group * n + j);
    const cols = min(8, n - j);
    let cell = out + <usize>unit * panelBytes;
    if (cols < 8) memory.fill(cell, 0, panelBytes);
    memory.copy(cell, bias + (first << 2), (<usize>cols) << 2);
    const factors = scale + (first << 2);
    for (let v = 0; v < kh; ++v) {
      for (let u = 0; u < kw; ++u) {
        let source = weights + first * pitch + ((<usize>(v * sv + u * su)) << 2);
        for (let i = 0; i < c; ++i) {
          cell += 32;
          if (cols == 8) {
            v128.store(cell, f32x4.mul(fours(source, pitch), v128.load(factors)));
            v128.store(cell, f32x4.mul(fours(source + (pitch << 2), pitch), v128.load(factors, 16)), 16);
          } else {
            for (let r: usize = 0; r < <usize>cols; ++r) {
              store<f32>(cell + (r << 2), load<f32>(source + r * pitch) * load<f32>(factors + (r << 2)));
            }
          }
          source += (<usize>si) << 2;
        }
      }
    }
  }
}
