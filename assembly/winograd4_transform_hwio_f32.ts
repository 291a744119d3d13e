/**
 * Winograd F(4×4, 3×3), weights as training holds them: U = G g Gᵀ (G in `winograd4_transform_weights_f32.ts`), in the panels that
 * `gemm_f32` reads with 36 groups; forward, or turned round for the gradient of the input.
 *
 * - `scratch`  this thread's; 288 bytes
 * - `n c`      outputs and inputs of the convolution
 * - `turned`   0: panels of 8 outputs with `c` cells. 1: panels of 8 inputs with `n` cells, kernel turned round
 * - `weights`  [3, 3, c, n] f32
 * - `bias`     [n] f32, or 0; not used when turned
 * - `out`      [36, ⌈n/8⌉] panels of `c` cells, or [36, ⌈c/8⌉] of `n`; the bias is in those of position (1, 1)
 *
 * Unit: one panel's 8 columns, at all positions.
 *
 * Must hold: `n` and `c` are multiples of 4; `out` does not overlap the rest.
 *
 * Why: in f32 and four weights at once, because training does it every step.
 */
import { madd } from "./simd";

export function winograd4_transform_hwio_f32(
  from: i32, to: i32, scratch: usize,
  n: i32, c: i32, turned: i32,
  weights: usize, bias: usize, out: usize,
): void {
  assert(n % 4 == 0 && c % 4 == 0);
  const columns = turned ? c : n;
  const cells = turned ? n : c;
  const panelBytes = (<usize>(cells + 1)) << 5;
  const position = panelBytes * ((columns + 7) >> 3);
  const row = (<usize>n) << 2;
  const tap = row * c;
  for (let unit = from; unit < to; ++unit) {
    const first = unit << 3;
    const cols = min(8, columns - first);
    const panel = out + <usize>unit * panelBytes;
    for (let p = 0; p < 36; ++p) memory.fill(panel + <usize>p * position, 0, cols < 8 ? panelBytes : 32);
    if (bias && !turned) memory.copy(panel + 7 * position, bias + ((<usize>first) << 2), (<usize>cols) << 2);
    // Four outputs of one input at a time: four columns of one cell, or, turned, one column of four cells.
    for (let r = 0; r < cols; r += turned ? 1 : 4) {
      for (let k = 0; k < cells; k += turned ? 4 : 1) {
        const i = <usize>(turned ? first + r : k);
        const j = <usize>(turned ? k : first + r);
        const at = weights + i * row + (j << 2);
        // From the last tap backwards: the kernel turned round.
        if (turned) down(at + 8 * tap, 0 - tap, scratch);
        else down(at, tap, scratch);
        let o = panel + ((<usize>(k + 1)) << 5) + ((<usize>r) << 2);
        for (let half = scratch; half < scratch + 288; half += 48) {
          const g0 = v128.load(half);
          const g1 = v128.load(half, 16);
          const g2 = v128.load(half, 32);
          for (let u = 0; u < 6; ++u) {
            const x = product(u, g0, g1, g2);
            if (!turned) v128.store(o, x);
            else {
              v128.store_lane<f32>(o, x, 0);
              v128.store_lane<f32>(o, x, 1, 32);
              v128.store_lane<f32>(o, x, 2, 64);
              v128.store_lane<f32>(o, x, 3, 96);
            }
            o += position;
          }
        }
      }
    }
  }
}

/** G g, column by column: `[6, 3]` vectors at `to4`. */
function down(at: usize, tap: usize, to4: usize): void {
  for (let u: usize = 0; u < 3; ++u) {
    const column = at + u * tap;
    const a = v128.load(column);
    const b = v128.load(column + 3 * tap);
    const c = v128.load(column + 6 * tap);
    const o = to4 + (u << 4);
    v128.store(o, product(0, a, b, c));
    v128.store(o, product(1, a, b, c), 48);
    v128.store(o, product(2, a, b, c), 96);
    v128.store(o, product(3, a, b, c), 144);
    v128.store(o, product(4, a, b, c), 192);
    v128.store(o, product(5, a, b, c), 240);
  }
}

/** Row `v` of G times (a, b, c). */
function product(v: i32, a: v128, b: v128, c: v128): v128 {
  switch (v) {
    case 0:
      return f32x4.mul(a, f32x4.splat(0.25));
    case 1:
      return f32x4.mul(f32x4.add(f32x4.add(a, c), b), f32x4.splat(-1.0 / 6.0));
    case 2:
      return f32x4.mul(f32x4.sub(f32x4.add(a, c), b), f32x4.splat(-1.0 / 6.0));
    case 3:
      return f32x4.mul(madd(f32x4.splat(4), c, madd(f32x4.splat(2), b, a)), f32x4.splat(1.0 / 24.0));
    case 4:
      return f32x4.mul(madd(f32x4.splat(4), c, madd(f32x4.splat(-2), b, a)), f32x4.splat(1.0 / 24.0));
    default:
      return c;
  }
}
