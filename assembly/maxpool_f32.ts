/**
 * Max pooling of NHWC activations.
 *
 *     out[b, y, x, i] = max over the window of in;  pixels outside the image do not take part
 *
 * - `h w c`        the input [batch, h, w, c]
 * - `oh ow`        the output [batch, oh, ow, c]
 * - `kh kw sh sw`  window and stride
 * - `top left`     padding before the first row and pixel
 * - `input` `out`  f32
 *
 * Unit: one output row; `batch · oh` of them.
 *
 * Must hold: every window touches the image.
 *
 * Why: two vectors of channels side by side (engines that pack pairs make one of them), the window innermost; memory-bound (the
 * 3×3 stride 2 pool of the stem reads 3.2 MB).
 */
export function maxpool_f32(
  from: i32, to: i32,
  h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, top: i32, left: i32,
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
      let i = 0;
      for (; i + 8 <= c; i += 8) {
        const at = base + ((<usize>i) << 2);
        let best0 = f32x4.splat(-Infinity), nan0 = f32x4.splat(0);
        let best1 = best0, nan1 = nan0;
        for (let v = v0; v < v1; ++v) {
          let next = at + <usize>v * line + <usize>u0 * pixel;
          for (let u = u0; u < u1; ++u) {
            const x0 = v128.load(next);
            const x1 = v128.load(next, 16);
            best0 = f32x4.pmax(best0, x0);
            best1 = f32x4.pmax(best1, x1);
            nan0 = v128.or(nan0, f32x4.ne(x0, x0));
            nan1 = v128.or(nan1, f32x4.ne(x1, x1));
            next += pixel;
          }
        }
        // All bits set is a NaN too: one in the window is the result, as in PyTorch.
        const target = to4 + ((<usize>i) << 2);
        v128.store(target, v128.or(best0, nan0));
        v128.store(target, v128.or(best1, nan1), 16);
      }
      for (; i < c; ++i) {
        const at = base + ((<usize>i) << 2);
        let best: f32 = -Infinity;
        for (let v = v0; v < v1; ++v) {
          for (let u = u0; u < u1; ++u) {
            const value = load<f32>(at + <usize>v * line + <usize>u * pixel);
            if (value > best || value != value) best = value;
          }
        }
        store<f32>(to4 + ((<usize>i) << 2), best);
      }
      to4 += pixel;
    }
  }
}
