/**
 * Brings int8 convolution weights into panels, bias and scale first.
 *
 * - `kind`     `DOT8` or `DOT16`: inputs in a cell, as `product.ts` draws it
 * - `n c`      outputs and inputs of one group
 * - `kh kw`    kernel
 * - `weights`  [groups · n, c, kh, kw] i8
 * - `bias`     [groups · n] i32
 * - `scale`    [groups · n] f32
 * - `out`      [groups, ⌈n/8⌉] panels; taps outermost, then inputs, rounded up to whole cells with zeros
 *
 * Unit: one panel; `groups · ⌈n/8⌉` of them.
 *
 * Must hold: `out` overlaps no source.
 *
 * Why: runs once a model.
 */
import { DOT8 } from "./tile";

export function pack_i8(
  from: i32, to: i32,
  kind: i32, n: i32, c: i32, kh: i32, kw: i32,
  weights: usize, bias: usize, scale: usize, out: usize,
): void {
  const q = kind == DOT8 ? 4 : 2;
  const taps = kh * kw;
  const depth = taps * c;
  const padded = ((depth + q - 1) / q) * q;
  const perGroup = (n + 7) >> 3;
  for (let unit = from; unit < to; ++unit) {
    const group = unit / perGroup;
    const first = (unit - group * perGroup) << 3;
    const panel = out + ((<usize>unit * (padded + 8)) << 3);
    for (let j = 0; j < 8; ++j) {
      const exists = first + j < n;
      const o = group * n + first + j;
      store<i32>(panel + ((<usize>j) << 2), exists ? load<i32>(bias + ((<usize>o) << 2)) : 0);
      store<f32>(panel + ((<usize>j) << 2), exists ? load<f32>(scale + ((<usize>o) << 2)) : 0, 32);
      const source = weights + <usize>o * depth;
      const cells = panel + 64 + <usize>(j * q);
      for (let i = 0; i < padded; ++i) {
        const tap = i / c;
        const at = <usize>((i - tap * c) * taps + tap);
        const value = exists && i < depth ? load<i8>(source + at) : 0;
        const cell = i / q;
        store<i8>(cells + <usize>(cell * q * 8 + i - cell * q), value);
      }
    }
  }
}
