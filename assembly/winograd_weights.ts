/** What the transforms of Winograd's weights share: G g Gᵀ for every pair of an output and an input. */

/** Bytes of scratch before the weights that are transformed: the taps, and G g, `[3, 3]` and `[6, 3]` vectors. */
export const HALVES_BYTES: usize = 432;

/**
 * Transforms weights, with the batch norm that is folded in, to the panels of `gemm_f32`.
 *
 * - `o`: 2 or 4, the side of a patch of outputs
 * - the rest as in `winograd4_transform_weights_f32`
 *
 * All positions of one input are made in scratch and stored as whole cells: in `out`, positions lie so far apart that they share
 * a few sets of the first cache.
 */
export function transformWeights(
  o: i32, from: i32, to: i32, scratch: usize, n: i32, c: i32, so: i32, si: i32, sv: i32, su: i32, weights: usize,
  scale: usize, bias: usize, out: usize,
): void {
  const side = <usize>(o + 2);
  const half = scratch + 144;
  const cells = scratch + HALVES_BYTES;
  const end = cells + ((side * side) << 6);
  const panelBytes = (<usize>(c + 1)) << 5;
  const position = panelBytes * (n >> 3);
  const pitch = (<usize>so) << 2;
  for (let unit = from; unit < to; ++unit) {
    const first = (<usize>unit) << 5;
    const panel = out + <usize>unit * panelBytes;
    for (let p: usize = 0; p < side * side; ++p) memory.fill(panel + p * position, 0, 32);
    // Position (1, 1), which Aᵀ … A spreads over all outputs.
    memory.copy(panel + (side + 1) * position, bias + first, 32);
    for (let i = 0; i < c; ++i) {
      // Two outputs at a time.
      for (let r: usize = 0; r < 32; r += 8) {
        const at = weights + ((first + r) >> 2) * pitch + ((<usize>(i * si)) << 2);
        for (let t = 0; t < 9; ++t) {
          v128.store(scratch + ((<usize>t) << 4), two(at + ((<usize>((t / 3) * sv + (t % 3) * su)) << 2), pitch));
        }
        transform(o, 3, f64x2.splat(1), scratch, 16, 48, half, 16, 48);
        transform(o, <i32>side, two(scale + first + r, 4), half, 48, 16, cells + (r << 1), side << 6, 64);
      }
      let to4 = panel + ((<usize>(i + 1)) << 5);
      for (let cell = cells; cell < end; cell += 64) {
        v128.store_lane<u64>(to4, f32x4.demote_f64x2_zero(v128.load(cell)), 0);
        v128.store_lane<u64>(to4, f32x4.demote_f64x2_zero(v128.load(cell, 16)), 0, 8);
        v128.store_lane<u64>(to4, f32x4.demote_f64x2_zero(v128.load(cell, 32)), 0, 16);
        v128.store_lane<u64>(to4, f32x4.demote_f64x2_zero(v128.load(cell, 48)), 0, 24);
        to4 += position;
      }
    }
  }
}

/** The f32 at `at` and `stride` bytes on, in f64. */
function two(at: usize, stride: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load_lane<u32>(at + stride, v128.load32_zero(at), 1));
}

/**
 * G times `count` columns of three vectors, times a factor.
 *
 * - `at` `step` `pitch`: bytes from one column to the next, and from one vector to the next
 * - `to` `next` `stride`: the same of the results
 */
function transform(
  o: i32, count: i32, factor: v128, at: usize, step: usize, pitch: usize, to: usize, next: usize, stride: usize,
): void {
  do {
    const a = f64x2.mul(factor, v128.load(at));
    const b = f64x2.mul(factor, v128.load(at + pitch));
    const c = f64x2.mul(factor, v128.load(at + (pitch << 1)));
    const divisor = f64x2.splat(o == 2 ? 2 : -6);
    v128.store(to, o == 2 ? a : f64x2.mul(a, f64x2.splat(0.25)));
    let row = to + stride;
    v128.store(row, f64x2.div(f64x2.add(f64x2.add(a, b), c), divisor));
    row += stride;
    v128.store(row, f64x2.div(f64x2.add(f64x2.sub(a, b), c), divisor));
    row += stride;
    if (o == 4) {
      const a24 = f64x2.div(a, f64x2.splat(24)), b12 = f64x2.div(b, f64x2.splat(12)), c6 = f64x2.div(c, f64x2.splat(6));
      v128.store(row, f64x2.add(f64x2.add(a24, b12), c6));
      row += stride;
      v128.store(row, f64x2.add(f64x2.sub(a24, b12), c6));
      row += stride;
    }
    v128.store(row, c);
    at += step;
    to += next;
  } while (--count);
}
