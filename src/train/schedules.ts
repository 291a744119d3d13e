/** Learning rates over the course of a training. */
import { expectedGot, OptionError } from "../errors.ts";

/**
 * `constant`; `step`: a tenth from half of the way on and a hundredth from three quarters on (He et al. 2015, section
 * 4.2); `cosine`: half a wave down to zero (Loshchilov & Hutter, arXiv 1608.03983); `onecycle`: up for three tenths of
 * the way and down to almost zero, both along cosines (Smith & Topin, arXiv 1708.07120).
 */
export const SCHEDULES = ["constant", "step", "cosine", "onecycle"] as const;
export type Schedule = (typeof SCHEDULES)[number];

/** Where the one cycle begins and ends, as parts of its peak. */
const [CYCLE_START, CYCLE_PEAK, CYCLE_END] = [1 / 25, 0.3, 1e-4];

function wave(from: number, to: number, part: number): number {
  return to + ((from - to) * (1 + Math.cos(Math.PI * part))) / 2;
}

/** The factor on the learning rate, `part` of the way through, 0…1. */
function factorAt(schedule: Schedule, part: number): number {
  switch (schedule) {
    case "constant":
      return 1;
    case "step":
      return part < 0.5 ? 1 : part < 0.75 ? 0.1 : 0.01;
    case "cosine":
      return wave(1, 0, part);
    case "onecycle":
      if (part < CYCLE_PEAK) return wave(CYCLE_START, 1, part / CYCLE_PEAK);
      return wave(1, CYCLE_END, (part - CYCLE_PEAK) / (1 - CYCLE_PEAK));
    default:
      throw new OptionError("schedule", expectedGot("schedule", SCHEDULES.join(", "), `${schedule}`));
  }
}

/**
 * The learning rate of one step.
 *
 * @param rate the highest
 * @param step from 0
 * @param total steps in all
 * @param warmup steps over which the rate rises from nothing, before the schedule begins
 */
export function rateAt(schedule: Schedule, rate: number, step: number, total: number, warmup = 0): number {
  if (step < warmup) return (rate * (step + 1)) / warmup;
  return rate * factorAt(schedule, (step - warmup) / Math.max(1, total - warmup));
}

/**
 * The part of its rate that all but the head have: nothing for `head` steps, in which the head alone learns, and then more and
 * more over `warmup` steps.
 */
export function bodyRateAt(step: number, head: number, warmup: number): number {
  if (step < head) return 0;
  return head === 0 || step >= head + warmup ? 1 : (step - head + 1) / warmup;
}
