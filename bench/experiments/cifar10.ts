/**
 * ResNet-20 on CIFAR-10, from nothing, to the 91.25 % of He et al. (Table 6) in a sixth of their epochs. What was taken from those who
 * train CIFAR-10 fastest (hlb-CIFAR10, airbench: arXiv 2404.00498): one cycle of the learning rate, Nesterov's momentum, no decay of
 * norms and biases, an average of the weights at the end, mirror images in the test. The network is the paper's.
 */
import type { Run, Summary } from "./run.ts";
import { fromScratch, type Recipe } from "./scratch.ts";

export const RECIPE: Recipe = {
  arch: "resnet20",
  goal: 0.9125,
  quick: { images: 1000, epochs: 3 },
  options: {
    ...{ epochs: 30, batch: 128, schedule: "onecycle", learningRate: 0.4, warmup: 0 },
    ...{ nesterov: true, momentum: 0.9, weightDecay: 5e-4, decayNorms: false },
    ...{ ema: 0.998, augment: "standard" },
  },
};

export function run(run: Run): Promise<Summary> {
  return fromScratch(run, RECIPE);
}
