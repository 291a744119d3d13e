/**
 * The parameter-free shortcut where shapes change (He et al. 2015, option A): subsample, and fill new channels with zero.
 *
 *     out[b, y, x, i] = before <= i < before + c ? in[b, y·s, x·s, i − before] : 0
 *
 * - `h w c`     the input [batch, h, w, c]
 * - `oh ow n`   the output [batch, oh, ow, n]
 * - `s`         stride
 * - `before`    zero channels before the copied ones
 * - `input` `out`  f32
 *
 * Unit: one output row; `batch · oh` of them.
 *
 * Must hold: `before + c` ≤ `n`.
 *
 * Why: memory-bound; two fills and a copy a pixel.
 */
export function shortcut_f32(
  from: i32, to: i32,
  h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32, s: i32, before: i32,
  input: usize, out: usize,
): void {
  assert(before + c <= n);
  const bytes = (<usize>c) << 2;
  const blank = (<usize>before) << 2;
  const rest = ((<usize>n) << 2) - blank - bytes;
  for (let unit = from; unit < to; ++unit) {
    const image = unit / oh;
    const y = unit - image * oh;
    let source = input + <usize>((image * h + y * s) * w) * bytes;
    let target = out + ((<usize>(unit * ow) * n) << 2);
    for (let x = 0; x < ow; ++x) {
      memory.fill(target, 0, blank);
      memory.copy(target + blank, source, bytes);
      memory.fill(target + blank + bytes, 0, rest);
      source += <usize>s * bytes;
      target += (<usize>n) << 2;
    }
  }
}
