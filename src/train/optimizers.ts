/**
 * How weights move: the optimizers as steps of a tape, and learning rates as functions of the step.
 */

import { expectedGot, OptionError } from "../errors.ts";
import { type Step, step } from "../tape.ts";

export interface SgdOptions {
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
}

export interface AdamWOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly weightDecay?: number;
}

/** An optimizer: what it remembers, and its step over a stretch of parameters. */
export interface Optimizer {
  readonly name: "sgd" | "adamw";
  /** Numbers it remembers for each weight. */
  readonly states: number;
  /**
   * What goes into memory before a step: rate, (the clip's factor,) and what follows from both for step `t`, from 1.
   */
  hyper(rate: number, t: number): readonly [rate: number, first: number, second: number];
  /**
   * @param lines of 16 weights
   * @param hyper address of rate, clip and what else `hyper` gives
   * @param addresses of gradients, weights, and the states
   */
  step(lines: number, hyper: number, addresses: readonly number[], decays: boolean): Step;
}

function check(name: string, value: number, good: (value: number) => boolean, range: string): number {
  if (!(Number.isFinite(value) && good(value))) throw new RangeError(expectedGot(name, range, `${value}`));
  return value;
}

const atLeast0 = (value: number): boolean => value >= 0;
const below1 = (value: number): boolean => value >= 0 && value < 1;

/** Stochastic gradient descent, as PyTorch's `SGD`. Throws `RangeError` for an option out of range. */
export function sgd({ momentum = 0.9, nesterov = false, weightDecay = 0 }: SgdOptions = {}): Optimizer {
  check("momentum", momentum, below1, "a number from 0, below 1");
  check("weightDecay", weightDecay, atLeast0, "a number from 0");
  if (nesterov && momentum === 0) throw new OptionError("nesterov", expectedGot("nesterov", "a momentum above 0", "0"));
  return {
    name: "sgd",
    states: 1,
    hyper: (rate) => [rate, 0, 0],
    step(lines, hyper, [dw, w, m], decays) {
      const decay = decays ? weightDecay : 0;
      return step("update", "sgd_f32", lines, {
        nesterov: nesterov ? 1 : 0,
        hyper,
        dw: dw!,
        w: w!,
        m: m!,
        momentum,
        decay,
      });
    },
  };
}

/** AdamW with decoupled weight decay, as PyTorch's. Throws `RangeError` for an option out of range. */
export function adamw(options: AdamWOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01 } = options;
  check("beta1", beta1, below1, "a number from 0, below 1");
  check("beta2", beta2, below1, "a number from 0, below 1");
  check("epsilon", epsilon, (value) => value > 0, "a number above 0");
  check("weightDecay", weightDecay, atLeast0, "a number from 0");
  return {
    name: "adamw",
    states: 2,
    hyper: (rate, t) => [rate, rate / (1 - beta1 ** t), 1 / Math.sqrt(1 - beta2 ** t)],
    step(lines, hyper, [dw, w, m, v], decays) {
      const decay = decays ? weightDecay : 0;
      return step("update", "adamw_f32", lines, { hyper, dw: dw!, w: w!, m: m!, v: v!, beta1, beta2, epsilon, decay });
    },
  };
}

/** A learning rate for every step: `at` counts from 0. */
export type Schedule = (at: number) => number;

/** The same rate always. */
export function constant(rate: number): Schedule {
  return () => rate;
}

/** Times `factor` at each of `milestones`, steps in rising order. */
export function stepped(rate: number, milestones: readonly number[], factor = 0.1): Schedule {
  return (at) => rate * factor ** milestones.filter((each) => at >= each).length;
}

/** Half a cosine from `rate` down to `floor` over `steps` (Loshchilov & Hutter 2017, arXiv 1608.03983, no restarts). */
export function cosine(rate: number, steps: number, floor = 0): Schedule {
  return (at) => floor + ((rate - floor) * (1 + Math.cos((Math.PI * Math.min(at, steps)) / steps))) / 2;
}

/**
 * One cycle (Smith & Topin 2018, arXiv 1708.07120), as PyTorch's `OneCycleLR`: up from `rate / 25` to `rate` over the first
 * 30 %, down to `rate / 25 / 10⁴`, both along half a cosine.
 */
export function oneCycle(rate: number, steps: number, rise = 0.3): Schedule {
  const [first, last] = [rate / 25, rate / 25 / 1e4];
  const top = rise * steps - 1;
  const between = (from: number, to: number, part: number): number =>
    to + ((from - to) * (1 + Math.cos(Math.PI * Math.min(1, Math.max(0, part))))) / 2;
  return (at) => (at <= top ? between(first, rate, at / top) : between(rate, last, (at - top) / (steps - 1 - top)));
}

/** Another schedule behind a straight rise from near 0 over the first `steps`; the other counts from their end. */
export function warmUp(steps: number, then: Schedule): Schedule {
  return (at) => (at < steps ? (then(0) * (at + 1)) / steps : then(at - steps));
}
