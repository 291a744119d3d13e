/**
 * Sums of columns: the gradient of a bias.
 *
 *     out[i] += Σ_r in[r, i]
 *
 * - `m c`    rows and columns
 * - `input`  [m, c] f32
 * - `out`    [c] f32
 *
 * Unit: 16 columns (one cache line); `⌈c/16⌉` of them.
 *
 * Must hold: `out` does not overlap `input`.
 *
 * Why: once per step, of the classifier; summed in f64.
 */
export function columns_f32(from: i32, to: i32, m: i32, c: i32, input: usize, out: usize): void {
  const bytes = (<usize>c) << 2;
  for (let i = from << 4; i < min(c, to << 4); ++i) {
    let at = input + ((<usize>i) << 2);
    let sum: f64 = 0;
    for (let r = 0; r < m; ++r) {
      sum += <f64>load<f32>(at);
      at += bytes;
    }
    const to4 = out + ((<usize>i) << 2);
    store<f32>(to4, load<f32>(to4) + <f32>sum);
  }
}
