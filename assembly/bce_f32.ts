/**
 * Binary cross-entropy of logits, and its gradient: the loss of classes that do not exclude each other, as PyTorch's
 * `BCEWithLogitsLoss`.
 *
 *     loss  = 1 / n · Σ_i max(in[i], 0) − in[i] · t[i] + log(1 + exp(−|in[i]|))
 *     dx[i] = (sigmoid(in[i]) − t[i]) · scale / n
 *
 * - `n`          classes
 * - `input`      [rows, n] f32
 * - `targets`    [rows, n] f32: t, 0…1; above a half where the image shows the class
 * - `dx`         [rows, n] f32
 * - `losses`     [rows, 2] f32: the loss, and the share of classes whose input is above 0 exactly where the target is above a half
 * - `scale`      of the gradient: one by the batch, where the loss is its mean
 *
 * Unit: one row.
 *
 * Must hold: `dx` may be `input`.
 *
 * Why: as `loss_f32`, a thousand scalars a picture; the exponent is never above 0, so nothing overflows. Sums are kept in f64.
 */
import { exp, log } from "./exp";

export function bce_f32(
  from: i32,
  to: i32,
  n: i32,
  input: usize,
  targets: usize,
  dx: usize,
  losses: usize,
  scale: f32,
): void {
  const each = <f64>scale / <f64>n;
  for (let unit = from; unit < to; ++unit) {
    const row = <usize>unit * <usize>n;
    let loss: f64 = 0;
    let right = 0;
    for (let i: usize = 0; i < <usize>n; ++i) {
      const x = <f64>load<f32>(input + ((row + i) << 2));
      const target = <f64>load<f32>(targets + ((row + i) << 2));
      const small = exp(-Math.abs(x));
      loss += Math.max(x, 0.0) - x * target + log(1.0 + small);
      const sigmoid = x >= 0.0 ? 1.0 / (1.0 + small) : small / (1.0 + small);
      store<f32>(dx + ((row + i) << 2), <f32>((sigmoid - target) * each));
      right += i32((x > 0.0) == (target > 0.5));
    }
    store<f32>(losses + ((<usize>unit) << 3), <f32>(loss / <f64>n));
    store<f32>(losses + ((<usize>unit) << 3), <f32>right / <f32>n, 4);
  }
}
