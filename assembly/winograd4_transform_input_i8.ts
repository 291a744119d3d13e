/**
 * Winograd F(4×4, 3×3) over int8: transforms the input. Exact: whole numbers within ±8,636.
 *
 *     out[p, ·, ·, i] = Bᵀ d B      d: 6×6 pixels of channel i, those outside the image zero
 *
 *          ⎡ 4  0 −5  0  1  0 ⎤
 *          ⎢ 0 −4 −4  1  1  0 ⎥
 *     Bᵀ = ⎢ 0  4 −4 −1  1  0 ⎥
 *          ⎢ 0 −2 −1  2  1  0 ⎥
 *          ⎢ 0  2 −1 −2  1  0 ⎥
 *          ⎣ 0  4  0 −5  0  1 ⎦
 *
 * - `scratch`      this thread's; 720 bytes
 * - `batch h w c`  the input [batch, h, w, c]
 * - `ty tx`        patches down and across one image
 * - `top left`     zero padding before the first row and pixel
 * - `first`        patch of unit 0
 * - `input`        [batch, h, w, c] i8 in 0…127
 * - `zeros`        [c] i8 zeros
 * - `out`          [patches, 36, c] i16
 *
 * Unit: one patch of 4×4 outputs.
 *
 * Must hold: `c` is a multiple of 8; `out` does not overlap `input`.
 *
 * Why: Lavin & Gray 2015 (arXiv 1509.09308). Eight channels an instruction, twice as many as in f32.
 */
export function winograd4_transform_input_i8(
  from: i32, to: i32, scratch: usize,
  batch: i32, h: i32, w: i32, c: i32, ty: i32, tx: i32, top: i32, left: i32, first: i32,
  input: usize, zeros: usize, out: usize,
): void {
  assert(c % 8 == 0);
  const half = scratch + 144;
  const bytes = (<usize>c) << 1;
  for (let unit = from; unit < to; ++unit) {
    const patch = first + unit;
    const image = patch / (ty * tx);
    const y = ((patch / tx) % ty) * 4 - top;
    const x = (patch % tx) * 4 - left;
    for (let v = 0; v < 6; ++v) {
      const inside = <u32>(y + v) < <u32>h;
      for (let u = 0; u < 6; ++u) {
        const at = ((image * h + y + v) * w + x + u) * c;
        const pointer = inside && <u32>(x + u) < <u32>w ? input + <usize>at : zeros;
        store<u32>(scratch + ((<usize>(u * 6 + v)) << 2), <u32>pointer);
      }
    }
    const target = out + <usize>(unit * 36) * bytes;
    for (let i: usize = 0; i < <usize>c; i += 8) {
      // Columns of the patch: Bᵀ d.
      for (let u: usize = 0; u < 6; ++u) {
        const column = scratch + u * 24;
        const d0 = v128.load8x8_s(<usize>load<u32>(column, 0) + i);
        const d1 = v128.load8x8_s(<usize>load<u32>(column, 4) + i);
        const d2 = v128.load8x8_s(<usize>load<u32>(column, 8) + i);
        const d3 = v128.load8x8_s(<usize>load<u32>(column, 12) + i);
        const d4 = v128.load8x8_s(<usize>load<u32>(column, 16) + i);
        const d5 = v128.load8x8_s(<usize>load<u32>(column, 20) + i);
        const p = i16x8.sub(d4, i16x8.shl(d2, 2));
        const q = i16x8.sub(d3, i16x8.shl(d1, 2));
        const r = i16x8.sub(d4, d2);
        const s = i16x8.shl(i16x8.sub(d3, d1), 1);
        const to2 = half + u * 16;
        v128.store(to2, i16x8.add(i16x8.shl(i16x8.sub(d0, d2), 2), r), 0);
        v128.store(to2, i16x8.add(p, q), 96);
        v128.store(to2, i16x8.sub(p, q), 192);
        v128.store(to2, i16x8.add(r, s), 288);
        v128.store(to2, i16x8.sub(r, s), 384);
        v128.store(to2, i16x8.add(i16x8.shl(i16x8.sub(d1, d3), 2), i16x8.sub(d5, d3)), 480);
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
        const p = i16x8.sub(d4, i16x8.shl(d2, 2));
        const q = i16x8.sub(d3, i16x8.shl(d1, 2));
        const r = i16x8.sub(d4, d2);
        const s = i16x8.shl(i16x8.sub(d3, d1), 1);
        let to2 = target + v * 6 * bytes + (i << 1);
        v128.store(to2, i16x8.add(i16x8.shl(i16x8.sub(d0, d2), 2), r));
        to2 += bytes;
        v128.store(to2, i16x8.add(p, q));
        to2 += bytes;
        v128.store(to2, i16x8.sub(p, q));
        to2 += bytes;
        v128.store(to2, i16x8.add(r, s));
        to2 += bytes;
        v128.store(to2, i16x8.sub(r, s));
        to2 += bytes;
        v128.store(to2, i16x8.add(i16x8.shl(i16x8.sub(d1, d3), 2), i16x8.sub(d5, d3)));
      }
    }
  }
}
