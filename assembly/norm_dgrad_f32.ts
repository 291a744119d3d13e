/**
 * Backward batch norm, last step: the gradient of the input, with the ReLU that followed the norm.
 *
 *     g  = dy where lo < in · scale + shift < hi, else 0
 *     dx = slopes[0] · g + slopes[1] · (in − mean) + slopes[2] + (adds ? dx : 0)
 *
 * - `c`           channels
 * - `adds`        1 adds to what `dx` holds, 0 overwrites it
 * - `input`       [pixels, c] f32: what the norm saw
 * - `dy`          [pixels, c] f32
 * - `statistics`  [4, c] f32: scale, shift, mean, …
 * - `slopes`      [3, c] f32 of `norm_wgrad_f32`
 * - `dx`         [pixels, c] f32
 * - `lo hi`       the clamp; −∞ and ∞ where there is none, or `dy` has been masked
 *
 * Unit: one pixel.
 *
 * Must hold: `dx` may be `dy`, unless it adds; nothing else overlaps.
 *
 * Why: memory-bound; two vectors side by side, which engines that pack pairs make one.
 */
import { madd } from "./simd";

export function norm_dgrad_f32(
  from: i32, to: i32,
  c: i32, adds: i32,
  input: usize, dy: usize, statistics: usize, slopes: usize, dx: usize,
  lo: f32, hi: f32,
): void {
  const bytes = (<usize>c) << 2;
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const open = lo == -Infinity && hi == Infinity;
  for (let unit = from; unit < to; ++unit) {
    const at = <usize>unit * bytes;
    let i: usize = 0;
    for (; i + 32 <= bytes; i += 32) {
      const a = input + at + i;
      const o = dx + at + i;
      const x0 = v128.load(a);
      const x1 = v128.load(a, 16);
      let g0 = v128.load(dy + at + i);
      let g1 = v128.load(dy + at + i, 16);
      const scale = statistics + i;
      const shift = scale + bytes;
      const mean = shift + bytes;
      if (!open) {
        const y0 = madd(x0, v128.load(scale), v128.load(shift));
        const y1 = madd(x1, v128.load(scale, 16), v128.load(shift, 16));
        g0 = v128.and(g0, v128.and(f32x4.gt(y0, low), f32x4.lt(y0, high)));
        g1 = v128.and(g1, v128.and(f32x4.gt(y1, low), f32x4.lt(y1, high)));
      }
      const slope = slopes + i;
      const away = slope + bytes;
      const rest = away + bytes;
      let sum0 = madd(f32x4.sub(x0, v128.load(mean)), v128.load(away), v128.load(rest));
      let sum1 = madd(f32x4.sub(x1, v128.load(mean, 16)), v128.load(away, 16), v128.load(rest, 16));
      sum0 = madd(g0, v128.load(slope), sum0);
      sum1 = madd(g1, v128.load(slope, 16), sum1);
      if (adds) {
        sum0 = f32x4.add(sum0, v128.load(o));
        sum1 = f32x4.add(sum1, v128.load(o, 16));
      }
      v128.store(o, sum0);
      v128.store(o, sum1, 16);
    }
    for (; i < bytes; i += 4) {
      const x = load<f32>(input + at + i);
      const y = x * load<f32>(statistics + i) + load<f32>(statistics + bytes + i);
      const g = open || (y > lo && y < hi) ? load<f32>(dy + at + i) : 0;
      let sum = (x - load<f32>(statistics + 2 * bytes + i)) * load<f32>(slopes + bytes + i);
      sum += load<f32>(slopes + 2 * bytes + i) + g * load<f32>(slopes + i);
      if (adds) sum += load<f32>(dx + at + i);
      store<f32>(dx + at + i, sum);
    }
  }
}
