/**
 * Backward batch norm, first step: the two sums behind its gradients, every slice of pixels by itself; with the ReLU that
 * followed the norm.
 *
 *     g = dy where the clamp let the value through, else 0
 *     partials[s, 0, i] = Σ over the slice of g[p, i]
 *     partials[s, 1, i] = Σ over the slice of g[p, i] · (in[p, i] − mean[i])
 *
 * - `pixels c`    of `input`
 * - `rows`        pixels of a slice; the last may have fewer
 * - `input`       [pixels, c] f32: what the norm saw
 * - `output`      [pixels, c] f32: what came out behind the clamp, which tells what it let through; or 0, when nothing was
 *                 added between norm and clamp: then it is told by computing the norm again
 * - `dy`          [pixels, c] f32
 * - `statistics`  [4, c] f32: scale, shift, mean, …
 * - `masked`      [pixels, c] f32: where g is put, or 0
 * - `partials`    [⌈pixels/rows⌉, 2, c] f32
 * - `lo hi`       the clamp; without one −∞ and ∞
 *
 * Unit: one slice.
 *
 * Must hold: `masked` may be `dy`; nothing else overlaps.
 *
 * Why: memory-bound; where nothing was added the output need not be read.
 */
import { madd } from "./simd";

export function norm_grad_sums_f32(
  from: i32, to: i32,
  pixels: i32, c: i32, rows: i32,
  input: usize, output: usize, dy: usize, statistics: usize, masked: usize, partials: usize,
  lo: f32, hi: f32,
): void {
  const bytes = (<usize>c) << 2;
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const open = lo == -Infinity && hi == Infinity;
  for (let unit = from; unit < to; ++unit) {
    const first = unit * rows;
    const count = min(rows, pixels - first);
    const base = <usize>first * bytes;
    const out = partials + <usize>(unit << 1) * bytes;
    let i: usize = 0;
    // Two vectors of channels: `sX0` sums the gradients of vector X, `sX1` their products.
    for (; i + 32 <= bytes; i += 32) {
      const mean = statistics + 2 * bytes + i;
      const mean0 = v128.load(mean), mean1 = v128.load(mean, 16);
      const scale0 = v128.load(statistics + i), scale1 = v128.load(statistics + i, 16);
      const shift = statistics + bytes + i;
      const shift0 = v128.load(shift), shift1 = v128.load(shift, 16);
      let s00 = f32x4.splat(0), s10 = s00, s01 = s00, s11 = s00;
      let at = base + i;
      const end = at + <usize>count * bytes;
      if (open) {
        for (; at < end; at += bytes) {
          const g0 = v128.load(dy + at);
          const g1 = v128.load(dy + at, 16);
          s00 = f32x4.add(s00, g0);
          s10 = f32x4.add(s10, g1);
          s01 = madd(g0, f32x4.sub(v128.load(input + at), mean0), s01);
          s11 = madd(g1, f32x4.sub(v128.load(input + at, 16), mean1), s11);
          if (masked) { v128.store(masked + at, g0); v128.store(masked + at, g1, 16); }
        }
      } else {
        const fromOutput = output != 0;
        for (; at < end; at += bytes) {
          const x0 = v128.load(input + at);
          const x1 = v128.load(input + at, 16);
          let y0: v128, y1: v128;
          if (fromOutput) {
            y0 = v128.load(output + at);
            y1 = v128.load(output + at, 16);
          } else {
            y0 = madd(x0, scale0, shift0);
            y1 = madd(x1, scale1, shift1);
          }
          const g0 = v128.and(v128.load(dy + at), v128.and(f32x4.gt(y0, low), f32x4.lt(y0, high)));
          const g1 = v128.and(v128.load(dy + at, 16), v128.and(f32x4.gt(y1, low), f32x4.lt(y1, high)));
          s00 = f32x4.add(s00, g0);
          s10 = f32x4.add(s10, g1);
          s01 = madd(g0, f32x4.sub(x0, mean0), s01);
          s11 = madd(g1, f32x4.sub(x1, mean1), s11);
          if (masked) { v128.store(masked + at, g0); v128.store(masked + at, g1, 16); }
        }
      }
      v128.store(out + i, s00);
      v128.store(out + i, s10, 16);
      v128.store(out + bytes + i, s01);
      v128.store(out + bytes + i, s11, 16);
    }
    for (; i < bytes; i += 4) {
      const mean = load<f32>(statistics + 2 * bytes + i);
      let s0: f32 = 0;
      let s1: f32 = 0;
      let at = base + i;
      for (let p = 0; p < count; ++p) {
        const x = load<f32>(input + at);
        const y = output ? load<f32>(output + at) : x * load<f32>(statistics + i) + load<f32>(statistics + bytes + i);
        const g = open || (y > lo && y < hi) ? load<f32>(dy + at) : 0;
        s0 += g;
        s1 += g * (x - mean);
        if (masked) store<f32>(masked + at, g);
        at += bytes;
      }
      store<f32>(out + i, s0);
      store<f32>(out + bytes + i, s1);
    }
  }
}
