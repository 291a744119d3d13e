/** How weights move: the optimizers as steps of a tape. `options.ts` checks what they are made with. */

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

/** Stochastic gradient descent, as PyTorch's `SGD`. Throws `OptionError` for Nesterov's momentum of 0. */
export function sgd({ momentum = 0.9, nesterov = false, weightDecay = 0 }: SgdOptions = {}): Optimizer {
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

/** AdamW with decoupled weight decay, as PyTorch's. */
export function adamw(options: AdamWOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01 } = options;
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
