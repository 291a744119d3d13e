/**
 * Backward max pooling: each window's gradient goes to its first maximum, in the order of rows, then pixels.
 *
 *     dx = (adds ? dx : 0) + Σ over windows of dy, at the window's first maximum
 *
 * - `h w c`        the input [batch, h, w, c]
 * - `oh ow`        the output [batch, oh, ow, c]
 * - `kh kw sh sw`  window and stride
 * - `top left`     padding before the first row and pixel
 * - `adds`         1 adds to what `dx` holds, 0 overwrites it
 * - `input` `dy` `dx`  f32
 *
 * Unit: one image.
 *
 * Must hold: every window touches the image; `dx` overlaps nothing.
 *
 * Why: looking for the maximum again costs less than keeping where it was: an index as large as the output.
 */
export function maxpool_dgrad_f32(
  from: i32, to: i32,
  h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, top: i32, left: i32, adds: i32,
  input: usize, dy: usize, dx: usize,
): void {
  const pixel = (<usize>c) << 2;
  const line = pixel * w;
  for (let unit = from; unit < to; ++unit) {
    const base = input + <usize>(unit * h) * line;
    const target = dx + <usize>(unit * h) * line;
    if (!adds) memory.fill(target, 0, line * h);
    let g = dy + <usize>(unit * oh * ow) * pixel;
    for (let y = 0; y < oh; ++y) {
      const v0 = max(0, y * sh - top);
      const v1 = min(h, y * sh - top + kh);
      for (let x = 0; x < ow; ++x) {
        const u0 = max(0, x * sw - left);
        const u1 = min(w, x * sw - left + kw);
        let i: usize = 0;
        for (; i + 16 <= pixel; i += 16) {
          let best = f32x4.splat(-Infinity);
          let where = i32x4.splat(<i32>(<usize>v0 * line + <usize>u0 * pixel));
          for (let v = v0; v < v1; ++v) {
            for (let u = u0; u < u1; ++u) {
              const at = <usize>v * line + <usize>u * pixel;
              const value = v128.load(base + at + i);
              // As PyTorch: greater, or NaN.
              const over = v128.or(f32x4.gt(value, best), f32x4.ne(value, value));
              best = v128.bitselect(value, best, over);
              where = v128.bitselect(i32x4.splat(<i32>at), where, over);
            }
          }
          give(target + i, i32x4.extract_lane(where, 0), load<f32>(g + i));
          give(target + i + 4, i32x4.extract_lane(where, 1), load<f32>(g + i, 4));
          give(target + i + 8, i32x4.extract_lane(where, 2), load<f32>(g + i, 8));
          give(target + i + 12, i32x4.extract_lane(where, 3), load<f32>(g + i, 12));
        }
        for (; i < pixel; i += 4) {
          let best: f32 = -Infinity;
          let where = <i32>(<usize>v0 * line + <usize>u0 * pixel);
          for (let v = v0; v < v1; ++v) {
            for (let u = u0; u < u1; ++u) {
              const at = <usize>v * line + <usize>u * pixel;
              const value = load<f32>(base + at + i);
              if (value > best || value != value) {
                best = value;
                where = <i32>at;
              }
            }
          }
          give(target + i, where, load<f32>(g + i));
        }
        g += pixel;
      }
    }
  }
}

function give(target: usize, at: i32, value: f32): void {
  store<f32>(target + <usize>at, load<f32>(target + <usize>at) + value);
}
