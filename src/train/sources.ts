/** Where the batches of a training come from: images that are prepared when they are needed, or features computed once. */

import { seedFrom } from "../models/random.ts";
import type { Augment } from "./augments.ts";
import { type Example, labelsOf } from "./dataset.ts";
import type { Loss } from "./options.ts";
import type { Preparer } from "./preparer.ts";
import type { Targets } from "./targets.ts";

/** Inputs and their classes. */
export interface Batch {
  /** `[n, h, w, c]`; fewer than were asked for where images could not be read. */
  readonly images: Float32Array;
  readonly labels: Targets;
  /** Of the examples, those that are in it. */
  readonly indices: readonly number[];
}

/** A set whose examples come in batches. */
export interface BatchSource {
  readonly count: number;
  /** The inputs of some examples as the epoch sees them. */
  batch(indices: readonly number[], epoch: number): Promise<Batch>;
}

/** Features of a set: a row for each view of each example; none for what could not be read. */
export interface Features {
  readonly channels: number;
  readonly views: number;
  /** `[views][examples]`, each `[channels]`. */
  readonly rows: readonly (readonly (Float32Array | undefined)[])[];
}

/** Examples, and how their labels become targets. */
export interface Labelled {
  readonly examples: readonly Example[];
  /** Number of classes. */
  readonly classes: number;
  readonly loss: Loss;
}

/** How images become inputs. */
export interface ImageSourceOptions {
  readonly preparer: Preparer;
  /** Numbers of one input. */
  readonly inputSize: number;
  readonly augment: Augment;
  readonly randAugment: number;
  readonly erase: number;
  readonly seed: number;
  /** The first example's number in the preparer, which keeps decoded images by number. */
  readonly firstKey: number;
  /** Gets the message of each image that cannot be read, by name; such images are left out. */
  readonly failed: Map<string, string>;
}

/** Examples whose images are prepared when they are asked for. */
export function imageSource(set: Labelled, options: ImageSourceOptions): BatchSource {
  const { examples } = set;
  const { preparer, inputSize, augment, randAugment, erase, seed, firstKey, failed } = options;
  return {
    count: examples.length,
    async batch(indices, epoch) {
      const inputs = await Promise.all(
        indices.map(async (index) => {
          const { name, image } = examples[index]!;
          try {
            // Of a page, whose training is in a worker, images are promises.
            const variation = { augment, randAugment, erase, seed: seedFrom(seed, epoch, index) };
            return await preparer.prepare({ key: firstKey + index, image: await image(), ...variation });
          } catch (error) {
            failed.set(name, error instanceof Error ? error.message : String(error));
            return undefined;
          }
        }),
      );
      return gather(inputs, indices, set, inputSize);
    },
  };
}

/** Examples whose features are known. Each epoch sees one of the views of each. */
export function featureSource(set: Labelled, { channels, views, rows }: Features, seed: number): BatchSource {
  return {
    count: set.examples.length,
    async batch(indices, epoch) {
      const inputs = indices.map((index) => {
        const view = views === 1 ? 0 : (seedFrom(seed, epoch, index) >>> 1) % views;
        return rows[view]![index];
      });
      return gather(inputs, indices, set, channels);
    },
  };
}

/** The inputs that there are, one behind the other. */
function gather(
  inputs: readonly (Float32Array | undefined)[],
  indices: readonly number[],
  set: Labelled,
  size: number,
): Batch {
  const good = indices.filter((_, i) => inputs[i] !== undefined);
  const images = new Float32Array(good.length * size);
  let at = 0;
  for (const input of inputs) {
    if (input === undefined) continue;
    images.set(input, at);
    at += size;
  }
  return { images, labels: targetsOf(set, good), indices: good };
}

function targetsOf({ examples, classes, loss }: Labelled, indices: readonly number[]): Targets {
  if (loss === "cross_entropy") return Int32Array.from(indices, (index) => labelsOf(examples[index]!)[0]!);
  const targets = new Uint8Array(indices.length * classes);
  indices.forEach((index, i) => {
    for (const label of labelsOf(examples[index]!)) targets[i * classes + label] = 1;
  });
  return targets;
}
