/**
 * Convolution weights into panels for the gradient of the input: outputs and inputs change places, the kernel is turned
 * round, and its taps are sorted by phase: those that meet the same input pixels when the convolution has a stride.
 *
 *     panel[phase, g, p] = | zeros 0…7 | for v, u of the phase, both descending, for j: w[v, u, i, g·n + j] of its 8 inputs i |
 *
 * Phase `(py, px)` has the taps with `v·dh ≡ py` modulo `sh` and `u·dw ≡ px` modulo `sw`. With stride 1 there is one phase,
 * and its panels are those of a plain convolution over the gradient of the output.
 *
 * - `n c`      outputs and inputs of one group
 * - `kh kw sh sw dh dw`  kernel, stride, dilation
 * - `groups`   as of the convolution
 * - `weights`  [kh, kw, c, groups · n] f32
 * - `out`      [sh · sw] phases of [groups, ⌈c/8⌉] panels; inputs that do not exist are zero
 *
 * Unit: one panel; `sh · sw · groups · ⌈c/8⌉` of them.
 *
 * Must hold: `out` does not overlap `weights`.
 *
 * Why: once per training step; a phase of its own has no products with zero.
 */
export function pack_dgrad_f32(
  from: i32, to: i32,
  n: i32, c: i32, kh: i32, kw: i32, sh: i32, sw: i32, dh: i32, dw: i32, groups: i32,
  weights: usize, out: usize,
): void {
  const across = (c + 7) >> 3;
  const perPhase = groups * across;
  const all = groups * n;
  for (let unit = from; unit < to; ++unit) {
    const phase = unit / perPhase;
    const column = unit - phase * perPhase;
    const group = column / across;
    const i = (column - group * across) << 3;
    const cols = min(8, c - i);
    let panel = out;
    for (let earlier = 0; earlier <= phase; ++earlier) {
      const cells = tapsOf(kh, sh, dh, earlier / sw) * tapsOf(kw, sw, dw, earlier % sw) * n + 1;
      panel += ((<usize>cells) << 5) * <usize>(earlier < phase ? perPhase : column);
    }
    v128.store(panel, f32x4.splat(0));
    v128.store(panel, f32x4.splat(0), 16);
    panel += 32;
    for (let v = kh - 1; v >= 0; --v) {
      if ((v * dh) % sh != phase / sw) continue;
      for (let u = kw - 1; u >= 0; --u) {
        if ((u * dw) % sw != phase % sw) continue;
        const source = weights + ((<usize>(((v * kw + u) * c + i) * all + group * n)) << 2);
        if (cols < 8) memory.fill(panel, 0, (<usize>n) << 5);
        for (let r = 0; r < cols; ++r) {
          let at = source + ((<usize>(r * all)) << 2);
          let to4 = panel + ((<usize>r) << 2);
          for (let j = 0; j < n; ++j) {
            store<f32>(to4, load<f32>(at));
            at += 4;
            to4 += 32;
          }
        }
        panel += (<usize>n) << 5;
      }
    }
  }
}

/** Taps of one phase along one side of the kernel. */
export function tapsOf(k: i32, s: i32, d: i32, phase: i32): i32 {
  let count = 0;
  for (let v = 0; v < k; ++v) if ((v * d) % s == phase) ++count;
  return count;
}
