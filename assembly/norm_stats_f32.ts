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
    // Two vectors of channels by two pixels: `sYX` sums pixels of parity Y for vector X.
    for (; i + 32 <= bytes; i += 32) {
      let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00;
      let at = base + i;
      let p = 0;
      for (; p + 2 <= count; p += 2) {
        const next = at + bytes;
        s00 = f32x4.add(s00, v128.load(at));
        s01 = f32x4.add(s01, v128.load(at, 16));
        s10 = f32x4.add(s10, v128.load(next));
        s11 = f32x4.add(s11, v128.load(next, 16));
        at = next + bytes;
      }
      if (p < count) {
        s00 = f32x4.add(s00, v128.load(at));
        s01 = f32x4.add(s01, v128.load(at, 16));
      }
      const mean0 = f32x4.mul(f32x4.add(s00, s10), f32x4.splat(part));
      const mean1 = f32x4.mul(f32x4.add(s01, s11), f32x4.splat(part));
      v128.store(out + i, mean0);
      v128.store(out + i, mean1, 16);
      s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00;
      at = base + i;
      p = 0;
      for (; p + 2 <= count; p += 2) {
        const next = at + bytes;
        const d00 = f32x4.sub(v128.load(at), mean0);
        const d01 = f32x4.sub(v128.load(at, 16), mean1);
        const d10 = f32x4.sub(v128.load(next), mean0);
        const d11 = f32x4.sub(v128.load(next, 16), mean1);
        s00 = madd(d00, d00, s00);
        s01 = madd(d01, d01, s01);
        s10 = madd(d10, d10, s10);
        s11 = madd(d11, d11, s11);
        at = next + bytes;
      }
      if (p < count) {
        const d00 = f32x4.sub(v128.load(at), mean0);
        const d01 = f32x4.sub(v128.load(at, 16), mean1);
        s00 = madd(d00, d00, s00);
        s01 = madd(d01, d01, s01);
      }
      v128.store(out + bytes + i, f32x4.add(s00, s10));
      v128.store(out + bytes + i, f32x4.add(s01, s11), 16);
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
