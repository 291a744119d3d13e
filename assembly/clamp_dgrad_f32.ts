/**
 * Backward of an activation: the gradient passes where the clamp let the value through.
 *
 *     dx[p, i] = (lo < output[p, i] < hi ? dy[p, i] : 0) + (adds ? dx[p, i] : 0)
 *
 * - `c`         channels
 * - `adds`      1 adds to what `dx` holds, 0 overwrites it
 * - `output`    [pixels, c] f32: the clamp's output
 * - `dy`        [pixels, c] f32
 * - `dx`       [pixels, c] f32
 *
 * Unit: one pixel.
 *
 * Must hold: `dx` may be `dy`, unless it adds; nothing else overlaps.
 *
 * Why: memory-bound; the output says as much as the input, which need not be kept.
 */
export function clamp_dgrad_f32(
  from: i32, to: i32,
  c: i32, adds: i32,
  output: usize, dy: usize, dx: usize,
  lo: f32, hi: f32,
): void {
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  let at = (<usize>from * c) << 2;
  const end = (<usize>to * c) << 2;
  for (; at + 16 <= end; at += 16) {
    const y = v128.load(output + at);
    let g = v128.and(v128.load(dy + at), v128.and(f32x4.gt(y, low), f32x4.lt(y, high)));
    if (adds) g = f32x4.add(g, v128.load(dx + at));
    v128.store(dx + at, g);
  }
  for (; at < end; at += 4) {
    const y = load<f32>(output + at);
    let g: f32 = y > lo && y < hi ? load<f32>(dy + at) : 0;
    if (adds) g += load<f32>(dx + at);
    store<f32>(dx + at, g);
  }
}
