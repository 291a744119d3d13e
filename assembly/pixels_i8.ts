/**
 * RGBA pixels as the input of an int8 network: the upper seven bits of each byte.
 *
 *     out[p, i] = ⌊rgba[p, i] / 2⌋, or with `reverse` ⌊rgba[p, 2 − i] / 2⌋
 *
 * - `w`        pixels of a row
 * - `c`        channels of the output: 3, or 1 for gray
 * - `reverse`  1: the input's channels are B, G, R
 * - `rgba`     [rows, w, 4] u8
 * - `out`      [rows, w, c] i8, 0…127
 *
 * Unit: one row.
 *
 * Must hold: `out` does not overlap `rgba`.
 *
 * Why: the mean and the deviation are in the stem's weights, so that nothing else is rounded. Seven
 * bits are what `DOT8` takes: the stem is twice as fast by it, and a half of a level of 255 is below what a camera sees.
 */
export function pixels_i8(from: i32, to: i32, w: i32, c: i32, reverse: i32, rgba: usize, out: usize): void {
  const end = <usize>to * w;
  for (let p = <usize>from * w; p < end; ++p) {
    const source = rgba + (p << 2);
    const target = out + p * c;
    const first = load<u8>(source, 0) >> 1;
    if (c == 1) {
      store<u8>(target, first);
      continue;
    }
    const last = load<u8>(source, 2) >> 1;
    store<u8>(target, reverse ? last : first, 0);
    store<u8>(target, load<u8>(source, 1) >> 1, 1);
    store<u8>(target, reverse ? first : last, 2);
  }
}
