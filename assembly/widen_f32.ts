/**
 * Half-size weights to f32.
 *
 *     widen_f32: out[i] = f32(in[i])
 *
 * - `mantissa`  10 reads IEEE binary16, 7 reads bfloat16
 * - `input`     [units] u16
 * - `out`       [units] f32
 *
 * Unit: one element.
 *
 * Must hold: `out` does not overlap `input`.
 *
 * Why: once per load; exact for every value, subnormals, infinities and NaN included.
 */
export function widen_f32(from: i32, to: i32, mantissa: i32, input: usize, out: usize): void {
  for (let i = <usize>from; i < <usize>to; ++i) {
    const bits = <u32>load<u16>(input + (i << 1));
    let wide = bits << 16;
    if (mantissa == 10) {
      const sign = (bits & 0x8000) << 16;
      const exponent = (bits >> 10) & 31;
      if (exponent == 31) wide = sign | 0x7f800000 | ((bits & 0x3ff) << 13);
      else if (exponent) wide = sign | ((exponent + 112) << 23) | ((bits & 0x3ff) << 13);
      // A subnormal is its mantissa times 2⁻²⁴, which f32 holds exactly.
      else wide = sign | reinterpret<u32>(<f32>(bits & 0x3ff) * <f32>5.9604644775390625e-8);
    }
    store<u32>(out + (i << 2), wide);
  }
}
