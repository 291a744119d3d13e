/** What every interleaved comparison does, in a process or in a page: agree, warm up, take turns. */

/**
 * As a fraction of the largest logit: Winograd F(4×4, 3×3) in f32 stays within, a wrong network does not. In int8 the
 * engines round at different places (see `qdq.ts`), and random networks, trained for nothing, pass rounding on undamped.
 */
export const TOLERANCE = { f32: 1e-3, int8: 0.3 } as const;

/** V8 recompiles what runs often; an engine is warm when its best time has stopped falling. */
const WARM_UP = { least: 5, most: 40, patience: 3, gain: 0.02 };

/** Largest difference as a fraction of the largest expected value; NaN where lengths differ or anything is not a number. */
export function farthest(got: Float32Array, expected: Float32Array): number {
  if (got.length !== expected.length) return Number.NaN;
  let [difference, largest] = [0, 0];
  for (let i = 0; i < got.length; ++i) {
    difference = Math.max(difference, Math.abs(got[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}

/** Runs until the best time has stopped falling. */
export async function warmUp(turn: () => Promise<number>): Promise<void> {
  let [best, since] = [Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < WARM_UP.most && (i < WARM_UP.least || since < WARM_UP.patience); ++i) {
    const ms = await turn();
    since = ms < best * (1 - WARM_UP.gain) ? 0 : since + 1;
    best = Math.min(best, ms);
  }
}
