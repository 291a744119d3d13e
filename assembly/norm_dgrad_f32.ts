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
 * Why: memory-bound; nothing to choose.
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
    for (; i + 16 <= bytes; i += 16) {
      const x = v128.load(input + at + i);
      let g = v128.load(dy + at + i);
      if (!open) {
        const y = madd(x, v128.load(statistics + i), v128.load(statistics + bytes + i));
        g = v128.and(g, v128.and(f32x4.gt(y, low), f32x4.lt(y, high)));
      }
      const away = f32x4.sub(x, v128.load(statistics + 2 * bytes + i));
      let sum = madd(away, v128.load(slopes + bytes + i), v128.load(slopes + 2 * bytes + i));
      sum = madd(g, v128.load(slopes + i), sum);
      if (adds) sum = f32x4.add(sum, v128.load(dx + at + i));
      v128.store(dx + at + i, sum);
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
