/**
 * Softmax over each row, shifted by the row's maximum so that it never overflows.
 *
 *     out[r, i] = exp(in[r, i] − max_j in[r, j]) / Σ_j exp(in[r, j] − max)
 *
 * - `n`            classes
 * - `input` `out`  [rows, n] f32
 *
 * Unit: one row.
 *
 * Must hold: `n` ≥ 1; `out` is `input` or does not overlap it.
 *
 * Why: a thousand scalars a picture; the sum is kept in f64.
 */
export function softmax_f32(from: i32, to: i32, n: i32, input: usize, out: usize): void {
  assert(n >= 1);
  const bytes = (<usize>n) << 2;
  for (let unit = from; unit < to; ++unit) {
    const a = input + <usize>unit * bytes;
    const o = out + <usize>unit * bytes;
    let top: f32 = -Infinity;
    for (let i: usize = 0; i < bytes; i += 4) top = max(top, load<f32>(a + i));
    let sum: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) {
      const e = <f32>Mathf.exp(load<f32>(a + i) - top);
      sum += <f64>e;
      store<f32>(o + i, e);
    }
    const part = <f32>(1.0 / sum);
    for (let i: usize = 0; i < bytes; i += 4) store<f32>(o + i, load<f32>(o + i) * part);
  }
}
