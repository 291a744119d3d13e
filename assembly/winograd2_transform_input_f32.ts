/**
 * Winograd F(2×2, 3×3), first step (Lavin & Gray 2015, arXiv 1509.09308): every 4×4 patch d of the padded image,
 * 2 pixels apart, becomes V = Bᵀ d B.
 *
 *           │  1  0 -1  0 │
 *           │  0  1  1  0 │
 *     Bᵀ =  │  0 -1  1  0 │
 *           │  0  1  0 -1 │
 *
 * - `scratch`      this thread's; 320 bytes
 * - `batch h w c`  the input [batch, h, w, c]
 * - `ty tx`        patches down and across
 * - `top left`     zero padding before the first row and pixel; what lies beyond the last is zero too
 * - `first`        the first patch that `out` holds: a layer may be done a band of patches at a time
 * - `input`        [batch, h, w, c] f32
 * - `zeros`        `c` f32 zeros: what lies outside the image
 * - `out`          [patches, 16, c] f32
 *
 * Unit: one patch.
 *
 * Must hold: `c` is a multiple of 4; `out` does not overlap `input`.
 *
 * Why: channels in the lanes make the transform 32 additions a vector and no shuffle. Where F(4×4) would cost too much memory or waste too much of the last patch.
 */
export function winograd2_transform_input_f32(
  from: i32, to: i32, scratch: usize,
  batch: i32, h: i32, w: i32, c: i32, ty: i32, tx: i32, top: i32, left: i32, first: i32,
  input: usize, zeros: usize, out: usize,
): void {
  assert(c % 4 == 0);
  const half = scratch + 64;
  const bytes = (<usize>c) << 2;
  for (let unit = from; unit < to; ++unit) {
    const patch = first + unit;
    const image = patch / (ty * tx);
    const y = ((patch / tx) % ty) * 2 - top;
    const x = (patch % tx) * 2 - left;
    for (let v = 0; v < 4; ++v) {
      const inside = <u32>(y + v) < <u32>h;
      for (let u = 0; u < 4; ++u) {
        const at = ((image * h + y + v) * w + x + u) * c;
        const pointer = inside && <u32>(x + u) < <u32>w ? input + ((<usize>at) << 2) : zeros;
        store<u32>(scratch + ((<usize>(u * 4 + v)) << 2), <u32>pointer);
      }
    }
    const target = out + ((<usize>(unit * 16) * c) << 2);
    for (let i: usize = 0; i < bytes; i += 16) {
      // Columns of the patch: Bᵀ d.
      for (let u: usize = 0; u < 4; ++u) {
        const column = scratch + u * 16;
        const d0 = v128.load(<usize>load<u32>(column, 0) + i);
        const d1 = v128.load(<usize>load<u32>(column, 4) + i);
        const d2 = v128.load(<usize>load<u32>(column, 8) + i);
        const d3 = v128.load(<usize>load<u32>(column, 12) + i);
        const e0 = f32x4.sub(d0, d2);
        const e1 = f32x4.add(d1, d2);
        const e2 = f32x4.sub(d2, d1);
        const e3 = f32x4.sub(d1, d3);
        const to4 = half + u * 16;
        v128.store(to4, e0, 0);
        v128.store(to4, e1, 64);
        v128.store(to4, e2, 128);
        v128.store(to4, e3, 192);
      }
      // Rows of what came out: (Bᵀ d) B.
      for (let v: usize = 0; v < 4; ++v) {
        const row = half + v * 64;
        const d0 = v128.load(row, 0);
        const d1 = v128.load(row, 16);
        const d2 = v128.load(row, 32);
        const d3 = v128.load(row, 48);
        const e0 = f32x4.sub(d0, d2);
        const e1 = f32x4.add(d1, d2);
        const e2 = f32x4.sub(d2, d1);
        const e3 = f32x4.sub(d1, d3);
        let to4 = target + v * 4 * bytes + i;
        v128.store(to4, e0);
        to4 += bytes;
        v128.store(to4, e1);
        to4 += bytes;
        v128.store(to4, e2);
        to4 += bytes;
        v128.store(to4, e3);
      }
    }
  }
}
