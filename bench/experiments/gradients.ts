/** The first gradient of a network with new weights, layer by layer. */
import { createTrainer } from "../../src/runtimes/node.ts";
import { gradNormsOf } from "../../src/train/grad-norms.ts";
import type { Run } from "./run.ts";

/** A batch, as a trainer takes it. */
export interface Batch {
  /** `[n, 32, 32, 3]`, 0…1 minus the mean, by the standard deviation. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** Gradient norms of each layer's weights, from the input on; the weights are those of the seed. */
export async function firstGradNorms(
  { threads, signal }: Pick<Run, "threads" | "signal">,
  arch: string,
  seed: number,
  { images, labels }: Batch,
): Promise<{ readonly loss: number; readonly layers: Readonly<Record<string, number>> }> {
  await using trainer = await createTrainer(arch, { pretrained: false, batch: labels.length, seed, threads, signal });
  // A step that goes nowhere.
  trainer.learningRate = 0;
  const { loss } = await trainer.step(images, labels);
  return { loss, layers: gradNormsOf(trainer.graph, await trainer.gradients()).layers };
}
