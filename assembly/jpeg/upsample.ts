/**
 * Rows of a component that has fewer samples than the image → rows of its width, as libjpeg-turbo's jdsample.c. "Fancy" is a
 * triangle filter: 3/4 of the nearer sample, 1/4 of the other; its roundings alternate.
 *
 * Each writes whole vectors: up to 32 bytes more than its `count`. Samples before the first and behind the last are read; the
 * caller has them equal their neighbours, which gives the plain copies that libjpeg has at the edges.
 */

/** Even and odd samples, as words of a byte each, side by side. */
// @ts-ignore: decorator
@inline
function zipped(even: v128, odd: v128): v128 {
  return v128.or(even, i16x8.shl(odd, 8));
}

/** Twice as wide: `row` [count] → `out` [2 · count]. */
export function fancy_h2v1(row: usize, count: i32, out: usize): void {
  const end = row + count;
  const one = i16x8.splat(1), two = i16x8.splat(2);
  for (; row < end; row += 8) {
    const here = v128.load8x8_u(row);
    const three = i16x8.add(here, i16x8.add(here, here));
    const even = i16x8.shr_u(i16x8.add(i16x8.add(three, v128.load8x8_u(row - 1)), one), 2);
    const odd = i16x8.shr_u(i16x8.add(i16x8.add(three, v128.load8x8_u(row + 1)), two), 2);
    v128.store(out, zipped(even, odd));
    out += 16;
  }
}

/** Between two rows: `near` and `far` [count] → `out` [count]; `bias` 1 for the upper of two results, 2 for the lower. */
export function fancy_h1v2(near: usize, far: usize, count: i32, bias: i32, out: usize): void {
  const end = near + count;
  const rounding = i16x8.splat(<i16>bias);
  for (; near < end; near += 8) {
    const sum = i16x8.shr_u(i16x8.add(column(near, far), rounding), 2);
    v128.store64_lane(out, i8x16.narrow_i16x8_u(sum, sum), 0);
    far += 8;
    out += 8;
  }
}

/** `3 · near + far` of eight samples. */
// @ts-ignore: decorator
@inline
function column(near: usize, far: usize): v128 {
  const here = v128.load8x8_u(near);
  return i16x8.add(i16x8.add(here, i16x8.add(here, here)), v128.load8x8_u(far));
}

/** Twice as wide, between two rows: `near` and `far` [count] → `out` [2 · count]. */
export function fancy_h2v2(near: usize, far: usize, count: i32, out: usize): void {
  const end = near + count;
  const seven = i16x8.splat(7), eight = i16x8.splat(8);
  for (; near < end; near += 8) {
    const here = column(near, far);
    const three = i16x8.add(here, i16x8.add(here, here));
    const even = i16x8.shr_u(i16x8.add(i16x8.add(three, column(near - 1, far - 1)), eight), 4);
    const odd = i16x8.shr_u(i16x8.add(i16x8.add(three, column(near + 1, far + 1)), seven), 4);
    v128.store(out, zipped(even, odd));
    far += 8;
    out += 16;
  }
}

/** Each sample `times`: `row` [count] → `out` [times · count]. */
export function repeat(row: usize, count: i32, times: i32, out: usize): void {
  const end = row + count;
  if (times == 2) {
    for (; row < end; row += 16) {
      const samples = v128.load(row);
      v128.store(out, v128.shuffle<i8>(samples, samples, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7));
      v128.store(out, v128.shuffle<i8>(samples, samples, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15), 16);
      out += 32;
    }
    return;
  }
  for (; row < end; ++row) {
    const sample = load<u8>(row);
    for (let i = 0; i < times; ++i) store<u8>(out++, sample);
  }
}
