/**
 * Softmax cross-entropy with label smoothing (Szegedy et al. 2016, section 7), and its gradient.
 *
 *     q[i]  = smoothing / n + (i = label ? 1 − smoothing : 0)
 *     loss  = −Σ_i q[i] · log softmax(in)[i]
 *     dx[i] = (softmax(in)[i] − q[i]) · scale
 *
 * - `n`        classes
 * - `input`    [rows, n] f32
 * - `labels`   [rows] i32
 * - `dx`       [rows, n] f32
 * - `losses`   [rows, 2] f32: the loss, and 1 where the label is the first largest input, else 0
 * - `scale`    of the gradient: one by the batch, where the loss is its mean
 * - `smoothing`  0…1
 *
 * Unit: one row.
 *
 * Must hold: labels are in `[0, n)`; `dx` may be `input`.
 *
 * Why: a thousand scalars a picture; sums are kept in f64.
 */
import { exp, log } from "./exp";

export function loss_f32(
  from: i32, to: i32,
  n: i32,
  input: usize, labels: usize, dx: usize, losses: usize,
  scale: f32, smoothing: f32,
): void {
  const bytes = (<usize>n) << 2;
  const even = <f64>smoothing / <f64>n;
  for (let unit = from; unit < to; ++unit) {
    const a = input + <usize>unit * bytes;
    const o = dx + <usize>unit * bytes;
    const label = (<usize>load<i32>(labels + ((<usize>unit) << 2))) << 2;
    let top: f32 = -Infinity;
    let first: usize = 0;
    let total: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) {
      const x = load<f32>(a + i);
      total += <f64>x;
      if (x > top) {
        top = x;
        first = i;
      }
    }
    let sum: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) sum += exp(<f64>load<f32>(a + i) - <f64>top);
    const whole = <f64>top + log(sum);
    const target = <f64>load<f32>(a + label);
    const loss = (1.0 - <f64>smoothing) * (whole - target) + even * (<f64>n * whole - total);
    for (let i: usize = 0; i < bytes; i += 4) {
      const q = i == label ? even + 1.0 - <f64>smoothing : even;
      store<f32>(o + i, <f32>((exp(<f64>load<f32>(a + i) - <f64>top) / sum - q) * <f64>scale));
    }
    store<f32>(losses + ((<usize>unit) << 3), <f32>loss);
    store<f32>(losses + ((<usize>unit) << 3), first == label ? 1 : 0, 4);
  }
}
