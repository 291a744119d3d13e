/** An int8 model beside the one it was made from: how often they agree, how often each is right, how long each takes. */
import type { Classifier } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { DatasetError, ImageError } from "../errors.ts";
import { isMultiLabel } from "../train/dataset.ts";
import { CIFAR10 } from "./cifar10.ts";
import { inModelClasses, openDataset } from "./dataset.ts";
import type { CommonOptions } from "./options.ts";
import { percentile } from "./statistics.ts";

/** The same number of both models. */
export interface Pair {
  readonly exact: number;
  readonly rounded: number;
}

export interface Agreement {
  /** Images that both models classified. */
  readonly images: number;
  /** Share of them that have the same class first. */
  readonly same: number;
  /** Top-1 accuracy, where the images are labelled with the model's classes. */
  readonly accuracy?: Pair;
  /** Median time of the network alone for one image, one thread, in ms. */
  readonly ms: Pair;
  /** Whether these images were calibrated with: on others both may agree less. */
  readonly areCalibrated: boolean;
}

interface Sample {
  readonly image: ImageInput;
  readonly label?: number;
}

/** Images to compare on. */
const COMPARED = 50;

const best = (values: Float32Array): number => values.indexOf(Math.max(...values));

/** Some samples, spread evenly. */
function spread<T>(items: readonly T[]): readonly T[] {
  const count = Math.min(COMPARED, items.length);
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]!);
}

/** The images of a labelled set of the model's classes; of any other folder those that were given, without labels. */
async function samplesOf(
  model: Classifier,
  source: string,
  images: readonly ImageInput[],
  options: Omit<CommonOptions, "model">,
  signal: AbortSignal,
): Promise<readonly Sample[]> {
  try {
    const set = await openDataset(source, undefined, options, signal);
    if (!isMultiLabel(set)) {
      const { examples } = inModelClasses(source, set, model.model);
      return spread(examples).map(({ image, label }) => ({ image: image(), label: label as number }));
    }
  } catch (error) {
    if (!(error instanceof DatasetError)) throw error;
  }
  return spread(images).map((image) => ({ image }));
}

/** Classifies up to `COMPARED` images with both models, turn by turn. */
export async function compareAnswers(
  exact: Classifier,
  rounded: Classifier,
  source: string,
  images: readonly ImageInput[],
  options: Omit<CommonOptions, "model">,
  signal: AbortSignal,
): Promise<Agreement> {
  const models = [exact, rounded] as const;
  for (const model of models) await model.warmup();
  const times: [number[], number[]] = [[], []];
  const right = [0, 0];
  let [count, same, labelled] = [0, 0, 0];
  for (const { image, label } of await samplesOf(exact, source, images, options, signal)) {
    signal.throwIfAborted();
    const answers: number[] = [];
    try {
      for (const [at, model] of models.entries()) {
        const input = await model.preprocess(image);
        const start = performance.now();
        const { data } = await model.logits(input);
        times[at]!.push(performance.now() - start);
        answers.push(best(data));
      }
    } catch (error) {
      // The calibration has named it.
      if (error instanceof ImageError) continue;
      throw error;
    }
    count += 1;
    if (answers[0] === answers[1]) same += 1;
    if (label === undefined) continue;
    labelled += 1;
    for (const at of [0, 1]) if (answers[at] === label) right[at]! += 1;
  }
  return {
    images: count,
    same: same / Math.max(1, count),
    ...(labelled > 0 && { accuracy: { exact: right[0]! / labelled, rounded: right[1]! / labelled } }),
    ms: { exact: percentile(times[0], 50), rounded: percentile(times[1], 50) },
    areCalibrated: source !== CIFAR10,
  };
}
