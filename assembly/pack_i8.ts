/**
 * Brings int8 convolution weights into panels, bias and scale first.
 *
 * - `kind`     `DOT8` or `DOT16`: inputs in a cell, as `product.ts` draws it
 * - `n c`      outputs and inputs of one group
 * - `kh kw`    kernel
 * - `weights`  [groups · n, c, kh, kw] i8
 * - `bias`     [groups · n] i32
 * - `scale`    [groups · n] f32
 * - `out`      [groups, ⌈n/8⌉] panels; taps outermost, then inputs, rounded up to whole cells with zeros
 *
 * Unit: one panel; `groups · ⌈n/8⌉` of them.
 *
 * Must hold: `out` overlaps no source.
 *
 * Why: four inputs of four outputs at a time. Few layers do not come in fours: the first one, and classifiers of few classes.
 */
import { fours, pairs } from "./gather";
import { DOT8 } from "./tile";

export function pack_i8(
  from: i32, to: i32,
  kind: i32, n: i32, c: i32, kh: i32, kw: i32,
  weights: usize, bias: usize, scale: usize, out: usize,
): void {
  const q: usize = kind == DOT8 ? 4 : 2;
  const taps = <usize>(kh * kw);
  const depth = taps * c;
  const perGroup = (n + 7) >> 3;
  const panelBytes = ((depth + q - 1 & ~(q - 1)) + 8) << 3;
  for (let unit = from; unit < to; ++unit) {
    const group = unit / perGroup;
    const j = (unit - group * perGroup) << 3;
    const first = <usize>(group * n + j);
    const cols = <usize>min(8, n - j);
    const panel = out + <usize>unit * panelBytes;
    const source = weights + first * depth;
    const whole = cols == 8 && c % 4 == 0;
    if (!whole) memory.fill(panel, 0, panelBytes);
    memory.copy(panel, bias + (first << 2), cols << 2);
    memory.copy(panel + 32, scale + (first << 2), cols << 2);
    let cell = panel + 64;
    if (whole) {
      for (let tap: usize = 0; tap < taps; ++tap) {
        let at = source + tap;
        for (let i = 0; i < c; i += 4) {
          let a = block(at, taps, depth), b = block(at + (depth << 2), taps, depth);
          if (kind != DOT8) {
            const even = v128.shuffle<i16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
            b = v128.shuffle<i16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
            a = even;
          }
          v128.store(cell, a);
          v128.store(cell, b, 16);
          cell += 32;
          at += taps << 2;
        }
      }
    } else {
      for (let r: usize = 0; r < cols; ++r) {
        let i: usize = 0;
        for (let tap: usize = 0; tap < taps; ++tap) {
          for (let at = source + r * depth + tap; at < source + (r + 1) * depth; at += taps) {
            store<u8>(cell + r * q + (i / q) * q * 8 + i % q, load<u8>(at));
            ++i;
          }
        }
      }
    }
  }
}

/** Four inputs, `taps` bytes apart, of each of four outputs, `depth` bytes apart. */
function block(at: usize, taps: usize, depth: usize): v128 {
  if (taps == 1) return fours(at, depth);
  return v128.shuffle<i16>(pairs(at, taps, depth), pairs(at + (taps << 1), taps, depth), 0, 8, 1, 9, 2, 10, 3, 11);
}
