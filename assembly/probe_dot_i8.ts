/**
 * How long one int8 product takes from operand to result: a chain in which each needs the one before it.
 *
 *     out ← out · (1, 2, 3, 5) in cells of one i32, where each is four i8 or two i16: 128 times a unit
 *
 * - `kind`  `DOT8` or `DOT16`: which instruction
 * - `out`   [16] i8: where the chain begins and what it has come to, so that no compiler can leave it out
 *
 * Unit: 128 products. Units are not independent: each goes on where the one before it ended.
 *
 * Must hold: the build has the instruction.
 *
 * Why: one instruction (VNNI, arm64's dot products) takes as long as `dot16` and its addition, several take about twice as
 * long; this shows in unoptimised code too, so that a probe need not wait for a compiler.
 */
import { dot8, dot16 } from "./simd";
import { DOT8 } from "./tile";

export function probe_dot_i8(from: i32, to: i32, kind: i32, out: usize): void {
  let x = v128.load(out);
  const zero = i32x4.splat(0);
  const factor = i32x4.splat(0x05030201);
  for (let i = (to - from) << 4; i > 0; --i) {
    if (kind == DOT8) {
      x = dot8(factor, x, zero);
      x = dot8(factor, x, zero);
      x = dot8(factor, x, zero);
      x = dot8(factor, x, zero);
      x = dot8(factor, x, zero);
      x = dot8(factor, x, zero);
      x = dot8(factor, x, zero);
      x = dot8(factor, x, zero);
    } else {
      x = dot16(factor, x, zero);
      x = dot16(factor, x, zero);
      x = dot16(factor, x, zero);
      x = dot16(factor, x, zero);
      x = dot16(factor, x, zero);
      x = dot16(factor, x, zero);
      x = dot16(factor, x, zero);
      x = dot16(factor, x, zero);
    }
  }
  v128.store(out, x);
}
