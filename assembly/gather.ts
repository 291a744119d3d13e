/** Loads from several rows into one vector: what packers read weights by. */

/** One 32-bit element of each of four rows, `stride` bytes apart. */
export function fours(at: usize, stride: usize): v128 {
  const x = v128.load32_zero(at);
  const y = v128.load_lane<u32>(at + stride, x, 1);
  at += stride << 1;
  return v128.load_lane<u32>(at + stride, v128.load_lane<u32>(at, y, 2), 3);
}

/** Two bytes, `step` apart, of each of four rows, `stride` bytes apart, in the first eight bytes. */
export function pairs(at: usize, step: usize, stride: usize): v128 {
  let x = v128.load_lane<u8>(at, i8x16.splat(0), 0);
  x = v128.load_lane<u8>(at + step, x, 1);
  at += stride;
  x = v128.load_lane<u8>(at, x, 2);
  x = v128.load_lane<u8>(at + step, x, 3);
  at += stride;
  x = v128.load_lane<u8>(at, x, 4);
  x = v128.load_lane<u8>(at + step, x, 5);
  at += stride;
  x = v128.load_lane<u8>(at, x, 6);
  return v128.load_lane<u8>(at + step, x, 7);
}
