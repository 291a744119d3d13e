/** The most this core can do: what rates are given in per cent of. */
import type { Kernels } from "./kernels.ts";
import { STATIC_BYTES } from "./plan.ts";
import { ensureMemory } from "./weights.ts";

/** Operations of one unit of `peak_f32`: 1,000 steps of twelve chains of four lanes, a multiplication and an addition each. */
const OPERATIONS = 1000 * 12 * 4 * 2;
const UNITS = 20;
/** About a tenth of a second: long enough for the engine's optimising compiler, and to meet a quiet moment. */
const RUNS = 300;

/**
 * The peak rate of multiply-adds on four f32, in GFLOP/s: the best of many short register-only loops. Writes to memory that
 * the zeros of a loaded model lie in, and leaves zeros.
 */
export function measurePeak({ memory, exports }: Kernels): number {
  ensureMemory(memory, STATIC_BYTES + 4 * 48);
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RUNS; ++i) {
    const start = performance.now();
    exports.peak_f32(0, UNITS, STATIC_BYTES, 0.5, 0);
    best = Math.min(best, performance.now() - start);
  }
  return (UNITS * OPERATIONS) / best / 1e6;
}
