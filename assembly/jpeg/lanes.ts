/** Lane helpers of the inverse DCTs. */

/** `a[2i] · x + a[2i+1] · y` in each of four i32 lanes, of eight i16. */
// @ts-ignore: decorator
@inline
export function dot(a: v128, x: i32, y: i32): v128 {
  return i32x4.dot_i16x8_s(a, i32x4.splat((x & 0xffff) | (y << 16)));
}

/** The lower halves, lane beside lane. */
// @ts-ignore: decorator
@inline
export function low(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

/** The upper halves. */
// @ts-ignore: decorator
@inline
export function high(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

// @ts-ignore: decorator
@inline
export function low32(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 0, 4, 1, 5);
}

// @ts-ignore: decorator
@inline
export function high32(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 2, 6, 3, 7);
}

/** A row of a block at byte `at`. */
// @ts-ignore: decorator
@inline
export function dequantized(coefs: usize, quant: usize, at: usize): v128 {
  return i16x8.mul(v128.load(coefs + at), v128.load(quant + at));
}
