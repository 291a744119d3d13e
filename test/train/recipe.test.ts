/** What a recipe is made of, on small networks: averages, rates by block, weights of classes, the best epoch, mirrored views. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { NamedTensor } from "../../src/formats/safetensors.ts";
import type { Pixels } from "../../src/image.ts";
import { uniform } from "../../src/models/random.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { bestOf } from "../../src/train/best.ts";
import { ImageSet } from "../../src/train/dataset.ts";
import { type Finetuned, type FinetuneOptions, trainNewWith } from "../../src/train/finetune.ts";
import { initialise } from "../../src/train/initialise.ts";
import { mirrored, mirroredSource } from "../../src/train/mirror.ts";
import type { BatchSource } from "../../src/train/sources.ts";
import type { TrainOptions } from "../../src/train/spec.ts";
import type { EpochRecord } from "../../src/train/state.ts";
import { type Trainer, trainWith } from "../../src/train/trainer.ts";
import { validate } from "../../src/train/validate.ts";
import { goldenInput } from "../golden/weights.ts";

const runtime = nodeRuntime();
const SPEC: ResNetSpec = { ...resnetSpec("resnet18"), depths: [1, 1, 1, 1], width: 16, classes: 3 };
const IMAGES = goldenInput([4, 32, 32, 3]);
const LABELS = Int32Array.from([0, 1, 2, 1]);

function small(options: TrainOptions = {}): Promise<Trainer> {
  const graph = resnet("small", SPEC, [32, 32, 3]);
  const model = { source: "small", graph, checkpoint: initialise(graph, 3) };
  return trainWith(runtime, model, { batch: 4, norms: "frozen", learningRate: 1e-3, ...options });
}

type Weights = ReadonlyMap<string, Float32Array>;
const valuesOf = (tensors: readonly NamedTensor[]): Weights =>
  new Map(
    tensors
      .filter(({ dtype }) => dtype === "F32")
      .map(({ name, bytes }) => [name, new Float32Array(bytes.slice().buffer)]),
  );
const weightsOf = async (trainer: Trainer, averaged = false): Promise<Weights> =>
  valuesOf(await trainer.tensors({ averaged }));
/** The largest difference between two of the same weights. */
function apart(one: Weights, other: Weights, name: string): number {
  const b = other.get(name)!;
  return one.get(name)!.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

test("averages follow the formula: a = share · a + (1 − share) · w, from the first weights on", async () => {
  const trainer = await small({ ema: 0.8 });
  const average = new Map([...(await weightsOf(trainer))].map(([name, values]) => [name, Float64Array.from(values)]));
  for (let i = 0; i < 3; ++i) {
    await trainer.step(IMAGES, LABELS);
    for (const [name, values] of await weightsOf(trainer)) {
      const mine = average.get(name)!;
      values.forEach((value, at) => {
        mine[at] = 0.8 * mine[at]! + 0.2 * value;
      });
    }
  }
  const got = await weightsOf(trainer, true);
  for (const name of ["fc.weight", "layer4.0.conv1.weight", "conv1.weight"]) {
    const want = average.get(name)!;
    got.get(name)!.forEach((value, i) => {
      expect(Math.abs(value - want[i]!)).toBeLessThan(1e-6);
    });
  }
  await trainer.dispose();
});

describe("rates by block", () => {
  test("each block moves by a power of the factor", async () => {
    const plain = { optimizer: "sgd", momentum: 0, weightDecay: 0 } as const;
    const [even, graded] = [await small(plain), await small({ ...plain, layerDecay: 0.5 })];
    const before = await weightsOf(even);
    for (const trainer of [even, graded]) await trainer.step(IMAGES, LABELS);
    const [one, other] = [await weightsOf(even), await weightsOf(graded)];
    const blocks = [
      "fc.weight",
      "layer4.0.conv1.weight",
      "layer3.0.bn1.weight",
      "layer2.0.conv2.weight",
      "layer1.0.conv1.weight",
      "conv1.weight",
    ];
    for (const [depth, name] of blocks.entries()) {
      // Weights are rounded to f32, of which a move is a small part.
      const largest = before.get(name)!.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const mine = before.get(name)!.map((value, i) => value + 0.5 ** depth * (one.get(name)![i]! - value));
      expect(apart(new Map([[name, mine]]), other, name), name).toBeLessThan(largest * 3e-7);
      expect(apart(before, other, name), name).toBeGreaterThan(0);
    }
    await Promise.all([even.dispose(), graded.dispose()]);
  });
  test("a body rate of 0 moves the head alone", async () => {
    for (const optimizer of ["sgd", "adamw"] as const) {
      const trainer = await small({ optimizer });
      const before = await weightsOf(trainer);
      trainer.bodyRate = 0;
      await trainer.step(IMAGES, LABELS);
      const after = await weightsOf(trainer);
      for (const name of before.keys()) {
        if (name.startsWith("fc.")) expect(apart(before, after, name), name).toBeGreaterThan(0);
        else expect(apart(before, after, name), name).toBe(0);
      }
      await trainer.dispose();
    }
  });
});

describe("targets", () => {
  test("shares of one class are labels, to the bit", async () => {
    const [hard, soft] = [await small({ labelSmoothing: 0.1 }), await small({ labelSmoothing: 0.1 })];
    const shares = Float32Array.from([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0]);
    expect(await soft.step(IMAGES, shares)).toEqual(await hard.step(IMAGES, LABELS));
    expect(apart(await weightsOf(soft), await weightsOf(hard), "conv1.weight")).toBe(0);
    await Promise.all([hard.dispose(), soft.dispose()]);
  });
  test("of weighted classes have PyTorch's loss and gradient", async () => {
    const classWeights = [2, 0.5, 1];
    const trainer = await small({ train: "head", classWeights });
    const { logits } = await trainer.evaluate(IMAGES, LABELS);
    const { loss } = await trainer.step(IMAGES, LABELS);
    const all = LABELS.reduce((sum, label) => sum + classWeights[label]!, 0);
    const softmax = [...LABELS].map((_, i) => {
      const row = [...logits.subarray(3 * i, 3 * i + 3)].map(Math.exp);
      return row.map((x) => x / row.reduce((a, b) => a + b));
    });
    const want = [...LABELS].reduce((sum, label, i) => sum - classWeights[label]! * Math.log(softmax[i]![label]!), 0);
    expect(loss).toBeCloseTo(want / all, 5);
    const bias = (await trainer.gradients()).get("fc.bias")!;
    for (let c = 0; c < 3; ++c) {
      const parts = [...LABELS].map(
        (label, i) => (classWeights[label]! / all) * (softmax[i]![c]! - Number(label === c)),
      );
      expect(bias[c]).toBeCloseTo(
        parts.reduce((a, b) => a + b),
        5,
      );
    }
    await trainer.dispose();
  });
  test("weighted, over accumulated batches, are those of one large batch", async () => {
    const options = { classWeights: [2, 0.5, 1], labelSmoothing: 0.1 };
    const [whole, parts] = [await small(options), await small({ ...options, batch: 1, accumulate: 4 })];
    const [a, b] = [await whole.step(IMAGES, LABELS), await parts.step(IMAGES, LABELS)];
    expect(Math.abs(b.loss / a.loss - 1)).toBeLessThan(1e-4);
    expect(Math.abs(b.gradNorm / a.gradNorm - 1)).toBeLessThan(1e-3);
    await Promise.all([whole.dispose(), parts.dispose()]);
  });
  test.each([
    ["shares below 0", {}, new Float32Array(12).fill(-1), "labels"],
    ["shares of another count", {}, new Float32Array(11), "labels"],
    ["shares that are no numbers", {}, new Float32Array(12).fill(Number.NaN), "labels"],
  ] as const)("%s are refused", async (_, options, labels, option) => {
    const trainer = await small(options);
    await expect(trainer.step(IMAGES, labels)).rejects.toMatchObject({ option });
    await trainer.dispose();
  });
  test.each([[[1, 2]], [[1, 2, -1]], [[1, 2, Number.NaN]]])("weights %j are refused", async (classWeights) => {
    await expect(small({ classWeights })).rejects.toMatchObject({ option: "classWeights" });
  });
});

describe("a snapshot", () => {
  test.each([false, true])("brings the bytes back, averaged: %s", async (averaged) => {
    const trainer = await small({ norms: "live", ...(averaged && { ema: 0.9 }) });
    await trainer.step(IMAGES, LABELS);
    const bytes = async (): Promise<string> => {
      const hash = createHash("sha256");
      for (const each of await trainer.tensors({ averaged })) hash.update(each.name).update(each.bytes);
      return hash.digest("hex");
    };
    const before = await bytes();
    const snapshot = await trainer.snapshot({ averaged });
    for (let i = 0; i < 2; ++i) await trainer.step(IMAGES, LABELS);
    expect(await bytes()).not.toBe(before);
    await trainer.adopt(snapshot);
    expect(await bytes()).toBe(before);
    await trainer.dispose();
  });
});

describe("mirrored", () => {
  test("left to right, and twice is as it was", () => {
    expect([...mirrored(Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]), 3, 2)]).toEqual([
      5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8,
    ]);
    expect(mirrored(mirrored(IMAGES, 32, 3), 32, 3)).toEqual(IMAGES);
  });
  test("and plain together: the mean of both probabilities", async () => {
    const trainer = await small();
    const size = 32 * 32 * 3;
    const source: BatchSource = {
      count: 4,
      async batch(indices) {
        const images = new Float32Array(indices.length * size);
        indices.forEach((index, i) => {
          images.set(IMAGES.subarray(index * size, (index + 1) * size), i * size);
        });
        return { images, labels: Int32Array.from(indices, (index) => LABELS[index]!), indices };
      },
    };
    const other = mirroredSource(source, 32, 3);
    const both = await validate(trainer, [source, other], 3, false);
    const [one, two] = [await validate(trainer, [source], 3, false), await validate(trainer, [other], 3, false)];
    expect(both.loss).toBeCloseTo((one.loss + two.loss) / 2, 6);
    both.answers.forEach(({ best }, i) => {
      for (const [index, probability] of best) {
        const parts = [one, two].map(({ answers }) => answers[i]!.best.find(([c]) => c === index)![1]);
        expect(probability).toBeCloseTo((parts[0]! + parts[1]!) / 2, 4);
      }
    });
    await trainer.dispose();
  });
});

