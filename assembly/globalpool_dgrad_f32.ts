/**
 * Backward of the mean over all pixels: every pixel gets its share.
 *
 *     dx[b, p, i] = (adds ? dx[b, p, i] : 0) + dy[b, i] / pixels
 *
 * - `pixels c`  the input [batch, pixels, c]
 * - `adds`      1 adds to what `dx` holds, 0 overwrites it
 * - `dy`        [batch, c] f32
 * - `dx`       [batch, pixels, c] f32
 *
 * Unit: one image.
 *
 * Must hold: `dx` does not overlap `dy`.
 *
 * Why: memory-bound; nothing to choose.
 */
export function globalpool_dgrad_f32(from: i32, to: i32, pixels: i32, c: i32, adds: i32, dy: usize, dx: usize): void {
  const bytes = (<usize>c) << 2;
  const part: f32 = (1.0 as f32) / <f32>pixels;
  const part4 = f32x4.splat(part);
  for (let unit = from; unit < to; ++unit) {
    const g = dy + <usize>unit * bytes;
    for (let p = 0; p < pixels; ++p) {
      const at = <usize>(unit * pixels + p) * bytes;
      let i: usize = 0;
      for (; i + 16 <= bytes; i += 16) {
        const share = f32x4.mul(v128.load(g + i), part4);
        v128.store(dx + at + i, adds ? f32x4.add(share, v128.load(dx + at + i)) : share);
      }
      for (; i < bytes; i += 4) {
        const share = load<f32>(g + i) * part;
        store<f32>(dx + at + i, adds ? share + load<f32>(dx + at + i) : share);
      }
    }
  }
}
