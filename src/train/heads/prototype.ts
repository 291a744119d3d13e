/** Prototype heads: a class is the mean of its features, and an image the class whose mean it points to. For few images a class. */
import { type Fit, type Known, scored } from "./ridge.ts";
import type { Solver } from "./solve.ts";

/** What multiplies cosines where no image was left out: measured with one photo a class, see `npm run bench -- heads`. */
const PRIOR = 8;

/**
 * Scores are x · m / |m|, with m the sum of a class's features: the cosine of the angle between both, times the length that all
 * features have. The middle of all means is not taken away: that cost 1.6 points with five photos a class.
 */
export function prototype(solver: Solver, known: Known): Fit {
  const { channels, classes, labels, counts, sums, row } = known;
  const squares = Float64Array.from(counts, (_, c) => square(sums.subarray(c * channels, (c + 1) * channels)));
  const weights = Float64Array.from(sums, (sum, i) => sum / (Math.sqrt(squares[Math.floor(i / channels)]!) || 1));
  const fit = { weights, factor: PRIOR / Math.sqrt(channels), lambda: 0 };
  if (labels.length < counts.reduce((a, b) => a + b, 0)) return fit;
  const left = Float32Array.from(scored(solver, weights, known));
  labels.forEach((c, i) => {
    // Its own class as it is without it: (x · m - x · x) / |m - x|.
    const own = square(row(i));
    const product = scoreOf(sums.subarray(c * channels, (c + 1) * channels), row(i));
    const length = Math.sqrt(Math.max(0, squares[c]! - 2 * product + own));
    left[i * classes + c] = counts[c] === 1 || length === 0 ? -Math.sqrt(own) : (product - own) / length;
  });
  return { ...fit, left };
}

function scoreOf(sum: Float64Array, row: Float32Array): number {
  let product = 0;
  for (let j = 0; j < row.length; ++j) product += sum[j]! * row[j]!;
  return product;
}

function square(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; ++i) sum += values[i]! * values[i]!;
  return sum;
}
