/**
 * Average pooling of NHWC int8 activations; one step of the output stands for as much as one of the input.
 *
 *     out[b, y, x, i] = round(Σ over the window of in / (pixels of the window, or only those inside the image))
 *
 * - `h w c`        the input [batch, h, w, c]
 * - `oh ow`        the output [batch, oh, ow, c]
 * - `kh kw sh sw`  window and stride
 * - `top left`     padding before the first row and pixel
 * - `countPads`        1 divides by `kh · kw` always, 0 by the pixels inside the image
 * - `input` `out`  i8
 *
 * Unit: one output row; `batch · oh` of them.
 *
 * Must hold: every window touches the image.
 *
 * Why: three small layers of one family of networks (ResNet-D): plain sums serve.
 */
import { requantize1 } from "./requantize";

export function avgpool_i8(
  from: i32, to: i32,
  h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, top: i32, left: i32, countPads: i32,
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
      const part: f32 = (1.0 as f32) / <f32>(countPads ? kh * kw : (v1 - v0) * (u1 - u0));
      for (let i: usize = 0; i < pixel; ++i) {
        let sum = 0;
        for (let v = v0; v < v1; ++v) {
          const row = base + i + <usize>v * line;
          for (let u = u0; u < u1; ++u) sum += load<i8>(row + <usize>u * pixel);
        }
        store<i8>(target + i, requantize1(sum, part, 0, 0, -127, 127));
      }
      target += pixel;
    }
  }
}
