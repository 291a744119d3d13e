/**
 * Rows times Q, or with `back` times Qᵀ, where Q = H_0 H_1 … is what `tridiagonalise` left.
 *
 *   from to     rows in fours, the unit
 *   m           numbers of a row
 *   stride      f64 from one row of a to the next
 *   back        1 for Qᵀ, else 0
 *   a tau       the reflections
 *   x           [4 · units, m] f64, changed in place
 *
 * Four rows at once, so that a reflection's vector is read once for them.
 */
export function reflect(from: i32, to: i32, m: i32, stride: i32, back: i32, a: usize, tau: usize, x: usize): void {
  const row = (<usize>m) << 3;
  for (let unit = from; unit < to; ++unit) {
    const x0 = x + (<usize>unit) * 4 * row;
    for (let step = 0; step < m - 1; ++step) {
      const k = back ? m - 2 - step : step;
      const factor = load<f64>(tau + ((<usize>k) << 3));
      if (factor == 0) continue;
      const v = a + (((<usize>k) * stride) << 3);
      one(v, x0, x0 + row, x0 + 2 * row, x0 + 3 * row, k + 1, m, factor);
    }
  }
}

function one(v: usize, x0: usize, x1: usize, x2: usize, x3: usize, first: i32, m: i32, factor: f64): void {
  const start = (<usize>first) << 3;
  const end = (<usize>m) << 3;
  const even = start + (((end - start) >> 4) << 4);
  let s0 = f64x2.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (let j = start; j < even; j += 16) {
    const vector = v128.load(v + j);
    s0 = f64x2.add(s0, f64x2.mul(vector, v128.load(x0 + j)));
    s1 = f64x2.add(s1, f64x2.mul(vector, v128.load(x1 + j)));
    s2 = f64x2.add(s2, f64x2.mul(vector, v128.load(x2 + j)));
    s3 = f64x2.add(s3, f64x2.mul(vector, v128.load(x3 + j)));
  }
  let t0 = f64x2.extract_lane(s0, 0) + f64x2.extract_lane(s0, 1);
  let t1 = f64x2.extract_lane(s1, 0) + f64x2.extract_lane(s1, 1);
  let t2 = f64x2.extract_lane(s2, 0) + f64x2.extract_lane(s2, 1);
  let t3 = f64x2.extract_lane(s3, 0) + f64x2.extract_lane(s3, 1);
  if (even < end) {
    const last = load<f64>(v + even);
    t0 += last * load<f64>(x0 + even);
    t1 += last * load<f64>(x1 + even);
    t2 += last * load<f64>(x2 + even);
    t3 += last * load<f64>(x3 + even);
  }
  t0 *= factor;
  t1 *= factor;
  t2 *= factor;
  t3 *= factor;
  s0 = f64x2.splat(t0);
  s1 = f64x2.splat(t1);
  s2 = f64x2.splat(t2);
  s3 = f64x2.splat(t3);
  for (let j = start; j < even; j += 16) {
    const vector = v128.load(v + j);
    v128.store(x0 + j, f64x2.sub(v128.load(x0 + j), f64x2.mul(vector, s0)));
    v128.store(x1 + j, f64x2.sub(v128.load(x1 + j), f64x2.mul(vector, s1)));
    v128.store(x2 + j, f64x2.sub(v128.load(x2 + j), f64x2.mul(vector, s2)));
    v128.store(x3 + j, f64x2.sub(v128.load(x3 + j), f64x2.mul(vector, s3)));
  }
  if (even < end) {
    const last = load<f64>(v + even);
    store<f64>(x0 + even, load<f64>(x0 + even) - last * t0);
    store<f64>(x1 + even, load<f64>(x1 + even) - last * t1);
    store<f64>(x2 + even, load<f64>(x2 + even) - last * t2);
    store<f64>(x3 + even, load<f64>(x3 + even) - last * t3);
  }
}
