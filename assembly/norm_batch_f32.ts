/**
 * Batch statistics, second step: slices become the mean and variance of the batch, and these a scale and a shift.
 *
 *     scale = weight / √(variance + epsilon),  shift = bias − mean · scale
 *
 * - `pixels c`      of the activation
 * - `rows`          pixels of a slice
 * - `partials`      [⌈pixels/rows⌉, 2, c] f32 of `norm_stats_f32`
 * - `weight bias`   [c] f32
 * - `statistics`    [4, c] f32: scale, shift, mean, 1 / √(variance + epsilon)
 * - `fresh` `freshVariance`  [c] f32: the mean, and the variance with one degree of freedom less, for running statistics
 * - `epsilon`       of the norm
 *
 * Unit: one channel.
 *
 * Must hold: the outputs overlap nothing.
 *
 * Why: in f64, slice after slice, so the result is the same whoever computes it.
 */
export function norm_batch_f32(
  from: i32, to: i32,
  pixels: i32, c: i32, rows: i32,
  partials: usize, weight: usize, bias: usize, statistics: usize, fresh: usize, freshVariance: usize,
  epsilon: f32,
): void {
  const bytes = (<usize>c) << 2;
  const slices = (pixels + rows - 1) / rows;
  for (let unit = from; unit < to; ++unit) {
    const i = (<usize>unit) << 2;
    let sum: f64 = 0;
    let at = partials + i;
    for (let s = 0; s < slices; ++s) {
      sum += <f64>load<f32>(at) * <f64>min(rows, pixels - s * rows);
      at += bytes << 1;
    }
    const mean = sum / <f64>pixels;
    let squares: f64 = 0;
    at = partials + i;
    for (let s = 0; s < slices; ++s) {
      const d = <f64>load<f32>(at) - mean;
      squares += <f64>load<f32>(at + bytes) + d * d * <f64>min(rows, pixels - s * rows);
      at += bytes << 1;
    }
    const inverse = 1.0 / Math.sqrt(squares / <f64>pixels + <f64>epsilon);
    const scale = <f64>load<f32>(weight + i) * inverse;
    store<f32>(statistics + i, <f32>scale);
    store<f32>(statistics + bytes + i, <f32>(<f64>load<f32>(bias + i) - mean * scale));
    store<f32>(statistics + 2 * bytes + i, <f32>mean);
    store<f32>(statistics + 3 * bytes + i, <f32>inverse);
    store<f32>(fresh + i, <f32>mean);
    store<f32>(freshVariance + i, <f32>(squares / <f64>max(1, pixels - 1)));
  }
}
