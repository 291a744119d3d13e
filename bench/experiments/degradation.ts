/**
 * Why residual networks exist (He et al., Fig. 6): plain-20, plain-56, ResNet-20 and ResNet-56 by one schedule, on the same images in
 * the same order. A plain network that is deeper does worse on the images that it learns from; a residual one does not.
 */
import type { TrainNewOptions } from "../../src/runtimes/node.ts";
import { cifarImages } from "./cifar.ts";
import { type DepthRow, depthPoints, depthRows } from "./depth.ts";
import { firstGradNorms } from "./gradients.ts";
import { batchOf } from "./initialisation.ts";
import type { Point } from "./plot.ts";
import type { Run, Summary } from "./run.ts";
import { trained } from "./training.ts";

const NETWORKS = ["plain20", "plain56", "resnet20", "resnet56"] as const;
const SEEDS = 3;
/** The paper's optimizer, its schedule in fewer epochs. A few images, drawn for the short form, are uneven: nothing weighs them. */
const OPTIONS: TrainNewOptions = {
  ...{ epochs: 12, batch: 128, schedule: "step", learningRate: 0.1, warmup: 1 },
  ...{ momentum: 0.9, weightDecay: 1e-4, classWeights: "none", augment: "standard", val: 0.1 },
};
/** Of the short form. */
const QUICK: TrainNewOptions = { epochs: 2, batch: 32, warmup: 0, val: 0 };
const QUICK_IMAGES = 256;

export async function run(run: Run): Promise<Summary> {
  const { quick } = run;
  const images = await cifarImages(run, "train", quick ? QUICK_IMAGES : undefined);
  const batch = batchOf({ ...images, examples: images.examples.slice(0, quick ? 32 : 128) });
  const options = { ...OPTIONS, ...(quick && QUICK) };
  const epochs: Record<string, string | number>[] = [];
  const gradients: (DepthRow & { readonly epoch: number })[] = [];
  const points: Point[] = [];
  // All networks of one seed before the next seed: an end too early leaves whole comparisons.
  for (let seed = run.seed; seed < run.seed + (quick ? 1 : SEEDS); ++seed) {
    for (const network of NETWORKS) {
      const start = await firstGradNorms(run, network, seed, batch);
      const { history } = await trained(run, `${network}-seed${seed}`, network, images, { ...options, seed });
      const norms = [start.layers, ...history.map(({ layerGradNorms }) => layerGradNorms)];
      gradients.push(
        ...norms.flatMap((layers, epoch) => depthRows(network, seed, layers).map((row) => ({ ...row, epoch }))),
      );
      for (const { gradNorms: _, layerGradNorms: __, ...record } of history) {
        epochs.push({ network, seed, ...record });
        points.push({ x: record.epoch, y: 100 * (1 - record.trainTop1), series: network, run: seed });
      }
    }
    await report(run, epochs, gradients, points);
  }
  return { options, images: images.examples.length, ...lastErrors(epochs) };
}

/** Writes what is known so far. */
async function report(
  run: Run,
  epochs: readonly Record<string, string | number>[],
  gradients: readonly (DepthRow & { readonly epoch: number })[],
  points: readonly Point[],
): Promise<void> {
  await run.table("epochs.csv", epochs);
  await run.table("gradients.csv", gradients);
  const title = "Training error: deeper plain networks do worse, deeper residual ones do not";
  await run.plot("training-error.svg", { title, x: "epoch", y: "training error, %", points });
  const last = Math.max(...gradients.map(({ epoch }) => epoch));
  const panels = [
    [0, "before training"],
    [1, "after the first epoch"],
    [last, "after the last epoch"],
  ] as const;
  await run.plot("gradients.svg", {
    title: "Gradient by depth",
    ...{ x: "layer, from the input", y: "norm of the weights' gradient", logY: true },
    points: panels.flatMap(([at, panel]) =>
      depthPoints(
        gradients.filter(({ epoch }) => epoch === at),
        panel,
      ),
    ),
  });
}

/** Of each network, by seed: the loss of the first epoch, and loss and error of the last. */
function lastErrors(epochs: readonly Record<string, string | number>[]): Summary {
  const byNetwork = NETWORKS.map((network) => {
    const mine = epochs.filter((row) => row.network === network);
    const most = Math.max(...mine.map(({ epoch }) => epoch as number));
    const at = (epoch: number, key: string): unknown[] =>
      mine.filter((row) => row.epoch === epoch).map((row) => row[key]);
    const [firstLoss, trainLoss, trainTop1] = [at(1, "trainLoss"), at(most, "trainLoss"), at(most, "trainTop1")];
    return [network, { firstLoss, trainLoss, trainTop1 }] as const;
  });
  return { networks: Object.fromEntries(byNetwork) };
}
