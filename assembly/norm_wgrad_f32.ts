/**
 * Backward batch norm, second step (Ioffe & Szegedy 2015, section 3): the gradients of weight and bias, and what turns the
 * gradient of the output into that of the input.
 *
 *     dw[i] += Σ g · (x − mean) · inverse,   db[i] += Σ g
 *     dx = slopes[0] · g + slopes[1] · (x − mean) + slopes[2]
 *
 * - `pixels c`    of the activation
 * - `rows`        pixels of a slice
 * - `live`        1: the mean and variance are the batch's, and have gradients of their own; 0: they are fixed
 * - `partials`    [⌈pixels/rows⌉, 2, c] f32 of `norm_grad_sums_f32`
 * - `statistics`  [4, c] f32: scale, shift, mean, inverse standard deviation
 * - `dw` `db`     [c] f32, or 0 where weight and bias are not trained
 * - `slopes`      [3, c] f32
 *
 * Unit: one channel.
 *
 * Must hold: the outputs overlap nothing.
 *
 * Why: in f64, slice after slice, so the result is the same whoever computes it.
 */
export function norm_wgrad_f32(
  from: i32, to: i32,
  pixels: i32, c: i32, rows: i32, live: i32,
  partials: usize, statistics: usize, dw: usize, db: usize, slopes: usize,
): void {
  const bytes = (<usize>c) << 2;
  const slices = (pixels + rows - 1) / rows;
  for (let unit = from; unit < to; ++unit) {
    const i = (<usize>unit) << 2;
    let s0: f64 = 0;
    let s1: f64 = 0;
    let at = partials + i;
    for (let s = 0; s < slices; ++s) {
      s0 += <f64>load<f32>(at);
      s1 += <f64>load<f32>(at + bytes);
      at += bytes << 1;
    }
    const scale = <f64>load<f32>(statistics + i);
    const inverse = <f64>load<f32>(statistics + 3 * bytes + i);
    if (dw) store<f32>(dw + i, load<f32>(dw + i) + <f32>(s1 * inverse));
    if (db) store<f32>(db + i, load<f32>(db + i) + <f32>s0);
    store<f32>(slopes + i, <f32>scale);
    store<f32>(slopes + bytes + i, live ? <f32>((-scale * inverse * inverse * s1) / <f64>pixels) : 0);
    store<f32>(slopes + 2 * bytes + i, live ? <f32>((-scale * s0) / <f64>pixels) : 0);
  }
}
