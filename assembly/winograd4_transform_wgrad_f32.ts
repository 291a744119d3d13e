/**
 * Winograd F(4×4, 3×3), last step of the gradient of the weights: dw += Gᵀ dU G (G in `winograd4_transform_weights_f32.ts`).
 *
 * - `scratch`   this thread's; 288 bytes
 * - `n c`       outputs and inputs of the convolution
 * - `products`  [36, c, n] f32: dU
 * - `dw`        [3, 3, c, n] f32
 *
 * Unit: one input channel; `c` of them.
 *
 * Must hold: `n` is a multiple of 4; `dw` does not overlap `products`.
 *
 * Why: once per layer and step; outputs in the lanes.
 */
import { madd } from "./simd";

export function winograd4_transform_wgrad_f32(
  from: i32, to: i32, scratch: usize,
  n: i32, c: i32,
  products: usize, dw: usize,
): void {
  assert(n % 4 == 0);
  const row = (<usize>n) << 2;
  const position = row * c;
  for (let unit = from; unit < to; ++unit) {
    for (let j: usize = 0; j < row; j += 16) {
      const offset = <usize>unit * row + j;
      // Columns: Gᵀ dU, [3, 6] vectors.
      for (let u: usize = 0; u < 6; ++u) {
        let at = products + u * position + offset;
        const d0 = v128.load(at);
        at += 6 * position;
        const d1 = v128.load(at);
        at += 6 * position;
        const d2 = v128.load(at);
        at += 6 * position;
        const d3 = v128.load(at);
        at += 6 * position;
        const d4 = v128.load(at);
        at += 6 * position;
        const d5 = v128.load(at);
        const to4 = scratch + u * 16;
        v128.store(to4, row0(d0, d1, d2, d3, d4));
        v128.store(to4, row1(d1, d2, d3, d4), 96);
        v128.store(to4, row2(d1, d2, d3, d4, d5), 192);
      }
      // Rows: (Gᵀ dU) G.
      for (let v: usize = 0; v < 3; ++v) {
        const half = scratch + v * 96;
        const d0 = v128.load(half, 0);
        const d1 = v128.load(half, 16);
        const d2 = v128.load(half, 32);
        const d3 = v128.load(half, 48);
        const d4 = v128.load(half, 64);
        const d5 = v128.load(half, 80);
        let o = dw + v * 3 * position + offset;
        v128.store(o, f32x4.add(v128.load(o), row0(d0, d1, d2, d3, d4)));
        o += position;
        v128.store(o, f32x4.add(v128.load(o), row1(d1, d2, d3, d4)));
        o += position;
        v128.store(o, f32x4.add(v128.load(o), row2(d1, d2, d3, d4, d5)));
      }
    }
  }
}

function row0(d0: v128, d1: v128, d2: v128, d3: v128, d4: v128): v128 {
  const sixth = f32x4.mul(f32x4.add(d1, d2), f32x4.splat(-1.0 / 6.0));
  return madd(d0, f32x4.splat(0.25), madd(f32x4.add(d3, d4), f32x4.splat(1.0 / 24.0), sixth));
}

function row1(d1: v128, d2: v128, d3: v128, d4: v128): v128 {
  const sixth = f32x4.mul(f32x4.sub(d2, d1), f32x4.splat(1.0 / 6.0));
  return madd(f32x4.sub(d3, d4), f32x4.splat(1.0 / 12.0), sixth);
}

function row2(d1: v128, d2: v128, d3: v128, d4: v128, d5: v128): v128 {
  const four = f32x4.sub(f32x4.add(d3, d4), f32x4.add(d1, d2));
  return madd(four, f32x4.splat(1.0 / 6.0), d5);
}
