/**
 * Max pooling of NHWC int8 activations. Padding never wins.
 *
 *     out[b, y, x, i] = max over the window of in[b, y·sh + v − top, x·sw + u − left, i]
 *
 * - `h w c`        the input [batch, h, w, c]
 * - `oh ow`        the output [batch, oh, ow, c]
 * - `kh kw sh sw`  window and stride
 * - `top left`     padding before the first row and pixel
 * - `input` `out`  i8
 *
 * Unit: one output row; `batch · oh` of them.
 *
 * Must hold: every window touches the image.
 *
 * Why: sixteen channels an instruction; memory-bound.
 */
export function maxpool_i8(
  from: i32, to: i32,
  h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, top: i32, left: i32,
  input: usize, out: usize,
): void {
  const pixel = <usize>c;
  const line = pixel * w;
  for (let unit = from; unit < to; ++unit) {
    const image = unit / oh;
    const y0 = (unit - image * oh) * sh - top;
    const v0 = max(0, y0);
    const v1 = min(h, y0 + kh);
    const base = input + <usize>(image * h) * line;
    let target = out + <usize>(unit * ow) * pixel;
    for (let x = 0; x < ow; ++x) {
      const x0 = x * sw - left;
      const u0 = max(0, x0);
      const u1 = min(w, x0 + kw);
      let i: usize = 0;
      for (; i + 16 <= pixel; i += 16) {
        let best = i8x16.splat(-128);
        for (let v = v0; v < v1; ++v) {
          const row = base + i + <usize>v * line;
          for (let u = u0; u < u1; ++u) best = i8x16.max_s(best, v128.load(row + <usize>u * pixel));
        }
        v128.store(target + i, best);
      }
      for (; i < pixel; ++i) {
        let best: i32 = -128;
        for (let v = v0; v < v1; ++v) {
          const row = base + i + <usize>v * line;
          for (let u = u0; u < u1; ++u) best = max(best, <i32>load<i8>(row + <usize>u * pixel));
        }
        store<i8>(target + i, best);
      }
      target += pixel;
    }
  }
}
