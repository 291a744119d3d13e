/**
 * Backward of the mean over all pixels: every pixel gets its share.
 *
 *     dx[b, p, i] = residual[b, p, i] + dy[b, i] / pixels
 *
 * - `pixels c`  the input [batch, pixels, c]
 * - `dy`        [batch, c] f32
 * - `residual`  [batch, pixels, c] f32, or 0
 * - `out`       [batch, pixels, c] f32
 *
 * Unit: one image.
 *
 * Must hold: `out` may be `residual`; it does not overlap `dy`.
 *
 * Why: memory-bound; nothing to choose.
 */
export function globalpool_input_f32(
  from: i32,
  to: i32,
  pixels: i32,
  c: i32,
  dy: usize,
  residual: usize,
  out: usize,
): void {
  const bytes = (<usize>c) << 2;
  const part: f32 = (1.0 as f32) / <f32>pixels;
  const part4 = f32x4.splat(part);
  for (let unit = from; unit < to; ++unit) {
    const g = dy + <usize>unit * bytes;
    for (let p = 0; p < pixels; ++p) {
      const at = <usize>(unit * pixels + p) * bytes;
      let i: usize = 0;
      for (; i + 16 <= bytes; i += 16) {
        const dx = f32x4.mul(v128.load(g + i), part4);
        v128.store(out + at + i, residual ? f32x4.add(dx, v128.load(residual + at + i)) : dx);
      }
      for (; i < bytes; i += 4) {
        const dx = load<f32>(g + i) * part;
        store<f32>(out + at + i, residual ? dx + load<f32>(residual + at + i) : dx);
      }
    }
  }
}
