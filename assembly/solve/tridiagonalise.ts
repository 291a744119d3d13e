/**
 * A symmetric matrix as Q T Qᵀ with T tridiagonal, by Householder reflections (Golub and Van Loan, Matrix Computations, 8.3.1).
 *
 *   m           rows
 *   stride      f64 from one row to the next
 *   a           [m, stride] f64, of which only what is on and above the diagonal is read. Right of the diagonal each row k then has
 *               the vector of its reflection, H_k = 1 - tau[k] v vᵀ; Q = H_0 H_1 …
 *   diagonal    [m] f64, of T
 *   off         [m] f64, beside it; the last is 0
 *   tau         [m] f64
 *   work        [3, m] f64
 *
 * Each step takes the last step's change to the matrix and the next product with a vector in one pass over half of it: 2/3 m³
 * multiplications and m³ / 3 · 8 bytes of traffic, where a pass for each would take three times that.
 */
export function tridiagonalise(
  m: i32,
  stride: i32,
  a: usize,
  diagonal: usize,
  off: usize,
  tau: usize,
  work: usize,
): void {
  let v = work;
  const w = work + ((<usize>m) << 3);
  const p = w + ((<usize>m) << 3);
  memory.fill(work, 0, (<usize>m) * 24);
  for (let k = 0; k < m; ++k) {
    const row = a + (((<usize>k) * stride) << 3);
    change(row, k, m, v, w);
    store<f64>(at(diagonal, k), load<f64>(at(row, k)));
    const first = k + 1;
    if (first >= m) {
      store<f64>(at(off, k), 0);
      store<f64>(at(tau, k), 0);
      break;
    }
    const factor = reflection(row, first, m, at(off, k));
    store<f64>(at(tau, k), factor);
    const next = row;
    memory.fill(at(p, first), 0, (<usize>(m - first)) << 3);
    for (let i = first; i < m; ++i) pass(a + (((<usize>i) * stride) << 3), i, m, v, w, next, p);
    // w = tau (p - tau / 2 (pᵀ v) v), so that H A H = A - v wᵀ - w vᵀ.
    let dot: f64 = 0;
    for (let j = first; j < m; ++j) dot += load<f64>(at(p, j)) * load<f64>(at(next, j));
    const half = 0.5 * factor * dot;
    for (let j = first; j < m; ++j) {
      const x = load<f64>(at(next, j));
      store<f64>(at(w, j), factor * (load<f64>(at(p, j)) - half * x));
    }
    v = next;
  }
}

// @ts-ignore: decorator
@inline
function at(base: usize, index: i32): usize {
  return base + ((<usize>index) << 3);
}

/** a[i][j] -= v[i] w[j] + w[i] v[j] for one row i, from its diagonal on. */
function change(row: usize, i: i32, m: i32, v: usize, w: usize): void {
  const vi = load<f64>(at(v, i));
  const wi = load<f64>(at(w, i));
  for (let j = i; j < m; ++j) {
    const to = at(row, j);
    store<f64>(to, load<f64>(to) - vi * load<f64>(at(w, j)) - wi * load<f64>(at(v, j)));
  }
}

/** Makes of x = row[first…m) the vector v with (1 - tau v vᵀ) x = (beta, 0 …); returns tau, 0 where x is (x, 0 …) already. */
function reflection(row: usize, first: i32, m: i32, beta: usize): f64 {
  let largest: f64 = 0;
  for (let j = first + 1; j < m; ++j) largest = max(largest, abs(load<f64>(at(row, j))));
  const x0 = load<f64>(at(row, first));
  if (largest == 0) {
    store<f64>(beta, x0);
    for (let j = first; j < m; ++j) store<f64>(at(row, j), 0);
    return 0;
  }
  largest = max(largest, abs(x0));
  let sum: f64 = 0;
  for (let j = first; j < m; ++j) {
    const x = load<f64>(at(row, j)) / largest;
    sum += x * x;
  }
  const length = largest * sqrt(sum);
  const end = x0 > 0 ? -length : length;
  store<f64>(beta, end);
  const divisor = x0 - end;
  store<f64>(at(row, first), 1);
  for (let j = first + 1; j < m; ++j) store<f64>(at(row, j), load<f64>(at(row, j)) / divisor);
  return (end - x0) / end;
}

/** `change` of one row, and what it adds to p = A x: of its own place, and of the places of its other elements. */
function pass(row: usize, i: i32, m: i32, v: usize, w: usize, x: usize, p: usize): void {
  const vi = load<f64>(at(v, i));
  const wi = load<f64>(at(w, i));
  const xi = load<f64>(at(x, i));
  const diagonal = load<f64>(at(row, i)) - 2 * vi * wi;
  store<f64>(at(row, i), diagonal);
  let sum = diagonal * xi;
  let j = i + 1;
  if ((m - j) & 1) {
    const value = load<f64>(at(row, j)) - vi * load<f64>(at(w, j)) - wi * load<f64>(at(v, j));
    store<f64>(at(row, j), value);
    sum += value * load<f64>(at(x, j));
    store<f64>(at(p, j), load<f64>(at(p, j)) + value * xi);
    j += 1;
  }
  const vs = f64x2.splat(vi);
  const ws = f64x2.splat(wi);
  const xs = f64x2.splat(xi);
  let sums = f64x2.splat(0);
  for (; j < m; j += 2) {
    const offset = (<usize>j) << 3;
    const changed = f64x2.sub(v128.load(row + offset), f64x2.mul(vs, v128.load(w + offset)));
    const value = f64x2.sub(changed, f64x2.mul(ws, v128.load(v + offset)));
    v128.store(row + offset, value);
    sums = f64x2.add(sums, f64x2.mul(value, v128.load(x + offset)));
    v128.store(p + offset, f64x2.add(v128.load(p + offset), f64x2.mul(value, xs)));
  }
  sum += f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
  store<f64>(at(p, i), load<f64>(at(p, i)) + sum);
}