test("the best epoch: top-1, then loss, then the first", () => {
  const record = (epoch: number, valTop1: number, valLoss: number): EpochRecord =>
    ({ epoch, valTop1, valLoss }) as EpochRecord;
  expect(bestOf([])).toBeUndefined();
  expect(bestOf([record(1, 0.5, 1), record(2, 0.6, 2), record(3, 0.6, 1.5), record(4, 0.6, 1.5)])!.epoch).toBe(3);
});

/** Halves of two brightnesses: which is brighter is the class. */
function halves(isLeft: boolean, seed: number): Pixels {
  const next = uniform(seed);
  const data = new Uint8Array(32 * 32 * 4);
  for (let i = 0; i < 32 * 32; ++i) data.fill(i % 32 < 16 === isLeft ? 190 : 90 + 60 * next(), 4 * i, 4 * i + 4);
  return { width: 32, height: 32, data };
}

function drawn(count: number, seed: number): ImageSet {
  const set = new ImageSet();
  for (let i = 0; i < count; ++i) set.add(halves(i % 2 === 1, seed + i), i % 2 === 1 ? "left" : "right");
  return set;
}

const TRAIN = drawn(16, 1);
const VAL = drawn(8, 500);
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const BASE = { batch: 4, epochs: 3, augment: "none", warmup: 0, learningRate: 0.02 } as const;
const run = (options: FinetuneOptions): Promise<Finetuned> =>
  trainNewWith(runtime, "resnet20", TRAIN, { ...BASE, ...options });

