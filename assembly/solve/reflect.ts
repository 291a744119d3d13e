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
 * Four rows and two reflections at once, so that a vector is read once for four rows, and a row once for two vectors.
 */
export function reflect(from: i32, to: i32, m: i32, stride: i32, back: i32, a: usize, tau: usize, x: usize): void {
  const row = (<usize>m) << 3;
  const next = (<usize>stride) << 3;
  const pairs = (m - 1) >> 1;
  const rest = m - 1 - 2 * pairs;
  for (let unit = from; unit < to; ++unit) {
    const x0 = x + (<usize>unit) * 4 * row;
    if (back && rest) one(a + (<usize>(m - 2)) * next, x0, row, m - 1, m, tau + row - 16);
    for (let step = 0; step < pairs; ++step) {
      const k = 2 * (back ? pairs - 1 - step : step);
      two(a + (<usize>k) * next, next, x0, row, k + 1, m, tau + ((<usize>k) << 3), back);
    }
    if (!back && rest) one(a + (<usize>(m - 2)) * next, x0, row, m - 1, m, tau + row - 16);
  }
}

/** One reflection of four rows. Only the last is alone: its vector has one number. */
function one(v: usize, x0: usize, row: usize, first: i32, m: i32, tau: usize): void {
  const factor = load<f64>(tau);
  for (let i = 0; i < 4; ++i) {
    const x = x0 + (<usize>i) * row;
    let sum: f64 = 0;
    for (let j = first; j < m; ++j) sum += load<f64>(v + ((<usize>j) << 3)) * load<f64>(x + ((<usize>j) << 3));
    sum *= factor;
    for (let j = first; j < m; ++j) {
      const at = x + ((<usize>j) << 3);
      store<f64>(at, load<f64>(at) - sum * load<f64>(v + ((<usize>j) << 3)));
    }
  }
}

// @ts-ignore: decorator
@inline
function total(lanes: v128): f64 {
  return f64x2.extract_lane(lanes, 0) + f64x2.extract_lane(lanes, 1);
}

/**
 * Two reflections of four rows: x - s v - t w, with s = tau (x · v) and t = tau' ((x · w) - s (v · w)), or in the other order. The first
 * vector begins one number before the second.
 */
function two(v: usize, next: usize, x0: usize, row: usize, first: i32, m: i32, tau: usize, back: i32): void {
  const w = v + next;
  const x1 = x0 + row;
  const x2 = x1 + row;
  const x3 = x2 + row;
  const start = (<usize>first) << 3;
  const end = (<usize>m) << 3;
  const lead = load<f64>(v + start);
  let v0 = lead * load<f64>(x0 + start);
  let v1 = lead * load<f64>(x1 + start);
  let v2 = lead * load<f64>(x2 + start);
  let v3 = lead * load<f64>(x3 + start);
  let w0: f64 = 0;
  let w1: f64 = 0;
  let w2: f64 = 0;
  let w3: f64 = 0;
  let cross: f64 = 0;
  let even = start + 8;
  if ((end - even) & 8) {
    const y = load<f64>(v + even);
    const z = load<f64>(w + even);
    v0 += y * load<f64>(x0 + even);
    v1 += y * load<f64>(x1 + even);
    v2 += y * load<f64>(x2 + even);
    v3 += y * load<f64>(x3 + even);
    w0 = z * load<f64>(x0 + even);
    w1 = z * load<f64>(x1 + even);
    w2 = z * load<f64>(x2 + even);
    w3 = z * load<f64>(x3 + even);
    cross = y * z;
    even += 8;
  }
  let a0 = f64x2.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  let c = a0;
  for (let j = even; j < end; j += 16) {
    const y = v128.load(v + j);
    const z = v128.load(w + j);
    c = f64x2.add(c, f64x2.mul(y, z));
    let value = v128.load(x0 + j);
    a0 = f64x2.add(a0, f64x2.mul(y, value));
    b0 = f64x2.add(b0, f64x2.mul(z, value));
    value = v128.load(x1 + j);
    a1 = f64x2.add(a1, f64x2.mul(y, value));
    b1 = f64x2.add(b1, f64x2.mul(z, value));
    value = v128.load(x2 + j);
    a2 = f64x2.add(a2, f64x2.mul(y, value));
    b2 = f64x2.add(b2, f64x2.mul(z, value));
    value = v128.load(x3 + j);
    a3 = f64x2.add(a3, f64x2.mul(y, value));
    b3 = f64x2.add(b3, f64x2.mul(z, value));
  }
  cross += total(c);
  const f = load<f64>(tau);
  const g = load<f64>(tau, 8);
  v0 = f * (v0 + total(a0));
  v1 = f * (v1 + total(a1));
  v2 = f * (v2 + total(a2));
  v3 = f * (v3 + total(a3));
  w0 = g * (w0 + total(b0));
  w1 = g * (w1 + total(b1));
  w2 = g * (w2 + total(b2));
  w3 = g * (w3 + total(b3));
  if (back) {
    const share = f * cross;
    v0 -= share * w0;
    v1 -= share * w1;
    v2 -= share * w2;
    v3 -= share * w3;
  } else {
    const share = g * cross;
    w0 -= share * v0;
    w1 -= share * v1;
    w2 -= share * v2;
    w3 -= share * v3;
  }
  for (let j = start; j < even; j += 8) {
    const y = load<f64>(v + j);
    // Before its beginning the second vector is zero, and something else is in its place.
    const z = j == start ? 0 : load<f64>(w + j);
    store<f64>(x0 + j, load<f64>(x0 + j) - v0 * y - w0 * z);
    store<f64>(x1 + j, load<f64>(x1 + j) - v1 * y - w1 * z);
    store<f64>(x2 + j, load<f64>(x2 + j) - v2 * y - w2 * z);
    store<f64>(x3 + j, load<f64>(x3 + j) - v3 * y - w3 * z);
  }
  a0 = f64x2.splat(v0);
  a1 = f64x2.splat(v1);
  a2 = f64x2.splat(v2);
  a3 = f64x2.splat(v3);
  b0 = f64x2.splat(w0);
  b1 = f64x2.splat(w1);
  b2 = f64x2.splat(w2);
  b3 = f64x2.splat(w3);
  for (let j = even; j < end; j += 16) {
    const y = v128.load(v + j);
    const z = v128.load(w + j);
    v128.store(x0 + j, f64x2.sub(f64x2.sub(v128.load(x0 + j), f64x2.mul(y, a0)), f64x2.mul(z, b0)));
    v128.store(x1 + j, f64x2.sub(f64x2.sub(v128.load(x1 + j), f64x2.mul(y, a1)), f64x2.mul(z, b1)));
    v128.store(x2 + j, f64x2.sub(f64x2.sub(v128.load(x2 + j), f64x2.mul(y, a2)), f64x2.mul(z, b2)));
    v128.store(x3 + j, f64x2.sub(f64x2.sub(v128.load(x3 + j), f64x2.mul(y, a3)), f64x2.mul(z, b3)));
  }
}
