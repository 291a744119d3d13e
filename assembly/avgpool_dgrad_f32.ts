/**
 * Backward average pooling: each window's gradient is shared among its pixels.
 *
 *     dx = (adds ? dx : 0) + Σ over windows of dy / (pixels of the window, or only those inside the image)
 *
 * - `h w c`        the input [batch, h, w, c]
 * - `oh ow`        the output [batch, oh, ow, c]
 * - `kh kw sh sw`  window and stride
 * - `top left`     padding before the first row and pixel
 * - `countPads`        1 divides by `kh · kw` always, 0 by the pixels inside the image
 * - `adds`         1 adds to what `dx` holds, 0 overwrites it
 * - `dy` `dx`     f32
 *
 * Unit: one image.
 *
 * Must hold: every window touches the image; `dx` does not overlap `dy`.
 *
 * Why: as `maxpool_dgrad_f32`.
 */
import { madd } from "./simd";

export function avgpool_dgrad_f32(
  from: i32, to: i32,
  h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, top: i32, left: i32, countPads: i32,
  adds: i32,
  dy: usize, dx: usize,
): void {
  const pixel = (<usize>c) << 2;
  const line = pixel * w;
  for (let unit = from; unit < to; ++unit) {
    const target = dx + <usize>(unit * h) * line;
    if (!adds) memory.fill(target, 0, line * h);
    let g = dy + <usize>(unit * oh * ow) * pixel;
    for (let y = 0; y < oh; ++y) {
      const v0 = max(0, y * sh - top);
      const v1 = min(h, y * sh - top + kh);
      for (let x = 0; x < ow; ++x) {
        const u0 = max(0, x * sw - left);
        const u1 = min(w, x * sw - left + kw);
        const part: f32 = (1.0 as f32) / <f32>(countPads ? kh * kw : (v1 - v0) * (u1 - u0));
        const part4 = f32x4.splat(part);
        for (let v = v0; v < v1; ++v) {
          for (let u = u0; u < u1; ++u) {
            const at = target + <usize>v * line + <usize>u * pixel;
            let i: usize = 0;
            for (; i + 16 <= pixel; i += 16) {
              v128.store(at + i, madd(v128.load(g + i), part4, v128.load(at + i)));
            }
            for (; i < pixel; i += 4) store<f32>(at + i, load<f32>(at + i) + load<f32>(g + i) * part);
          }
        }
        g += pixel;
      }
    }
  }
}
