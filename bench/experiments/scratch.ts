/** CIFAR-10 from scratch, by any network: what `cifar10` and `cifar10-94` share. */
import type { TrainNewOptions } from "../../src/runtimes/node.ts";
import { cifarImages, score } from "./cifar.ts";
import type { Run, Summary } from "./run.ts";
import { percent, trained } from "./training.ts";

/** How a network is trained. */
export interface Recipe {
  readonly arch: string;
  readonly options: TrainNewOptions;
  /** The paper's, or what is aimed at: the share of the test images. */
  readonly goal: number;
  /** Of the short form: images and epochs. */
  readonly quick: { readonly images: number; readonly epochs: number };
}

/** Share of the training images that is kept for validation, unless the options say otherwise. */
const VALIDATION = 0.1;
/** Of the short form: images to test with, and what is else in so few steps. An average of the weights would hold the first ones. */
const QUICK_TEST = 200;
const QUICK: TrainNewOptions = { batch: 32, learningRate: 0.05 };

/** Trains with a recipe; the test images are looked at once, at the end. */
export async function fromScratch(run: Run, { arch, options, goal, quick: short }: Recipe): Promise<Summary> {
  const { quick, seed } = run;
  const { ema, ...others } = options;
  const given = quick ? { ...others, ...QUICK, epochs: short.epochs } : options;
  // CIFAR-10 is even; a few of its images are not.
  const settings = { val: VALIDATION, classWeights: "none", ...given, seed } as const;
  const images = await cifarImages(run, "train", quick ? short.images : undefined);
  const { weights, history } = await trained(run, `${arch}-seed${seed}`, arch, images, settings);
  const rows = history.map(({ gradNorms: _, layerGradNorms: __, ...record }) => record);
  await run.table("epochs.csv", rows);
  const points = history.flatMap(({ epoch, trainTop1, valTop1 }) => [
    { x: epoch, y: 100 * (1 - trainTop1), series: "training" },
    ...(valTop1 === undefined ? [] : [{ x: epoch, y: 100 * (1 - valTop1), series: "validation" }]),
  ]);
  const title = `CIFAR-10 from scratch: ${arch}`;
  await run.plot("error.svg", { title, x: "epoch", y: "error, %", points });
  const test = await score(run, weights, await cifarImages(run, "test", quick ? QUICK_TEST : undefined));
  await run.table("test.csv", [{ arch, seed, ...test }]);
  run.say(
    `test: ${percent(test.top1)}, with mirror images ${percent(test.top1Mirrored)}; the goal is ${percent(goal)}`,
  );
  const { trainLoss } = history.at(-1)!;
  return { arch, settings, goal, test, firstLoss: history[0]!.trainLoss, trainLoss };
}
