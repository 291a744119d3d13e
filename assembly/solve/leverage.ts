/**
 * out[i][l] = z_iᵀ (T + λ_l)⁻¹ z_i for twelve λ at once, by the factors L D Lᵀ of each tridiagonal T + λ_l.
 *
 *   from to     rows of z, the unit
 *   m           numbers of a row
 *   z           [rows, m] f64
 *   ratios      [m, 12] f64: below the diagonal of L, in row j what stands beside j - 1
 *   inverses    [m, 12] f64: 1 / D
 *   out         [rows, 12] f64
 *
 * Each number waits for the one before it; six pairs of λ wait together.
 */
export function leverage(from: i32, to: i32, m: i32, z: usize, ratios: usize, inverses: usize, out: usize): void {
  for (let i = from; i < to; ++i) {
    let x = z + (((<usize>i) * m) << 3);
    let l = ratios;
    let d = inverses;
    let u0 = f64x2.splat(0);
    let u1 = u0;
    let u2 = u0;
    let u3 = u0;
    let u4 = u0;
    let u5 = u0;
    let g0 = u0;
    let g1 = u0;
    let g2 = u0;
    let g3 = u0;
    let g4 = u0;
    let g5 = u0;
    for (let j = 0; j < m; ++j) {
      const value = v128.load64_splat(x);
      u0 = f64x2.sub(value, f64x2.mul(u0, v128.load(l)));
      u1 = f64x2.sub(value, f64x2.mul(u1, v128.load(l, 16)));
      u2 = f64x2.sub(value, f64x2.mul(u2, v128.load(l, 32)));
      u3 = f64x2.sub(value, f64x2.mul(u3, v128.load(l, 48)));
      u4 = f64x2.sub(value, f64x2.mul(u4, v128.load(l, 64)));
      u5 = f64x2.sub(value, f64x2.mul(u5, v128.load(l, 80)));
      g0 = f64x2.add(g0, f64x2.mul(f64x2.mul(u0, u0), v128.load(d)));
      g1 = f64x2.add(g1, f64x2.mul(f64x2.mul(u1, u1), v128.load(d, 16)));
      g2 = f64x2.add(g2, f64x2.mul(f64x2.mul(u2, u2), v128.load(d, 32)));
      g3 = f64x2.add(g3, f64x2.mul(f64x2.mul(u3, u3), v128.load(d, 48)));
      g4 = f64x2.add(g4, f64x2.mul(f64x2.mul(u4, u4), v128.load(d, 64)));
      g5 = f64x2.add(g5, f64x2.mul(f64x2.mul(u5, u5), v128.load(d, 80)));
      x += 8;
      l += 96;
      d += 96;
    }
    const to = out + (<usize>i) * 96;
    v128.store(to, g0);
    v128.store(to, g1, 16);
    v128.store(to, g2, 32);
    v128.store(to, g3, 48);
    v128.store(to, g4, 64);
    v128.store(to, g5, 80);
  }
}
