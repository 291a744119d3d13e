/**
 * c[i][j] += Σ_r a[r][i] · b[r][j], the product of two matrices in panels of four columns (`pack`).
 *
 *   from to     panels of a, the unit: four rows of c
 *   k           rows of a and b, over which products are summed in their order
 *   panels      of b
 *   upper       1: only what is on and above the diagonal of c, where a and b are the same; else 0
 *   stride      f64 from one row of c to the next: at least 4 · panels
 *   a b         [panels, k, 4] f64
 *   c           [4 · panels of a, stride] f64
 *
 * Sixteen sums stay in eight registers: sixteen multiplications for six loads. Numbers that
 * are multiples of 2⁻¹⁶ have products of which up to 2⁵³ · 2⁻³² add exactly, in any order: src/train/heads/sums.ts.
 */
export function product(
  from: i32,
  to: i32,
  k: i32,
  panels: i32,
  upper: i32,
  stride: i32,
  a: usize,
  b: usize,
  c: usize,
): void {
  const panel = (<usize>k) << 5;
  for (let p = from; p < to; ++p) {
    const aStart = a + (<usize>p) * panel;
    const aEnd = aStart + panel;
    const row = c + (((<usize>p) * stride) << 5);
    for (let q = upper ? p : 0; q < panels; ++q) {
      let s00 = f64x2.splat(0);
      let s01 = s00;
      let s10 = s00;
      let s11 = s00;
      let s20 = s00;
      let s21 = s00;
      let s30 = s00;
      let s31 = s00;
      let y = b + (<usize>q) * panel;
      for (let x = aStart; x < aEnd; x += 32) {
        const b0 = v128.load(y);
        const b1 = v128.load(y, 16);
        const a0 = v128.load64_splat(x);
        s00 = f64x2.add(s00, f64x2.mul(a0, b0));
        s01 = f64x2.add(s01, f64x2.mul(a0, b1));
        const a1 = v128.load64_splat(x, 8);
        s10 = f64x2.add(s10, f64x2.mul(a1, b0));
        s11 = f64x2.add(s11, f64x2.mul(a1, b1));
        const a2 = v128.load64_splat(x, 16);
        s20 = f64x2.add(s20, f64x2.mul(a2, b0));
        s21 = f64x2.add(s21, f64x2.mul(a2, b1));
        const a3 = v128.load64_splat(x, 24);
        s30 = f64x2.add(s30, f64x2.mul(a3, b0));
        s31 = f64x2.add(s31, f64x2.mul(a3, b1));
        y += 32;
      }
      let to = row + ((<usize>q) << 5);
      const next = (<usize>stride) << 3;
      add(to, s00, s01);
      add((to += next), s10, s11);
      add((to += next), s20, s21);
      add(to + next, s30, s31);
    }
  }
}

// @ts-ignore: decorator
@inline
function add(to: usize, low: v128, high: v128): void {
  v128.store(to, f64x2.add(v128.load(to), low));
  v128.store(to, f64x2.add(v128.load(to, 16), high), 16);
}
