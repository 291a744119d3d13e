/**
 * Winograd F(4×4, 3×3), towards the gradient of the weights: the gradient of every 4×4 patch of outputs becomes that of its
 * 6×6 products, dM = A dY Aᵀ (Aᵀ in `winograd4_transform_output_f32.ts`).
 *
 * - `scratch`  this thread's; 448 bytes
 * - `oh ow n`  the output [batch, oh, ow, n]
 * - `ty tx`    patches down and across
 * - `first`    the first patch that `out` holds
 * - `dy`       [batch, oh, ow, n] f32
 * - `zeros`    `n` f32 zeros: the gradient of outputs beyond `oh` and `ow`
 * - `out`      [patches, 36, n] f32
 *
 * Unit: one patch.
 *
 * Must hold: `n` is a multiple of 4; `out` does not overlap `dy`.
 *
 * Why: the transpose of the forward pass's last step; with the transformed input, `gemm_wgrad_f32` then needs a quarter of the
 * multiplications of a direct sum.
 */
import { madd } from "./simd";

export function winograd4_transform_dy_f32(
  from: i32, to: i32, scratch: usize,
  oh: i32, ow: i32, n: i32, ty: i32, tx: i32, first: i32,
  dy: usize, zeros: usize, out: usize,
): void {
  assert(n % 4 == 0);
  const half = scratch + 64;
  const bytes = (<usize>n) << 2;
  const p2 = f32x4.splat(2);
  const p4 = f32x4.splat(4);
  const p8 = f32x4.splat(8);
  for (let unit = from; unit < to; ++unit) {
    const patch = first + unit;
    const image = patch / (ty * tx);
    const y = ((patch / tx) % ty) * 4;
    const x = (patch % tx) * 4;
    for (let v = 0; v < 4; ++v) {
      for (let u = 0; u < 4; ++u) {
        const inside = y + v < oh && x + u < ow;
        const pointer = inside ? dy + <usize>((image * oh + y + v) * ow + x + u) * bytes : zeros;
        store<u32>(scratch + ((<usize>(u * 4 + v)) << 2), <u32>pointer);
      }
    }
    const target = out + <usize>(unit * 36) * bytes;
    for (let i: usize = 0; i < bytes; i += 16) {
      // Columns: A dY.
      for (let u: usize = 0; u < 4; ++u) {
        const column = scratch + u * 16;
        const d0 = v128.load(<usize>load<u32>(column, 0) + i);
        const d1 = v128.load(<usize>load<u32>(column, 4) + i);
        const d2 = v128.load(<usize>load<u32>(column, 8) + i);
        const d3 = v128.load(<usize>load<u32>(column, 12) + i);
        const p = f32x4.add(d0, d2);
        const q = f32x4.add(d1, d3);
        const r = madd(d2, p4, d0);
        const s = madd(d3, p8, f32x4.add(d1, d1));
        const to4 = half + u * 16;
        v128.store(to4, d0, 0);
        v128.store(to4, f32x4.add(p, q), 64);
        v128.store(to4, f32x4.sub(p, q), 128);
        v128.store(to4, f32x4.add(r, s), 192);
        v128.store(to4, f32x4.sub(r, s), 256);
        v128.store(to4, d3, 320);
      }
      // Rows: (A dY) Aᵀ.
      for (let v: usize = 0; v < 6; ++v) {
        const row = half + v * 64;
        const d0 = v128.load(row, 0);
        const d1 = v128.load(row, 16);
        const d2 = v128.load(row, 32);
        const d3 = v128.load(row, 48);
        const p = f32x4.add(d0, d2);
        const q = f32x4.add(d1, d3);
        const r = madd(d2, p4, d0);
        const s = madd(d3, p8, f32x4.mul(d1, p2));
        let to4 = target + v * 6 * bytes + i;
        v128.store(to4, d0);
        to4 += bytes;
        v128.store(to4, f32x4.add(p, q));
        to4 += bytes;
        v128.store(to4, f32x4.sub(p, q));
        to4 += bytes;
        v128.store(to4, f32x4.add(r, s));
        to4 += bytes;
        v128.store(to4, f32x4.sub(r, s));
        to4 += bytes;
        v128.store(to4, d3);
      }
    }
  }
}
