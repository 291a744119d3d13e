/**
 * Backward of the parameter-free shortcut (option A): the copied channels of every `s`-th pixel get their gradient back.
 *
 *     dx[b, y, x, i] = (adds ? dx[b, y, x, i] : 0) + (s | y and s | x ? dy[b, y/s, x/s, before + i] : 0)
 *
 * - `h w c`     the input [batch, h, w, c]
 * - `oh ow n`   the output [batch, oh, ow, n]
 * - `s`         stride
 * - `before`    zero channels before the copied ones
 * - `adds`      1 adds to what `dx` holds, 0 overwrites it
 * - `dy` `dx`  f32
 *
 * Unit: one row of `dx`; `batch · h` of them.
 *
 * Must hold: `before + c` ≤ `n`; `dx` does not overlap `dy`.
 *
 * Why: memory-bound; nothing to choose.
 */
export function shortcut_dgrad_f32(
  from: i32, to: i32,
  h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32, s: i32, before: i32, adds: i32,
  dy: usize, dx: usize,
): void {
  assert(before + c <= n);
  const bytes = (<usize>c) << 2;
  for (let unit = from; unit < to; ++unit) {
    const image = unit / h;
    const y = unit - image * h;
    const target = dx + <usize>(unit * w) * bytes;
    if (!adds) memory.fill(target, 0, bytes * w);
    if (y % s) continue;
    let g = dy + ((<usize>((image * oh + y / s) * ow) * n + before) << 2);
    for (let x = 0; x < w; x += s) {
      const at = target + <usize>x * bytes;
      let i: usize = 0;
      for (; i + 16 <= bytes; i += 16) v128.store(at + i, f32x4.add(v128.load(at + i), v128.load(g + i)));
      for (; i < bytes; i += 4) store<f32>(at + i, load<f32>(at + i) + load<f32>(g + i));
      g += (<usize>n) << 2;
    }
  }
}
