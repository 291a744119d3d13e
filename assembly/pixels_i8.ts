/**
 * RGBA pixels as the input of an int8 network: a byte minus 128, three channels.
 *
 *     out[p, i] = rgba[p, i] − 128, or with `reverse` rgba[p, 2 − i] − 128
 *
 * - `c`        pixels of a row
 * - `reverse`  1: the input's channels are B, G, R
 * - `rgba`     [rows, c, 4] u8
 * - `out`      [rows, c, 3] i8
 *
 * Unit: one row.
 *
 * Must hold: `out` does not overlap `rgba`.
 *
 * Why: the mean and the deviation are in the stem's weights, so that no byte is rounded.
 */
export function pixels_i8(from: i32, to: i32, c: i32, reverse: i32, rgba: usize, out: usize): void {
  const end = <usize>to * c;
  for (let p = <usize>from * c; p < end; ++p) {
    const source = rgba + (p << 2);
    const target = out + p * 3;
    const first = <i32>load<u8>(source, 0) - 128;
    const last = <i32>load<u8>(source, 2) - 128;
    store<i8>(target, reverse ? last : first, 0);
    store<i8>(target, <i32>load<u8>(source, 1) - 128, 1);
    store<i8>(target, reverse ? first : last, 2);
  }
}
