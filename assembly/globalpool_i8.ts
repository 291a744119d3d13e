/**
 * Mean over all pixels of int8 activations.
 *
 *     out[b, i] = clamp(round((Σ_p in[b, p, i]) · scale))
 *
 * - `pixels c`  the input [batch, pixels, c]
 * - `input`     [batch, pixels, c] i8
 * - `out`       [batch, c] i8
 * - `scale`     of a sum, in steps of the output: the division by `pixels` is part of it
 * - `lo hi`     bounds of the output
 *
 * Unit: 16 channels of one image; `batch · ⌈c/16⌉` of them.
 *
 * Must hold: `pixels` below 2²³.
 *
 * Why: sums in i32, a sixteenth of a cache line's channels at a time would waste the rest of it.
 */
import { requantize1 } from "./requantize";

export function globalpool_i8(
  from: i32, to: i32,
  pixels: i32, c: i32,
  input: usize, out: usize,
  scale: f32, lo: f32, hi: f32,
): void {
  assert(pixels < 1 << 23);
  const blocks = (c + 15) >> 4;
  for (let unit = from; unit < to; ++unit) {
    const image = unit / blocks;
    const first = (unit - image * blocks) << 4;
    const end = min(c, first + 16);
    const base = input + <usize>(image * pixels) * c;
    for (let i = first; i < end; ++i) {
      let sum = 0;
      let at = base + i;
      for (let p = 0; p < pixels; ++p) {
        sum += load<i8>(at);
        at += c;
      }
      store<i8>(out + <usize>(image * c + i), requantize1(sum, scale, 0, 0, lo, hi));
    }
  }
}
