/**
 * Convolution or linear weights, as training holds them, into panels (drawn in `product.ts`).
 *
 *     panel[g, p] = | bias 0…7 | for v, u, i: w[v, u, i, o] of its 8 outputs o |
 *
 * - `n c`      outputs and inputs of one group
 * - `taps`     positions of the kernel
 * - `groups`   as of the convolution
 * - `weights`  [taps, c, groups · n] f32
 * - `bias`     [groups · n] f32, or 0
 * - `out`      [groups, ⌈n/8⌉] panels; outputs that do not exist are zero
 *
 * Unit: one panel; `groups · ⌈n/8⌉` of them.
 *
 * Must hold: `out` does not overlap the rest.
 *
 * Why: a cell is 32 bytes of a row, so packing, which training does every step, is copying.
 */
export function pack_hwio_f32(
  from: i32, to: i32,
  n: i32, c: i32, taps: i32, groups: i32,
  weights: usize, bias: usize, out: usize,
): void {
  const across = (n + 7) >> 3;
  const row = (<usize>(groups * n)) << 2;
  const panelBytes = (<usize>(taps * c + 1)) << 5;
  for (let unit = from; unit < to; ++unit) {
    const group = unit / across;
    const j = (unit - group * across) << 3;
    const first = (<usize>(group * n + j)) << 2;
    const cols = min(8, n - j);
    let panel = out + <usize>unit * panelBytes;
    const end = panel + panelBytes;
    if (cols < 8) memory.fill(panel, 0, panelBytes);
    else if (bias == 0) memory.fill(panel, 0, 32);
    if (bias) copy(cols, bias + first, panel);
    let source = weights + first;
    for (panel += 32; panel < end; panel += 32) {
      copy(cols, source, panel);
      source += row;
    }
  }
}

function copy(cols: i32, source: usize, target: usize): void {
  if (cols == 8) {
    v128.store(target, v128.load(source));
    v128.store(target, v128.load(source, 16), 16);
  } else {
    for (let r = 0; r < cols; ++r) {
      const at = (<usize>r) << 2;
      store<f32>(target + at, load<f32>(source + at));
    }
  }
}
