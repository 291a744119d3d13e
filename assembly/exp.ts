/**
 * Exponential and logarithm in f64, to a few units in the last place: the compiler's own bring tables of 2.5 kB and give less
 * (its f32 logarithm) or no more than the losses need. Plain multiplications and additions, so all engines give the same bytes.
 */

/** log 2 in two parts: the product of the first with any exponent is exact. */
const LN2_HIGH: f64 = 0.6931471803691238;
const LN2_LOW: f64 = 1.9082149292705877e-10;

/**
 * eˣ = 2ᵏ · eʳ with |r| ≤ log(2) / 2, where Taylor's sum to r¹² errs by less than 2e-16. Results below 2⁻¹⁰²¹ are 0; a NaN stays
 * NaN.
 */
export function exp(x: f64): f64 {
  if (!(x > -708.0)) return x < 0.0 ? 0.0 : x;
  if (x > 709.0) return Infinity;
  const k = nearest<f64>(x * 1.4426950408889634);
  const r = x - k * LN2_HIGH - k * LN2_LOW;
  let sum = 1.0 / 479001600.0;
  sum = sum * r + 1.0 / 39916800.0;
  sum = sum * r + 1.0 / 3628800.0;
  sum = sum * r + 1.0 / 362880.0;
  sum = sum * r + 1.0 / 40320.0;
  sum = sum * r + 1.0 / 5040.0;
  sum = sum * r + 1.0 / 720.0;
  sum = sum * r + 1.0 / 120.0;
  sum = sum * r + 1.0 / 24.0;
  sum = sum * r + 1.0 / 6.0;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  return sum * reinterpret<f64>((<i64>k + 1023) << 52);
}

/**
 * log x = k · log 2 + 2 · atanh((m − 1) / (m + 1)) with x = 2ᵏ · m and m within √½ … √2, where eleven terms of the odd series err by
 * less than 1e-17. `x` must be a normal number above 0, or Infinity or NaN, which stay.
 */
export function log(x: f64): f64 {
  if (!(x < Infinity)) return x;
  // The exponent of x / √½, so that m begins at √½.
  const bits = reinterpret<i64>(x);
  const k = (bits - 0x3fe6a09e667f3bcd) >> 52;
  const m = reinterpret<f64>(bits - (k << 52));
  const s = (m - 1.0) / (m + 1.0);
  const square = s * s;
  let sum = 0.0;
  for (let odd = 21.0; odd >= 1.0; odd -= 2.0) sum = sum * square + 1.0 / odd;
  return <f64>k * LN2_HIGH + (2.0 * s * sum + <f64>k * LN2_LOW);
}