/** Runs to a step, stops there, and goes on from what was kept. */
async function stopped(
  options: FinetuneOptions,
  isThere: (step: number, fold: number | undefined) => boolean,
): Promise<Finetuned> {
  const controller = new AbortController();
  let kept: Uint8Array | undefined;
  const first = run({
    ...options,
    signal: controller.signal,
    onCheckpoint(bytes) {
      kept = bytes;
    },
    onProgress(progress) {
      if (progress.phase === "train" && isThere(progress.step, progress.fold)) controller.abort(new Error("enough"));
    },
  });
  await expect(first).rejects.toThrow("enough");
  return run({ ...options, resume: kept! });
}

const lasting = ({ history }: Finetuned): unknown => history.map(({ imagesPerSecond: _, ...record }) => record);

describe("a run", () => {
  const all: FinetuneOptions = {
    ...{ val: VAL, mixup: 0.3, cutmix: 1, randAugment: 5, erase: 0.5, ema: 0.5, labelSmoothing: 0.1, flips: true },
    ...{
      classWeights: "balanced",
      layerDecay: 0.8,
      headWarmup: 1,
      warmup: 0.5,
      keep: "best",
      augment: "light",
      accumulate: 2,
      batch: 2,
    },
  };
  test("of everything at once has the same bytes after a stop", async () => {
    const whole = await run(all);
    for (const step of [3, 6]) {
      const rest = await stopped(all, (at) => at === step);
      expect(digest(rest.bytes)).toBe(digest(whole.bytes));
      expect(lasting(rest)).toEqual(lasting(whole));
      expect(rest.epoch).toBe(whole.epoch);
    }
  }, 240_000);
  test("that keeps the best has the bytes of a run that ends there", async () => {
    // With a rate that does not depend on the number of epochs, a shorter run is the beginning of a longer one.
    const options = { val: VAL, schedule: "constant", learningRate: 0.3, epochs: 4 } as const;
    const best = await run({ ...options, keep: "best" });
    expect(best.epoch).toBe(bestOf(best.history)!.epoch);
    expect(best.valTop1).toBe(best.history[best.epoch - 1]!.valTop1);
    const short = await run({ ...options, epochs: best.epoch });
    expect(digest(best.bytes)).toBe(digest(short.bytes));
  }, 240_000);
  test("with patience ends so many epochs after the best, and resumes to the same", async () => {
    // Whose classes are exchanged: the better it learns, the worse it validates.
    const val = {
      classes: VAL.classes,
      examples: VAL.examples.map((each) => ({ ...each, label: 1 - Number(each.label) })),
    };
    const options = { val, schedule: "constant", epochs: 12, patience: 2 } as const;
    const whole = await run(options);
    expect(whole.history.length).toBe(whole.epoch + 2);
    expect(whole.history.length).toBeLessThan(12);
    const last = 4 * whole.history.length - 2;
    const rest = await stopped(options, (at) => at === last);
    expect(digest(rest.bytes)).toBe(digest(whole.bytes));
    expect(lasting(rest)).toEqual(lasting(whole));
  }, 240_000);
  test("without a validation set has no best", async () => {
    await expect(run({ patience: 1 })).rejects.toMatchObject({ option: "patience" });
    await expect(run({ keep: "best" })).rejects.toMatchObject({ option: "keep" });
  });
});

