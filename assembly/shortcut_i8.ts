/**
 * The parameter-free shortcut of He et al. (option A) over int8 activations.
 *
 *     out[b, y, x, j] = in[b, y·s, x·s, j − before] where that channel exists, else 0
 *
 * - `h w c`        the input [batch, h, w, c]
 * - `oh ow n`      the output [batch, oh, ow, n]
 * - `s before`     stride; zero channels before the copied ones
 * - `input` `out`  i8
 *
 * Unit: one output row; `batch · oh` of them.
 *
 * Must hold: `before + c` ≤ `n`; `out` does not overlap `input`.
 *
 * Why: bytes moved, nothing computed.
 */
export function shortcut_i8(
  from: i32, to: i32,
  h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32, s: i32, before: i32,
  input: usize, out: usize,
): void {
  assert(before + c <= n);
  for (let unit = from; unit < to; ++unit) {
    const image = unit / oh;
    const y = unit - image * oh;
    let target = out + <usize>(unit * ow) * n;
    for (let x = 0; x < ow; ++x) {
      const source = input + <usize>((image * h + y * s) * w + x * s) * c;
      memory.fill(target, 0, before);
      memory.copy(target + before, source, c);
      memory.fill(target + <usize>(before + c), 0, n - before - c);
      target += n;
    }
  }
}
