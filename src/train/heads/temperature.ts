/** How sure a head is: the one number that its scores are multiplied by, so that their softmax is a probability. */

/** Largest ratio of the highest score's factor to the lowest's that is tried, about 1 over the scores' spread. */
const RANGE = 2 ** 20;
/** Numbers that are looked at; of more, every k-th row. */
const MOST = 2 ** 22;

/**
 * The factor of the scores that makes the softmax likeliest (Guo et al. 2017, arXiv 1706.04599: one over their temperature). Targets
 * are short of 1 by 1 / (rows + 2), after Platt 1999: few photos that are all told apart do not make certain.
 *
 * @param scores `[labels.length, classes]`, of photos that the head has not seen
 * @param prior used where no score differs from another
 */
export function calibrated(scores: Float32Array, labels: Int32Array, classes: number, prior: number): number {
  const step = Math.max(1, Math.ceil(scores.length / MOST));
  let spread = 0;
  const rows: number[] = [];
  for (let row = 0; row < labels.length; row += step) {
    rows.push(row);
    const mine = scores.subarray(row * classes, (row + 1) * classes);
    spread = Math.max(spread, mine.reduce((a, b) => Math.max(a, b)) - mine.reduce((a, b) => Math.min(a, b)));
  }
  if (!(spread > 0)) return prior;
  const missing = 1 / (labels.length + 2);
  // The loss is convex in the factor: its slope rises through zero once.
  const slope = (factor: number): number => {
    let sum = 0;
    for (const row of rows) {
      const from = row * classes;
      let top = Number.NEGATIVE_INFINITY;
      for (let i = from; i < from + classes; ++i) top = Math.max(top, scores[i]!);
      let all = 0;
      let weighted = 0;
      let mean = 0;
      for (let i = from; i < from + classes; ++i) {
        const part = Math.exp(factor * (scores[i]! - top));
        all += part;
        weighted += part * scores[i]!;
        mean += scores[i]!;
      }
      const own = scores[from + labels[row]!]!;
      const others = (mean - own) / Math.max(1, classes - 1);
      sum += weighted / all - (1 - missing) * own - missing * others;
    }
    return sum;
  };
  let [low, high] = [1 / (RANGE * spread), RANGE / spread];
  for (let i = 0; i < 60 && high / low > 1 + 1e-7; ++i) {
    const middle = Math.sqrt(low * high);
    if (slope(middle) < 0) low = middle;
    else high = middle;
  }
  return Math.sqrt(low * high);
}
