/** Comparing the speed of steps, fairly, in an engine that may still be compiling them, with a clock that may be coarse. */
import { type KernelExports, runStep, type Step } from "./tape.ts";

/** Ticks of the clock that one timing takes at least: Chromium moves ticks at random, so a timing may be off by two. */
const TICKS = 12;
/** Turns that come first: one alone, disturbed, would look like code that has become faster since. */
const FIRST = 3;
/** Readings of a clock that has not moved, after which it will not: a few milliseconds. */
const PATIENCE = 100_000;

/** What is known when the steps have run in turns for a while. */
export interface Times {
  /** The shortest of the first few times of each step, and of all, in ms a call. */
  readonly first: readonly number[];
  readonly best: readonly number[];
  /**
   * What all calls would have taken at the shortest times, in ms: on a busy machine the clock goes on while nothing is computed here and
   * no code is optimised either.
   */
  readonly spentMs: number;
  /** Whether no time has become clearly shorter in the last half of the turns: while code still becomes faster, nothing is fair. */
  readonly isStable: boolean;
}

/**
 * Runs steps in turns until `isEnough`.
 *
 * @returns `undefined` where the clock stands still while code runs (Workers)
 */
export function compareSteps(
  exports: KernelExports,
  steps: readonly Step[],
  isEnough: (times: Times) => boolean,
): Times | undefined {
  const tick = clockTick();
  if (tick === 0) return undefined;
  let calls = 4;
  const runFor = (each: Step): number => {
    const start = performance.now();
    for (let call = 0; call < calls; ++call) runStep(exports, each);
    return performance.now() - start;
  };
  /** In ms a call; in more calls from now on, where the clock hardly moved: code may become fifty times as fast. */
  const time = (each: Step): number => {
    let ms = runFor(each);
    while (ms < TICKS * tick) {
      calls *= 2;
      ms = runFor(each);
    }
    return ms / calls;
  };
  // Engines compile a function at its first call, quickly at first.
  for (const each of steps) runFor(each);
  const first = steps.map(() => Number.POSITIVE_INFINITY);
  const best = [...first];
  let [improved, spentMs] = [0, 0];
  for (let turns = 1; ; ++turns) {
    let timed = 0;
    for (const [i, each] of steps.entries()) {
      const ms = time(each);
      if (turns <= FIRST) first[i] = Math.min(first[i]!, ms);
      if (ms < 0.95 * best[i]!) improved = turns;
      best[i] = Math.min(best[i]!, ms);
      timed += calls * best[i]!;
    }
    spentMs += timed;
    const times = { first, best, spentMs, isStable: turns - improved >= turns / 2 };
    if (isEnough(times)) return times;
  }
}

/** The smallest step of the clock, in ms; 0 where it stands still. */
function clockTick(): number {
  const start = performance.now();
  for (let reading = 0; reading < PATIENCE; ++reading) {
    const now = performance.now();
    if (now !== start) return now - start;
  }
  return 0;
}
