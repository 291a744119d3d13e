/**
 * Every channel of an image times a factor of its own: the gate of squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507).
 *
 *     out[b, p, i] = input[b, p, i] · factors[b, i]
 *
 * - `pixels c`  the input [batch, pixels, c]
 * - `input`     [batch, pixels, c] f32
 * - `factors`   [batch, c] f32
 * - `out`       [batch, pixels, c] f32
 *
 * Unit: one pixel of one image; `batch · pixels` of them.
 *
 * Must hold: `out` is `input` or overlaps neither source.
 *
 * Why: memory-bound; nothing to choose.
 */
export function gate_f32(from: i32, to: i32, pixels: i32, c: i32, input: usize, factors: usize, out: usize): void {
  const pixel = (<usize>c) << 2;
  for (let unit = from; unit < to; ++unit) {
    const a = input + <usize>unit * pixel;
    const f = factors + <usize>(unit / pixels) * pixel;
    const o = out + <usize>unit * pixel;
    let at: usize = 0;
    for (; at + 16 <= pixel; at += 16) v128.store(o + at, f32x4.mul(v128.load(a + at), v128.load(f + at)));
    for (; at < pixel; at += 4) store<f32>(o + at, load<f32>(a + at) * load<f32>(f + at));
  }
}
