/**
 * Softmax cross-entropy of any targets, and its gradient.
 *
 *     loss  = −Σ_i q[i] · log softmax(in)[i]
 *     dx[i] = (softmax(in)[i] · Σ_j q[j] − q[i]) · scale
 *
 * - `n`        classes
 * - `input`    [rows, n] f32
 * - `targets`  [rows, n] f32: q, from 0
 * - `dx`       [rows, n] f32
 * - `losses`   [rows, 2] f32: the loss, and 1 where the first largest input is at the first largest target, else 0
 * - `scale`    of the gradient: one by the batch, where the loss is its mean
 *
 * Unit: one row.
 *
 * Must hold: `dx` may be `input`. A row of targets need not sum to 1: its sum is the weight of the image.
 *
 * Why: a thousand scalars a picture; sums are kept in f64. Smoothing, mixing and weights of classes are all in the
 * targets, which the host writes: one kernel for all of them.
 */
import { exp, log } from "./exp";

export function loss_f32(
  from: i32, to: i32,
  n: i32,
  input: usize, targets: usize, dx: usize, losses: usize,
  scale: f32,
): void {
  const bytes = (<usize>n) << 2;
  for (let unit = from; unit < to; ++unit) {
    const row = <usize>unit * bytes;
    const a = input + row;
    const q = targets + row;
    let top: f32 = -Infinity;
    let most: f32 = -1;
    let first: usize = 0;
    let label: usize = 0;
    let weight: f64 = 0;
    let product: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) {
      const x = load<f32>(a + i);
      const target = load<f32>(q + i);
      weight += <f64>target;
      product += <f64>target * <f64>x;
      if (x > top) {
        top = x;
        first = i;
      }
      if (target > most) {
        most = target;
        label = i;
      }
    }
    let sum: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) sum += exp(<f64>load<f32>(a + i) - <f64>top);
    const loss = weight * (<f64>top + log(sum)) - product;
    const share = weight / sum;
    for (let i: usize = 0; i < bytes; i += 4) {
      const part = exp(<f64>load<f32>(a + i) - <f64>top) * share;
      store<f32>(dx + row + i, <f32>((part - <f64>load<f32>(q + i)) * <f64>scale));
    }
    store<f32>(losses + ((<usize>unit) << 3), <f32>loss);
    store<f32>(losses + ((<usize>unit) << 3), first == label ? 1 : 0, 4);
  }
}
