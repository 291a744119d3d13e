/** CIFAR-10, and how a network does on it. */
import { cifar10 } from "../../src/cli/cifar10.ts";
import { progress } from "../../src/cli/progress.ts";
import { type Dataset, load } from "../../src/runtimes/node.ts";
import type { Run } from "./run.ts";

/** The first `count` of the training or test images, or all. Their order is mixed. */
export function cifarImages(run: Pick<Run, "signal">, split: "train" | "test", count?: number): Promise<Dataset> {
  return cifar10(split, { build: "auto" }, run.signal, count);
}

/** Accuracies, 0…1. */
export interface Score {
  readonly images: number;
  readonly top1: number;
  /** With the mean of the probabilities of an image and its mirror image. */
  readonly top1Mirrored: number;
}

/** Classifies images by a file of weights. */
export async function score(run: Pick<Run, "signal">, weights: Uint8Array, { examples }: Dataset): Promise<Score> {
  const classifier = await load(weights);
  const line = progress(false, { name: "testing", unit: "images", total: examples.length });
  let [plain, mirrored] = [0, 0];
  try {
    for (const { image, label } of examples) {
      run.signal.throwIfAborted();
      const both = await classifier.probabilities(image(), { crops: 10, scales: [32] });
      plain += Number(best(await classifier.probabilities(image())) === label);
      mirrored += Number(best(both) === label);
      line.tick();
    }
  } finally {
    line.stop();
    await classifier.dispose();
  }
  return { images: examples.length, top1: plain / examples.length, top1Mirrored: mirrored / examples.length };
}

function best(values: Float32Array): number {
  return values.indexOf(values.reduce((a, b) => Math.max(a, b)));
}
