/**
 * The register tile of weight gradients: a sum of outer products, up to 6 rows by 8 or 16 columns.
 *
 *     out[i, j] = (adds ? out[i, j] : 0) + Σ_r a[r, i] · b[r, j]
 *
 * Why 6×8, and 16 columns where V8 packs pairs of vectors: as `product.ts`. Both operands are read along their rows, so
 * nothing is packed; the long sum over `r` is cut into chunks whose sums are added one after the other, which keeps a chunk
 * in L1 and rounds less than one long sum.
 */
import { madd } from "./simd";
import { PANEL_COLUMNS, WIDE_COLUMNS } from "./tile";

// @ts-ignore: decorator
@inline
function tile(
  nr: i32, mr: i32, rows: i32, cols: i32, lda: usize, ldb: usize, ldo: usize, adds: i32, a: usize, b: usize, out: usize,
  tail: usize,
): void {
  const wide = nr == WIDE_COLUMNS;
  let c00 = f32x4.splat(0);
  let c01 = c00, c02 = c00, c03 = c00;
  let c10 = c00, c11 = c00, c12 = c00, c13 = c00;
  let c20 = c00, c21 = c00, c22 = c00, c23 = c00;
  let c30 = c00, c31 = c00, c32 = c00, c33 = c00;
  let c40 = c00, c41 = c00, c42 = c00, c43 = c00;
  let c50 = c00, c51 = c00, c52 = c00, c53 = c00;
  do {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    const b2 = wide ? v128.load(b, 32) : b0, b3 = wide ? v128.load(b, 48) : b0;
    b += ldb;
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00); c01 = madd(x, b1, c01);
    if (wide) { c02 = madd(x, b2, c02); c03 = madd(x, b3, c03); }
    if (mr > 1) {
      x = v128.load32_splat(a, 4);
      c10 = madd(x, b0, c10); c11 = madd(x, b1, c11);
      if (wide) { c12 = madd(x, b2, c12); c13 = madd(x, b3, c13); }
    }
    if (mr > 2) {
      x = v128.load32_splat(a, 8);
      c20 = madd(x, b0, c20); c21 = madd(x, b1, c21);
      if (wide) { c22 = madd(x, b2, c22); c23 = madd(x, b3, c23); }
    }
    if (mr > 3) {
      x = v128.load32_splat(a, 12);
      c30 = madd(x, b0, c30); c31 = madd(x, b1, c31);
      if (wide) { c32 = madd(x, b2, c32); c33 = madd(x, b3, c33); }
    }
    if (mr > 4) {
      x = v128.load32_splat(a, 16);
      c40 = madd(x, b0, c40); c41 = madd(x, b1, c41);
      if (wide) { c42 = madd(x, b2, c42); c43 = madd(x, b3, c43); }
    }
    if (mr > 5) {
      x = v128.load32_splat(a, 20);
      c50 = madd(x, b0, c50); c51 = madd(x, b1, c51);
      if (wide) { c52 = madd(x, b2, c52); c53 = madd(x, b3, c53); }
    }
    a += lda;
  } while (--rows > 0);
  put(wide, adds, cols, tail, out, c00, c01, c02, c03);
  if (mr > 1) put(wide, adds, cols, tail, out + ldo, c10, c11, c12, c13);
  if (mr > 2) put(wide, adds, cols, tail, out + 2 * ldo, c20, c21, c22, c23);
  if (mr > 3) put(wide, adds, cols, tail, out + 3 * ldo, c30, c31, c32, c33);
  if (mr > 4) put(wide, adds, cols, tail, out + 4 * ldo, c40, c41, c42, c43);
  if (mr > 5) put(wide, adds, cols, tail, out + 5 * ldo, c50, c51, c52, c53);
}

