/**
 * Mean over all pixels.
 *
 *     out[b, i] = (Σ_p in[b, p, i]) / pixels
 *
 * - `pixels c`  the input [batch, pixels, c]
 * - `input`     [batch, pixels, c] f32
 * - `out`       [batch, c] f32
 *
 * Unit: 16 channels (one cache line) of one image; `batch · ⌈c/16⌉` of them.
 *
 * Must hold: `pixels` ≥ 1.
 *
 * Why: a whole cache line a pixel, so that a strided walk wastes nothing.
 */
export function globalpool_f32(from: i32, to: i32, pixels: i32, c: i32, input: usize, out: usize): void {
  assert(pixels >= 1);
  const blocks = (c + 15) >> 4;
  const pixel = (<usize>c) << 2;
  const part: f32 = (1.0 as f32) / <f32>pixels;
  const part4 = f32x4.splat(part);
  for (let unit = from; unit < to; ++unit) {
    const image = unit / blocks;
    let i = (unit - image * blocks) << 4;
    const base = input + <usize>(image * pixels) * pixel;
    const end = min(c, i + 16);
    if (i + 16 <= c) {
      let at = base + ((<usize>i) << 2);
      let s0 = f32x4.splat(0);
      let s1 = s0;
      let s2 = s0;
      let s3 = s0;
      for (let p = 0; p < pixels; ++p) {
        s0 = f32x4.add(s0, v128.load(at));
        s1 = f32x4.add(s1, v128.load(at, 16));
        s2 = f32x4.add(s2, v128.load(at, 32));
        s3 = f32x4.add(s3, v128.load(at, 48));
        at += pixel;
      }
      const to4 = out + <usize>image * pixel + ((<usize>i) << 2);
      v128.store(to4, f32x4.mul(s0, part4));
      v128.store(to4, f32x4.mul(s1, part4), 16);
      v128.store(to4, f32x4.mul(s2, part4), 32);
      v128.store(to4, f32x4.mul(s3, part4), 48);
    } else {
      for (; i < end; ++i) {
        let at = base + ((<usize>i) << 2);
        let sum: f32 = 0;
        for (let p = 0; p < pixels; ++p) {
          sum += load<f32>(at);
          at += pixel;
        }
        store<f32>(out + <usize>image * pixel + ((<usize>i) << 2), sum * part);
      }
    }
  }
}
