/** A head without epochs as a phase of a fine-tuning: from the features of a set to the last layer, and how it does. */
import { DatasetError, expectedGot } from "../../errors.ts";
import type { NamedTensor } from "../../formats/safetensors.ts";
import type { Runtime } from "../../runtime.ts";
import { labelsOf } from "../dataset.ts";
import { type Features, featureSource, type Labelled } from "../sources.ts";
import type { EpochRecord } from "../state.ts";
import type { Targets } from "../targets.ts";
import type { Evaluation } from "../trainer.ts";
import { type Validation, validate } from "../validate.ts";
import { canonical, lengthOf, type SolvedHead, solvedHead, unit } from "./head.ts";
import { createSolver } from "./solve.ts";
import { Sums } from "./sums.ts";

/** What is given besides the features. */
export interface SolvedPhase {
  readonly head: SolvedHead;
  /** Name of the last layer. */
  readonly node: string;
  readonly train: Labelled;
  readonly val: Labelled | undefined;
}

/** What comes out. */
export interface SolvedOutcome {
  readonly tensors: readonly NamedTensor[];
  readonly history: readonly EpochRecord[];
  readonly validation: Validation | undefined;
  /** Share of the images that the head of all others takes for their class. */
  readonly leaveOneOut: number;
}

/** Images that are looked at together. */
const BATCH = 64;

/**
 * Solves for the head of a set.
 *
 * @throws DatasetError when no image of some class could be read
 */
export async function solvePhase(
  runtime: Runtime,
  { head, node, train, val }: SolvedPhase,
  features: Features,
  valFeatures: Features | undefined,
): Promise<SolvedOutcome> {
  const { channels, rows } = features;
  const { classes } = train;
  const images = canonical(
    train.examples.flatMap((example, i) => {
      const mine = rows[0]![i];
      // Numbers of one width are in order as texts.
      return mine === undefined ? [] : [{ features: mine, label: `${labelsOf(example)[0]!}`.padStart(9, "0") }];
    }),
  );
  const labels = Int32Array.from(images, ({ label }) => Number(label));
  const sums = new Sums(channels);
  let lengths = 0;
  for (const { features: each, label } of images) {
    const length = lengthOf(each);
    lengths += length;
    sums.add({ row: unit(each), length }, label);
  }
  const names = Array.from({ length: classes }, (_, c) => `${c}`.padStart(9, "0"));
  const counts = Float64Array.from(names, (name) => sums.count(name));
  if (counts.includes(0)) {
    const got = `${counts.filter((count) => count === 0).length} without`;
    throw new DatasetError("empty", expectedGot("training set", "images that can be read in every class", got));
  }
  const joined = new Float64Array(classes * channels);
  for (const [c, name] of names.entries()) joined.set(sums.of(name), c * channels);
  const solver = await createSolver(runtime);
  const row = (i: number): Float32Array => unit(images[i]!.features);
  const began = performance.now();
  const fit = solvedHead(
    solver,
    {
      ...{ channels, classes, labels, counts, sums: joined, row },
      gram: () =>
        sums.gram(
          solver,
          images.map((_, i) => row(i)),
        ),
      meanLength: lengths / images.length,
      lengthOf: (i) => lengthOf(images[i]!.features),
    },
    head,
  );
  const seconds = Math.max(1e-3, (performance.now() - began) / 1000);
  const looks = {
    evaluate: async (images: Float32Array, targets: Targets) => evaluated(fit.weights, classes, images, targets),
  };
  const seen = await validate(looks, featureSource(train, features, 1), BATCH, false);
  const validation = val && valFeatures && (await validate(looks, featureSource(val, valFeatures, 1), BATCH, false));
  const tensor = (suffix: string, values: Float32Array<ArrayBuffer>, shape: readonly number[]): NamedTensor => {
    return { name: `${node}.${suffix}`, dtype: "F32", shape, bytes: new Uint8Array(values.buffer) };
  };
  return {
    tensors: [tensor("weight", fit.weights, [classes, channels]), tensor("bias", new Float32Array(classes), [classes])],
    history: [
      {
        ...{ epoch: 1, learningRate: 0, gradNorms: {} },
        ...{ trainLoss: short(seen.loss), trainTop1: short(seen.top1) },
        ...(validation !== undefined && { valLoss: short(validation.loss), valTop1: short(validation.top1) }),
        imagesPerSecond: Number((images.length / seconds).toFixed(1)),
      },
    ],
    validation,
    leaveOneOut: short(rightOf(fit.left!, labels, classes) / images.length),
  };
}

const short = (value: number): number => Number(value.toPrecision(6));

/** Loss and answers of a linear head for features `[n, channels]`. */
function evaluated(weights: Float32Array, classes: number, features: Float32Array, labels: Targets): Evaluation {
  const channels = weights.length / classes;
  const count = features.length / channels;
  const logits = new Float32Array(count * classes);
  let loss = 0;
  for (let i = 0; i < count; ++i) {
    for (let c = 0; c < classes; ++c) {
      let sum = 0;
      for (let j = 0; j < channels; ++j) sum += weights[c * channels + j]! * features[i * channels + j]!;
      logits[i * classes + c] = sum;
    }
    const mine = logits.subarray(i * classes, (i + 1) * classes);
    const top = mine.reduce((a, b) => Math.max(a, b));
    loss += top + Math.log(mine.reduce((sum, value) => sum + Math.exp(value - top), 0)) - mine[labels[i]!]!;
  }
  return { loss: loss / Math.max(1, count), correct: rightOf(logits, labels, classes), logits };
}

function rightOf(logits: Float32Array, labels: ArrayLike<number>, classes: number): number {
  let right = 0;
  for (let i = 0; i < labels.length; ++i) {
    const mine = logits.subarray(i * classes, (i + 1) * classes);
    right += Number(mine.indexOf(mine.reduce((a, b) => Math.max(a, b))) === labels[i]);
  }
  return right;
}
