/**
 * The norm of all gradients, and what to multiply them with so that it does not exceed a limit.
 *
 *     norm = √Σ in,   factor = min(1, limit / (norm + 1e-6))
 *
 * - `n`      sums of squares
 * - `input`  [n] f32 of `sum_squares_f32`
 * - `out`    [1] f32: the norm
 * - `factor` [1] f32
 * - `limit`  largest norm; ∞ for none
 *
 * Unit: the whole; 1.
 *
 * Must hold: the outputs overlap nothing.
 *
 * Why: as PyTorch's `clip_grad_norm_`, the gradients being multiplied where they are used.
 */
export function clip_f32(from: i32, to: i32, n: i32, input: usize, out: usize, factor: usize, limit: f32): void {
  for (let unit = from; unit < to; ++unit) {
    let sum: f64 = 0;
    for (let i = 0; i < n; ++i) sum += <f64>load<f32>(input + ((<usize>i) << 2));
    const norm = Math.sqrt(sum);
    store<f32>(out, <f32>norm);
    store<f32>(factor, limit == Infinity ? 1 : <f32>min(1.0, <f64>limit / (norm + 1e-6)));
  }
}
