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
 * Why: once per load; 25 million weights in about 0.1 s.
 */
export function pack_f32(
  from: i32, to: i32,
  n: i32, c: i32, kh: i32, kw: i32, so: i32, si: i32, sv: i32, su: i32,
  weights: usize, scale: usize, bias: usize, out: usize,
): void {
  const perGroup = (n + 7) >> 3;
  const panelBytes = (<usize>(kh * kw * c + 1)) << 5;
  for (let unit = from; unit < to; ++unit) {
    const group = unit / perGroup;
    const j = (unit - group * perGroup) << 3;
    const first = group * n + j;
    const cols = min(8, n - j);
    const panel = out + <usize>unit * panelBytes;
    if (cols < 8) memory.fill(panel, 0, panelBytes);
    for (let r = 0; r < cols; ++r) {
      const o = <usize>(first + r);
      const factor = load<f32>(scale + (o << 2));
      store<f32>(panel + ((<usize>r) << 2), load<f32>(bias + (o << 2)));
      let to4 = panel + 32 + ((<usize>r) << 2);
      for (let v = 0; v < kh; ++v) {
        for (let u = 0; u < kw; ++u) {
          let source = weights + ((o * so + <usize>(v * sv) + <usize>(u * su)) << 2);
          for (let i = 0; i < c; ++i) {
            store<f32>(to4, load<f32>(source) * factor);
            source += (<usize>si) << 2;
            to4 += 32;
          }
        }
      }
    }
  }
}
