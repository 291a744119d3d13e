/**
 * The register tile of weight gradients: a sum of outer products, up to 6 rows by 8 columns.
 *
 *     out[i, j] = (adds ? out[i, j] : 0) + Σ_r a[r, i] · b[r, j]
 *
 * Why 6×8: as `product.ts`. Both operands are read along their rows, so nothing is packed; the long sum over `r` is cut
 * into chunks whose sums are added one after the other, which keeps a chunk in L1 and rounds less than one long sum.
 */
import { madd } from "./simd";

// @ts-ignore: decorator
@inline
function tile(
  mr: i32, rows: i32, cols: i32, lda: usize, ldb: usize, ldo: usize, adds: i32, a: usize, b: usize, out: usize,
  tail: usize,
): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  let c40 = c00;
  let c41 = c00;
  let c50 = c00;
  let c51 = c00;
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    b += ldb;
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (mr > 1) {
      x = v128.load32_splat(a, 4);
      c10 = madd(x, b0, c10);
      c11 = madd(x, b1, c11);
    }
    if (mr > 2) {
      x = v128.load32_splat(a, 8);
      c20 = madd(x, b0, c20);
      c21 = madd(x, b1, c21);
    }
    if (mr > 3) {
      x = v128.load32_splat(a, 12);
      c30 = madd(x, b0, c30);
      c31 = madd(x, b1, c31);
    }
    if (mr > 4) {
      x = v128.load32_splat(a, 16);
      c40 = madd(x, b0, c40);
      c41 = madd(x, b1, c41);
    }
    if (mr > 5) {
      x = v128.load32_splat(a, 20);
      c50 = madd(x, b0, c50);
      c51 = madd(x, b1, c51);
    }
    a += lda;
  } while (--rows > 0);
  if (cols == 8) {
    put(adds, out, c00, c01);
    if (mr > 1) put(adds, out + ldo, c10, c11);
    if (mr > 2) put(adds, out + 2 * ldo, c20, c21);
    if (mr > 3) put(adds, out + 3 * ldo, c30, c31);
    if (mr > 4) put(adds, out + 4 * ldo, c40, c41);
    if (mr > 5) put(adds, out + 5 * ldo, c50, c51);
    return;
  }
  putNarrow(adds, cols, tail, out, c00, c01);
  if (mr > 1) putNarrow(adds, cols, tail, out + ldo, c10, c11);
  if (mr > 2) putNarrow(adds, cols, tail, out + 2 * ldo, c20, c21);
  if (mr > 3) putNarrow(adds, cols, tail, out + 3 * ldo, c30, c31);
  if (mr > 4) putNarrow(adds, cols, tail, out + 4 * ldo, c40, c41);
  if (mr > 5) putNarrow(adds, cols, tail, out + 5 * ldo, c50, c51);
}

// @ts-ignore: decorator
@inline
function put(adds: i32, out: usize, c0: v128, c1: v128): void {
  if (adds) {
    v128.store(out, f32x4.add(v128.load(out), c0));
    v128.store(out, f32x4.add(v128.load(out, 16), c1), 16);
  } else {
    v128.store(out, c0);
    v128.store(out, c1, 16);
  }
}

function putNarrow(adds: i32, cols: i32, tail: usize, out: usize, c0: v128, c1: v128): void {
  v128.store(tail, c0);
  v128.store(tail, c1, 16);
  for (let j = 0; j < cols; ++j) {
    const at = (<usize>j) << 2;
    const sum = load<f32>(tail + at);
    store<f32>(out + at, adds ? load<f32>(out + at) + sum : sum);
  }
}

/**
 * One tile: `mr` rows of `out` (1…6) by `cols` columns (1…8), over `rows` ≥ 1 products.
 *
 * - `lda ldb ldo`: bytes from one row of `a`, `b`, `out` to the next
 * - `tail`: 32 bytes for tiles narrower than 8 columns; `b` is read 8 wide even there
 */
export function tileWgrad_f32(
  mr: i32, rows: i32, cols: i32, lda: usize, ldb: usize, ldo: usize, adds: i32, a: usize, b: usize, out: usize,
  tail: usize,
): void {
  switch (mr) {
    case 6:
      tile(6, rows, cols, lda, ldb, ldo, adds, a, b, out, tail);
      break;
    case 5:
      tile(5, rows, cols, lda, ldb, ldo, adds, a, b, out, tail);
      break;
    case 4:
      tile(4, rows, cols, lda, ldb, ldo, adds, a, b, out, tail);
      break;
    case 3:
      tile(3, rows, cols, lda, ldb, ldo, adds, a, b, out, tail);
      break;
    case 2:
      tile(2, rows, cols, lda, ldb, ldo, adds, a, b, out, tail);
      break;
    default:
      tile(1, rows, cols, lda, ldb, ldo, adds, a, b, out, tail);
  }
}
