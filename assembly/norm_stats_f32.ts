/**
 * Batch statistics, first step: every slice of pixels by itself.
 *
 *     partials[s, 0, i] = mean over the slice of in[p, i]
 *     partials[s, 1, i] = Σ over the slice of (in[p, i] − that mean)²
 *
 * - `pixels c`   of `input`
 * - `rows`       pixels of a slice; the last may have fewer
 * - `input`      [pixels, c] f32
 * - `partials`   [⌈pixels/rows⌉, 2, c] f32
 *
 * Unit: one slice.
 *
 * Must hold: `partials` does not overlap `input`.
 *
 * Why: two passes over a slice that L1 holds cost what one costs, and lose nothing where the mean is far from zero
 * (Chan, Golub & LeVeque 1983); slices, not threads, decide how sums are rounded.
 */
import { madd } from "./simd";

export function norm_stats_f32(
  from: i32, to: i32,
  pixels: i32, c: i32, rows: i32,
  input: usize, partials: usize,
): void {
  const bytes = (<usize>c) << 2;
  for (let unit = from; unit < to; ++unit) {
    const first = unit * rows;
    const count = min(rows, pixels - first);
    const base = input + <usize>first * bytes;
    const out = partials + <usize>(unit << 1) * bytes;
    const part: f32 = (1.0 as f32) / <f32>count;
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) {
      let s0 = f32x4.splat(0);
      let s1 = s0;
      let at = base + i;
      let p = 0;
      for (; p + 2 <= count; p += 2) {
        s0 = f32x4.add(s0, v128.load(at));
        s1 = f32x4.add(s1, v128.load(at + bytes));
        at += bytes << 1;
      }
      if (p < count) s0 = f32x4.add(s0, v128.load(at));
      const mean = f32x4.mul(f32x4.add(s0, s1), f32x4.splat(part));
      s0 = f32x4.splat(0);
      s1 = s0;
      at = base + i;
      p = 0;
      for (; p + 2 <= count; p += 2) {
        const d0 = f32x4.sub(v128.load(at), mean);
        const d1 = f32x4.sub(v128.load(at + bytes), mean);
        s0 = madd(d0, d0, s0);
        s1 = madd(d1, d1, s1);
        at += bytes << 1;
      }
      if (p < count) {
        const d = f32x4.sub(v128.load(at), mean);
        s0 = madd(d, d, s0);
      }
      v128.store(out + i, mean);
      v128.store(out + bytes + i, f32x4.add(s0, s1));
    }
    for (; i < bytes; i += 4) {
      let sum: f32 = 0;
      for (let p = 0; p < count; ++p) sum += load<f32>(base + i + <usize>p * bytes);
      const mean = sum * part;
      sum = 0;
      for (let p = 0; p < count; ++p) {
        const d = load<f32>(base + i + <usize>p * bytes) - mean;
        sum += d * d;
      }
      store<f32>(out + i, mean);
      store<f32>(out + bytes + i, sum);
    }
  }
}