/** Stores or adds one row of a tile: eight columns, or fewer; of a wide tile always sixteen. */
// @ts-ignore: decorator
@inline
function put(
  wide: bool, adds: i32, cols: i32, tail: usize, out: usize, c0: v128, c1: v128, c2: v128, c3: v128,
): void {
  if (!wide && cols < PANEL_COLUMNS) {
    v128.store(tail, c0);
    v128.store(tail, c1, 16);
    putSlowly(adds, cols, tail, out);
    return;
  }
  if (adds) {
    const o0 = v128.load(out), o1 = v128.load(out, 16);
    c0 = f32x4.add(o0, c0);
    c1 = f32x4.add(o1, c1);
    if (wide) {
      const o2 = v128.load(out, 32), o3 = v128.load(out, 48);
      c2 = f32x4.add(o2, c2);
      c3 = f32x4.add(o3, c3);
    }
  }
  v128.store(out, c0);
  v128.store(out, c1, 16);
  if (wide) {
    v128.store(out, c2, 32);
    v128.store(out, c3, 48);
  }
}

/** The first `cols` sums in `tail`. It takes no vectors: V8's packing of pairs ends the process where parameters would be packed. */
function putSlowly(adds: i32, cols: i32, tail: usize, out: usize): void {
  for (let j = 0; j < cols; ++j) {
    const at = (<usize>j) << 2;
    const sum = load<f32>(tail + at);
    store<f32>(out + at, adds ? load<f32>(out + at) + sum : sum);
  }
}

function columns8(
  mr: i32, rows: i32, cols: i32, lda: usize, ldb: usize, ldo: usize, adds: i32, a: usize, b: usize, out: usize,
  tail: usize,
): void {
  switch (mr) {
    case 6: tile(PANEL_COLUMNS, 6, rows, cols, lda, ldb, ldo, adds, a, b, out, tail); break;
    case 5: tile(PANEL_COLUMNS, 5, rows, cols, lda, ldb, ldo, adds, a, b, out, tail); break;
    case 4: tile(PANEL_COLUMNS, 4, rows, cols, lda, ldb, ldo, adds, a, b, out, tail); break;
    case 3: tile(PANEL_COLUMNS, 3, rows, cols, lda, ldb, ldo, adds, a, b, out, tail); break;
    case 2: tile(PANEL_COLUMNS, 2, rows, cols, lda, ldb, ldo, adds, a, b, out, tail); break;
    default: tile(PANEL_COLUMNS, 1, rows, cols, lda, ldb, ldo, adds, a, b, out, tail);
  }
}

/** A function of its own: V8 decides for a whole function whether it packs pairs. */
function columns16(
  mr: i32, rows: i32, lda: usize, ldb: usize, ldo: usize, adds: i32, a: usize, b: usize, out: usize, tail: usize,
): void {
  if (mr == 6) tile(WIDE_COLUMNS, 6, rows, WIDE_COLUMNS, lda, ldb, ldo, adds, a, b, out, tail);
  else tile(WIDE_COLUMNS, 4, rows, WIDE_COLUMNS, lda, ldb, ldo, adds, a, b, out, tail);
}

/**
 * One tile: `mr` rows of `out` (1…6) by `cols` columns (1…16), over `rows` ≥ 1 products.
 *
 * - `lda ldb ldo`: bytes from one row of `a`, `b`, `out` to the next
 * - `tail`: 32 bytes for tiles narrower than 8 columns; `b` is read in eights even there
 */
export function tileWgrad_f32(
  mr: i32, rows: i32, cols: i32, lda: usize, ldb: usize, ldo: usize, adds: i32, a: usize, b: usize, out: usize,
  tail: usize,
): void {
  if (cols == WIDE_COLUMNS && (mr == 6 || mr == 4)) columns16(mr, rows, lda, ldb, ldo, adds, a, b, out, tail);
  else {
    columns8(mr, rows, min(PANEL_COLUMNS, cols), lda, ldb, ldo, adds, a, b, out, tail);
    if (cols > PANEL_COLUMNS) columns8(mr, rows, cols - PANEL_COLUMNS, lda, ldb, ldo, adds, a, b + 32, out + 32, tail);
  }
}
