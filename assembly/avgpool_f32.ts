/**
 * Average pooling of NHWC activations.
 *
 *     out[b, y, x, i] = (Σ over the window of in) / (pixels of the window, or only those inside the image)
 *
 * - `h w c`        the input [batch, h, w, c]
 * - `oh ow`        the output [batch, oh, ow, c]
 * - `kh kw sh sw`  window and stride
 * - `top left`     padding before the first row and pixel
 * - `countPads`        1 divides by `kh · kw` always, 0 by the pixels inside the image
 * - `input` `out`  f32
 *
 * Unit: one output row; `batch · oh` of them.
 *
 * Must hold: every window touches the image.
 *
 * Why: as `maxpool_f32`.
 */
export function avgpool_f32(
  from: i32, to: i32,
  h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, top: i32, left: i32, countPads: i32,
  input: usize, out: usize,
): void {
  const pixel = (<usize>c) << 2;
  const line = pixel * w;
  for (let unit = from; unit < to; ++unit) {
    const image = unit / oh;
    const y0 = (unit - image * oh) * sh - top;
    const v0 = max(0, y0);
    const v1 = min(h, y0 + kh);
    const base = input + <usize>(image * h) * line;
    let to4 = out + <usize>(unit * ow) * pixel;
    for (let x = 0; x < ow; ++x) {
      const x0 = x * sw - left;
      const u0 = max(0, x0);
      const u1 = min(w, x0 + kw);
      const part: f32 = (1.0 as f32) / <f32>(countPads ? kh * kw : (v1 - v0) * (u1 - u0));
      let i = 0;
      for (; i + 8 <= c; i += 8) {
        const at = base + ((<usize>i) << 2);
        let s0 = f32x4.splat(0);
        let s1 = s0;
        for (let v = v0; v < v1; ++v) {
          let next = at + <usize>v * line + <usize>u0 * pixel;
          for (let u = u0; u < u1; ++u) {
            s0 = f32x4.add(s0, v128.load(next));
            s1 = f32x4.add(s1, v128.load(next, 16));
            next += pixel;
          }
        }
        const target = to4 + ((<usize>i) << 2);
        v128.store(target, f32x4.mul(s0, f32x4.splat(part)));
        v128.store(target, f32x4.mul(s1, f32x4.splat(part)), 16);
      }
      for (; i < c; ++i) {
        const at = base + ((<usize>i) << 2);
        let sum: f32 = 0;
        for (let v = v0; v < v1; ++v) {
          for (let u = u0; u < u1; ++u) sum += load<f32>(at + <usize>v * line + <usize>u * pixel);
        }
        store<f32>(to4 + ((<usize>i) << 2), sum * part);
      }
      to4 += pixel;
    }
  }
}
