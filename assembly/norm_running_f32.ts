/**
 * The scale and shift of a batch norm with running statistics.
 *
 *     scale = weight / √(variance + epsilon),  shift = bias − mean · scale
 *
 * - `c`                          channels
 * - `weight bias mean variance`  [c] f32
 * - `statistics`                 [4, c] f32: scale, shift, mean, 1 / √(variance + epsilon)
 * - `epsilon`                    of the norm
 *
 * Unit: one channel.
 *
 * Must hold: `statistics` overlaps nothing.
 *
 * Why: in f64, as when a norm is folded into a convolution.
 */
export function norm_running_f32(
  from: i32, to: i32,
  c: i32,
  weight: usize, bias: usize, mean: usize, variance: usize, statistics: usize,
  epsilon: f32,
): void {
  const bytes = (<usize>c) << 2;
  for (let unit = from; unit < to; ++unit) {
    const i = (<usize>unit) << 2;
    const middle = <f64>load<f32>(mean + i);
    const inverse = 1.0 / Math.sqrt(<f64>load<f32>(variance + i) + <f64>epsilon);
    const scale = <f64>load<f32>(weight + i) * inverse;
    store<f32>(statistics + i, <f32>scale);
    store<f32>(statistics + bytes + i, <f32>(<f64>load<f32>(bias + i) - middle * scale));
    store<f32>(statistics + 2 * bytes + i, <f32>middle);
    store<f32>(statistics + 3 * bytes + i, <f32>inverse);
  }
}