describe("folds", () => {
  const options = { folds: 2, epochs: 2, keep: "best" } as const;
  test("validate every image, and the model is that of all images", async () => {
    const { crossValidation, ...whole } = await run(options);
    expect(crossValidation!.folds.map(({ images }) => images)).toEqual([8, 8]);
    const epochs = Math.round(crossValidation!.folds.reduce((sum, { epoch }) => sum + epoch, 0) / 2);
    const plain = await run({ epochs });
    expect(digest(whole.bytes)).toBe(digest(plain.bytes));
    for (const fold of [2, 3]) {
      const rest = await stopped(options, (step, at) => at === fold && step === 2);
      expect(digest(rest.bytes)).toBe(digest(whole.bytes));
      expect(rest.crossValidation).toEqual(crossValidation);
    }
  }, 240_000);
});

test("what was chosen, and why: classes that are uneven are weighed", async () => {
  const uneven = new ImageSet();
  for (let i = 0; i < 9; ++i) uneven.add(halves(i === 0 || i === 4, i), i === 0 || i === 4 ? "left" : "right");
  const { chosen } = await trainNewWith(runtime, "resnet20", uneven, { epochs: 1, batch: 4 });
  const weighed = chosen.find(({ option }) => option === "classWeights")!;
  expect(weighed).toMatchObject({ value: "balanced", why: expect.stringMatching(/3\.5 times/) });
  expect(chosen.some(({ option }) => option === "epochs")).toBe(false);
  const { chosen: other } = await trainNewWith(runtime, "resnet20", TRAIN, {
    epochs: 1,
    batch: 4,
    classWeights: "none",
  });
  expect(other.some(({ option }) => option === "classWeights")).toBe(false);
});
