/**
 * The gradient of a bias: the sums of columns.
 *
 *     db[i] += Σ_r dy[r, i]
 *
 * - `m c`    rows and columns
 * - `dy`     [m, c] f32
 * - `db`     [c] f32
 *
 * Unit: 16 columns (one cache line); `⌈c/16⌉` of them.
 *
 * Must hold: `db` does not overlap `dy`.
 *
 * Why: once per step, of the classifier; summed in f64.
 */
export function bias_grad_f32(from: i32, to: i32, m: i32, c: i32, dy: usize, db: usize): void {
  const bytes = (<usize>c) << 2;
  for (let i = from << 4; i < min(c, to << 4); ++i) {
    let at = dy + ((<usize>i) << 2);
    let sum: f64 = 0;
    for (let r = 0; r < m; ++r) {
      sum += <f64>load<f32>(at);
      at += bytes;
    }
    const to4 = db + ((<usize>i) << 2);
    store<f32>(to4, load<f32>(to4) + <f32>sum);
  }
}
