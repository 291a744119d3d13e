/**
 * Fine-tuning: a model and labelled images → a model of these classes. The head is trained on features that are computed
 * once; with `layer4`, `layer3` or `all` that comes first, and the network follows from there, so that a classifier that
 * knows nothing does not spoil the features (Kumar et al. 2022, arXiv 2202.10054).
 */

import { type Checkpoint, rereadable } from "../checkpoint.ts";
import { checkBuildOptions, type LoadOptions, loadModel } from "../classifier.ts";
import { convert } from "../convert.ts";
import { expectedGot, ModelError, OptionError } from "../errors.ts";
import { fold } from "../fold.ts";
import type { NamedTensor } from "../formats/safetensors.ts";
import { type Graph, inputShape, outputNode } from "../graph.ts";
import { pickBuild } from "../kernels.ts";
import { type Model, openModel } from "../model.ts";
import { resnet, resnetSpec } from "../models/resnet.ts";
import { defaultMemory, fitWeights, plan } from "../plan.ts";
import { PRESETS, type Preprocess, type PresetName, type Sides, sidesOf, sized } from "../preprocess.ts";
import type { Progress, Runtime } from "../runtime.ts";
import type { TensorInfo } from "../tensor.ts";
import { AUGMENTS, type Augment } from "./augment.ts";
import { checkDataset, type Dataset, type Example, splitDataset } from "./dataset.ts";
import {
  type Batch,
  type EpochRecord,
  type FitProgress,
  fit,
  mix,
  type Source,
  type Validated,
  validate,
} from "./fit.ts";
import { headOf, initialise, withClasses } from "./initialise.ts";
import { type Preparer, startPreparer } from "./preparer.ts";
import { rateAt, type Schedule } from "./schedules.ts";
import { type Trainable, type TrainOptions, trainingNeeds, trainWith } from "./trainer.ts";

/** How the model is found and read; progress of its download has a name of its own. */
export interface SourceOptions extends Omit<LoadOptions, "onProgress" | "signal" | "threads" | "build" | "winograd"> {
  readonly onDownload?: (progress: Progress) => void;
}

/** What is trained. */
export const PARTS = ["head", "layer4", "layer3", "all"] as const;
export type Part = (typeof PARTS)[number];

export interface FinetuneOptions extends Omit<TrainOptions, "train"> {
  /** `head` when absent; `all` from scratch. */
  readonly train?: Part;
  /** 40 for the head, 8 for more of the network, 30 from scratch. */
  readonly epochs?: number;
  /** `cosine` when absent. */
  readonly schedule?: Schedule;
  /** Epochs over which the rate rises: none for the head, 1 otherwise. */
  readonly warmup?: number;
  /** `light` for the head, `standard` otherwise. */
  readonly augment?: Augment;
  /** Images to validate with, of the same classes, or the share of the set that is kept for it; none when absent. */
  readonly val?: Dataset | number;
  /** Decides weights, order and variations; 1 when absent. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainProgress) => void;
  readonly onEpoch?: (record: EpochRecord) => void;
  /** Gets a state to `resume` from: after so many epochs, 1, and in longer ones after so many minutes, 10. */
  readonly onCheckpoint?: (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
  readonly checkpointEpochs?: number;
  readonly checkpointMinutes?: number;
  /** A state to go on from, of a training with the same images and options. */
  readonly resume?: Uint8Array;
}

/**
 * How a training stands. `plan`, before anything is computed: bytes of wasm memory it will take at most, and the numbers
 * it trains; `features`: images whose features are known; `head` and `train`: steps.
 */
export type TrainProgress =
  | ({ readonly phase: "plan" } & FinetuneNeeds)
  | { readonly phase: "features"; readonly done: number; readonly total: number }
  | ({ readonly phase: "head" | "train" } & FitProgress);

/** A trained model, and how it came about. */
export interface Finetuned {
  /** A safetensors file with torchvision's names, which knows its classes and preprocessing. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly classes: readonly string[];
  readonly history: readonly EpochRecord[];
  /** Of the last epoch; accuracies 0…1. */
  readonly trainLoss: number;
  readonly trainTop1: number;
  /** Absent without a validation set. */
  readonly valTop1?: number;
  readonly answers: readonly (Validated & { readonly name: string })[];
  readonly imagesPerSecond: number;
  /** Messages of the images that could not be read. */
  readonly failed: readonly string[];
}

/** What a fine-tuning takes. */
export interface FinetuneNeeds {
  /** The most wasm memory that is held at once. */
  readonly memoryBytes: number;
  /** Trained numbers. */
  readonly weights: number;
}

/** The options with nothing left open. */
type Settled = FinetuneOptions &
  Required<
    Pick<
      FinetuneOptions,
      "train" | "epochs" | "batch" | "lr" | "schedule" | "warmup" | "augment" | "seed" | "norms" | "optimizer"
    >
  >;

/** Steps of the head before the rest follows. */
const HEAD = { epochs: 40, batch: 32, lr: 2e-3 } as const;
/** Variations of each image whose features are kept. */
const VIEWS: Readonly<Record<Augment, number>> = { none: 1, light: 2, standard: 4 };

const DEFAULTS = {
  head: { ...HEAD, optimizer: "adamw", warmup: 0, augment: "light", norms: "frozen" },
  part: { epochs: 8, batch: 16, lr: 2e-3, optimizer: "sgd", warmup: 1, augment: "standard", norms: "frozen" },
  scratch: { epochs: 30, batch: 128, lr: 0.1, optimizer: "sgd", warmup: 1, augment: "standard", norms: "live" },
} as const;

/** Images whose features are computed at once. */
const FEATURE_BATCH = 8;

/**
 * What fine-tuning takes, without taking it. Decoded photos come on top: one at a time, and those that are kept.
 *
 * @throws RangeError for an option out of range
 */
export function finetuneNeeds(
  graph: Graph,
  options: FinetuneOptions & { readonly memory?: number } = {},
): FinetuneNeeds {
  const { train = "head", batch = train === "head" ? HEAD.batch : DEFAULTS.part.batch } = options;
  const norms = options.norms ?? "frozen";
  if (train !== "head") {
    const { end, trained } = trainingNeeds(graph, { ...options, norms, train, batch });
    return { memoryBytes: end, weights: trained };
  }
  const folded = fold(graph);
  const target = { build: pickBuild(options.build), threads: options.threads ?? 1 };
  const budget = { memory: options.memory ?? defaultMemory(folded), winograd: true };
  const packed = fitWeights(folded, target, budget, outputNode(folded).inputs);
  const { end } = plan(folded, packed, target, FEATURE_BATCH, inputShape(folded), outputNode(folded).inputs);
  return { memoryBytes: end, weights: trainingNeeds(headOf(graph), { optimizer: "adamw", batch }).trained };
}

/** Fills in what is absent, and checks what the trainer does not. */
function settle(options: FinetuneOptions, isNew: boolean, images: number): Settled {
  const train = options.train ?? (isNew ? "all" : "head");
  if (!PARTS.includes(train))
    throw new OptionError("train", expectedGot("train", PARTS.join(", "), JSON.stringify(train)));
  const usual = isNew ? DEFAULTS.scratch : train === "head" ? DEFAULTS.head : DEFAULTS.part;
  const optimizer = options.optimizer ?? usual.optimizer;
  const lr = options.lr ?? (optimizer === usual.optimizer ? usual.lr : optimizer === "sgd" ? 0.01 : 1e-3);
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const batch = options.batch ?? Math.min(usual.batch, images);
  const settled: Settled = { ...usual, schedule: "cosine", seed: 1, ...given, optimizer, lr, train, batch };
  const wholes = { epochs: settled.epochs, batch, seed: settled.seed, accumulate: settled.accumulate ?? 1 };
  for (const [name, value] of Object.entries(wholes)) {
    const least = name === "seed" ? Number.MIN_SAFE_INTEGER : 1;
    if (!Number.isSafeInteger(value) || value < least) {
      throw new RangeError(expectedGot(name, least === 1 ? "a whole number from 1" : "a whole number", `${value}`));
    }
  }
  if (batch > images) {
    throw new OptionError("batch", expectedGot("batch", `at most the ${images} images of the set`, `${batch}`));
  }
  if (!(lr > 0 && lr < Number.POSITIVE_INFINITY))
    throw new OptionError("lr", expectedGot("lr", "a number above 0", `${lr}`));
  if (!(settled.warmup >= 0 && settled.warmup <= settled.epochs)) {
    throw new OptionError("warmup", expectedGot("warmup", `from 0 to ${settled.epochs} epochs`, `${settled.warmup}`));
  }
  if (!AUGMENTS.includes(settled.augment)) {
    throw new OptionError("augment", expectedGot("augment", AUGMENTS.join(", "), `${settled.augment}`));
  }
  rateAt(settled.schedule, lr, 0, 1);
  return settled;
}

/** The two sets, checked. */
function setsOf(dataset: Dataset, { val, seed = 1 }: FinetuneOptions): { train: Dataset; val: Dataset | undefined } {
  checkDataset("training set", dataset);
  if (typeof val === "number") return splitDataset(dataset, val, seed);
  if (val !== undefined) {
    checkDataset("validation set", val, false);
    if (JSON.stringify(val.classes) !== JSON.stringify(dataset.classes)) {
      const hint = "both must have the same classes in the same order";
      throw new RangeError(expectedGot("validation set", dataset.classes.join(", "), val.classes.join(", "), hint));
    }
  }
  return { train: dataset, val };
}

/** Examples of a set, prepared as they are asked for; those that cannot be read are left out and remembered. */
function imageSource(
  preparer: Preparer,
  { examples }: Dataset,
  { augment, seed }: { readonly augment: Augment; readonly seed: number },
  size: number,
  failed: Map<string, string>,
  firstKey: number,
): Source {
  return {
    count: examples.length,
    async batch(indices, epoch) {
      const inputs = await Promise.all(
        indices.map(async (index) => {
          const { name, image } = examples[index]!;
          try {
            const wanted = { key: firstKey + index, image: image(), augment, seed: mix(seed, epoch, index) };
            return await preparer.prepare(wanted);
          } catch (error) {
            failed.set(name, error instanceof Error ? error.message : String(error));
            return undefined;
          }
        }),
      );
      return gathered(inputs, indices, (index) => examples[index]!.label as number, size);
    },
  };
}

function gathered(
  inputs: readonly (Float32Array | undefined)[],
  indices: readonly number[],
  labelOf: (index: number) => number,
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
  return { images, labels: Int32Array.from(good, labelOf), indices: good };
}

/** Features of a set: a row for each view of each example; none for what could not be read. */
interface Features {
  readonly channels: number;
  readonly views: number;
  /** `[views][examples]`. */
  readonly rows: readonly (readonly (Float32Array | undefined)[])[];
}

function featureSource({ examples }: Dataset, { channels, views, rows }: Features, seed: number): Source {
  return {
    count: examples.length,
    async batch(indices, epoch) {
      const inputs = indices.map((index) => rows[views === 1 ? 0 : (mix(seed, epoch, index) >>> 1) % views]![index]);
      return gathered(inputs, indices, (index) => examples[index]!.label as number, channels);
    },
  };
}

/** The checkpoint with some tensors in place of its own. */
function overlaid(checkpoint: Checkpoint, tensors: readonly NamedTensor[]): Checkpoint {
  const mine = new Map(tensors.filter(({ dtype }) => dtype === "F32").map((tensor) => [tensor.name, tensor]));
  const infos = [...mine].map(([name, { shape }]): [string, TensorInfo] => [name, { dtype: "F32", shape }]);
  return {
    tensors: new Map([...checkpoint.tensors, ...infos]),
    metadata: checkpoint.metadata,
    async read(name) {
      const tensor = mine.get(name);
      return tensor === undefined ? checkpoint.read(name) : tensor.bytes.slice();
    },
    close: () => checkpoint.close(),
  };
}

/** What all phases of one training share. */
interface Course {
  readonly runtime: Runtime;
  readonly model: Model;
  readonly train: Dataset;
  readonly val: Dataset | undefined;
  readonly settled: Settled;
  readonly preparer: Preparer;
  readonly failed: Map<string, string>;
}

interface Outcome {
  readonly tensors: readonly NamedTensor[];
  readonly history: readonly EpochRecord[];
  readonly answers: readonly Validated[];
}

/** Trains a network on a source, from `resume` if that is given. */
async function course(
  { runtime, train, val, settled, model }: Course,
  network: Trainable,
  sources: { readonly train: Source; readonly val: Source | undefined },
  phase: "head" | "train",
  options: Settled,
): Promise<Outcome> {
  const { signal, ema, accumulate = 1, batch, epochs, schedule, warmup, seed, lr } = options;
  const { onProgress, onEpoch, onCheckpoint, resume, checkpointEpochs = 1, checkpointMinutes = 10 } = options;
  const trainer = await trainWith(runtime, network, { ...options, train: phase === "head" ? "all" : options.train });
  try {
    const averaged = ema !== undefined;
    const {
      augment,
      norms,
      optimizer,
      threads = 1,
      labelSmoothing = 0,
      weightDecay,
      momentum,
      nesterov,
      clip,
    } = options;
    const history = await fit(trainer, sources.train, sources.val, {
      ...{ epochs, batch: batch * accumulate, rate: lr, schedule, warmup, seed, averaged, signal },
      ...{ resume, checkpointEpochs, checkpointMinutes, onCheckpoint, onEpoch },
      onProgress: onProgress && ((progress) => onProgress({ phase, ...progress })),
      fingerprint: {
        ...{ architecture: model.arch, classes: train.classes, images: train.examples.length },
        ...{ validation: val?.examples.length ?? 0, train: settled.train, build: trainer.build, threads },
        ...{ epochs, batch, accumulate, seed, lr, schedule, warmup, augment, norms, optimizer, ema, labelSmoothing },
        ...{ weightDecay, momentum, nesterov, clip, decayNorms: options.decayNorms },
      },
    });
    const answers =
      sources.val === undefined ? [] : (await validate(trainer, sources.val, batch, averaged, signal)).answers;
    return { tensors: await trainer.tensors({ averaged }), history, answers };
  } finally {
    await trainer.dispose();
  }
}

/** Computes the features of both sets. */
async function featuresOf(
  { runtime, model, train, val, settled, preparer, failed }: Course,
  opened: Model,
  options: LoadOptions,
  way: Augment,
): Promise<{ train: Features; val: Features }> {
  const views = VIEWS[way];
  const classifier = await loadModel(runtime, opened, options);
  try {
    const [h, w] = inputShape(model.graph);
    const size = h * w * 3;
    const total = train.examples.length * views + (val?.examples.length ?? 0);
    let done = 0;
    const rowsOf = async (set: Dataset, view: number, firstKey: number): Promise<(Float32Array | undefined)[]> => {
      // The first view is the one that is classified later.
      const augment = view === 0 ? "none" : way;
      const images = imageSource(preparer, set, { augment, seed: settled.seed }, size, failed, firstKey);
      const rows: (Float32Array | undefined)[] = new Array(set.examples.length).fill(undefined);
      const groups: number[][] = [];
      for (let i = 0; i < images.count; i += FEATURE_BATCH) {
        groups.push(Array.from({ length: Math.min(FEATURE_BATCH, images.count - i) }, (_, j) => i + j));
      }
      let coming = groups.length === 0 ? undefined : images.batch(groups[0]!, view);
      for (let i = 0; i < groups.length; ++i) {
        const { images: data, indices } = await coming!;
        coming = i + 1 < groups.length ? images.batch(groups[i + 1]!, view) : undefined;
        settled.signal?.throwIfAborted();
        if (indices.length > 0) {
          const { data: features, shape } = await classifier.features({ data, shape: [indices.length, h, w, 3] });
          indices.forEach((index, j) => {
            rows[index] = features.slice(j * shape[1], (j + 1) * shape[1]);
          });
        }
        done += groups[i]!.length;
        settled.onProgress?.({ phase: "features", done, total });
      }
      return rows;
    };
    const trainRows = [];
    for (let view = 0; view < views; ++view) trainRows.push(await rowsOf(train, view, 0));
    const valRows = val === undefined ? [] : await rowsOf(val, 0, train.examples.length);
    const channels = headOf(model.graph).nodes[0]!.shape[2];
    return { train: { channels, views, rows: trainRows }, val: { channels, views: 1, rows: [valRows] } };
  } finally {
    await classifier.dispose();
  }
}

/** The options of the head's training, when it is not all that is asked for. */
function headFirst(settled: Settled, images: number): Settled {
  const { onCheckpoint: _, resume: __, onEpoch: ___, ema: ____, accumulate: _____, ...rest } = settled;
  const { epochs, lr } = HEAD;
  const batch = Math.min(HEAD.batch, images);
  const fixed = { optimizer: "adamw", schedule: "cosine", warmup: 0, weightDecay: 0.01, augment: "light" } as const;
  return { ...rest, ...fixed, epochs, batch, lr };
}

/**
 * Fine-tunes a model.
 *
 * @param source what `load` takes; an int8 model cannot be trained
 * @throws RangeError for options out of range, or a set with fewer than two classes or an empty one; ModelError for a
 * model that is none, or a state to resume from that is another training's; DivergedError when loss or gradients stop
 * being finite; the signal's reason when it aborts, after a last checkpoint
 */
export async function finetuneWith(
  runtime: Runtime,
  source: string | Uint8Array,
  dataset: Dataset,
  options: FinetuneOptions & SourceOptions = {},
): Promise<Finetuned> {
  const sets = setsOf(dataset, options);
  const settled = settle(options, false, sets.train.examples.length);
  const { onProgress: _, onDownload, ...rest } = options;
  const loading: LoadOptions = onDownload === undefined ? rest : { ...rest, onProgress: onDownload };
  checkBuildOptions(loading);
  const first = await openModel(source, loading, runtime);
  const opened = { ...first, checkpoint: await rereadable(first.checkpoint) };
  if (opened.graph.nodes[0]!.int8 !== undefined) {
    await opened.checkpoint.close();
    throw new ModelError(
      "malformed",
      expectedGot(opened.source, "an f32 model", "int8", "fine-tune first, then quantize"),
    );
  }
  const isSame = JSON.stringify(opened.labels) === JSON.stringify(dataset.classes);
  const { length } = dataset.classes;
  const renewed = isSame ? opened : withClasses(opened, length, settled.seed);
  const model: Model = { ...renewed, spec: opened.spec && { ...opened.spec, classes: length } };
  return train(runtime, { ...model, labels: dataset.classes }, sets, settled, async (state) => {
    if (settled.train !== "head" && (isSame || settled.resume !== undefined)) return undefined;
    const { train: images, val } = sets;
    const own = settled.train === "head" ? settled : headFirst(settled, images.examples.length);
    const features = await featuresOf(state, opened, loading, own.augment);
    const head = { source: model.source, graph: headOf(model.graph), checkpoint: headCheckpoint(model) };
    return course(
      state,
      head,
      {
        train: featureSource(images, features.train, own.seed),
        val: val === undefined ? undefined : featureSource(val, features.val, own.seed),
      },
      "head",
      own,
    );
  });
}

/** The head's own tensors: closing it leaves the model's checkpoint open. */
function headCheckpoint({ checkpoint, graph }: Model): Checkpoint {
  const { name } = outputNode(graph);
  const tensors = [...checkpoint.tensors].filter(([key]) => key === `${name}.weight` || key === `${name}.bias`);
  return { ...checkpoint, tensors: new Map(tensors), close: async () => {} };
}

/**
 * Trains a network of the table from He et al.'s initialisation.
 *
 * @param arch a name of `RESNETS`
 * @throws as `finetuneWith`; RangeError for an unknown name
 */
export async function trainNewWith(
  runtime: Runtime,
  arch: string,
  dataset: Dataset,
  options: FinetuneOptions & { readonly size?: number | Sides; readonly preprocess?: PresetName | Preprocess } = {},
): Promise<Finetuned> {
  const sets = setsOf(dataset, options);
  const settled = settle(options, true, sets.train.examples.length);
  const spec = { ...resnetSpec(arch), classes: dataset.classes.length };
  const usual = spec.stem === "cifar" ? "cifar" : "torchvision-v1";
  const { preprocess: way = usual, size } = options;
  const graph = resnet(arch, spec, size === undefined ? undefined : [...sidesOf(size), 3]);
  const model: Model = {
    ...{ source: arch, arch, spec, graph, labels: dataset.classes, guesses: [] },
    checkpoint: initialise(graph, settled.seed),
    preprocess: sized(typeof way === "string" ? PRESETS[way] : way, [inputShape(graph)[0], inputShape(graph)[1]]),
  };
  return train(runtime, model, sets, settled, async () => undefined);
}

/** Both stories: the head, if `first` trains it, then what else is wanted. */
async function train(
  runtime: Runtime,
  model: Model,
  sets: { readonly train: Dataset; readonly val: Dataset | undefined },
  settled: Settled,
  first: (state: Course) => Promise<Outcome | undefined>,
): Promise<Finetuned> {
  settled.onProgress?.({ phase: "plan", ...finetuneNeeds(model.graph, settled) });
  const failed = new Map<string, string>();
  const preparer = await startPreparer(runtime, model.preprocess);
  const state: Course = { runtime, model, ...sets, settled, preparer, failed };
  try {
    const head = await first(state);
    const start = head === undefined ? model : { ...model, checkpoint: overlaid(model.checkpoint, head.tensors) };
    let outcome = head;
    if (settled.train !== "head" || head === undefined) {
      const [h, w] = inputShape(model.graph);
      const size = h * w * 3;
      const { augment, seed } = settled;
      const images = imageSource(preparer, sets.train, { augment, seed }, size, failed, 0);
      const count = sets.train.examples.length;
      const plain = { augment: "none", seed } as const;
      const val = sets.val && imageSource(preparer, sets.val, plain, size, failed, count);
      const network = { ...start, checkpoint: { ...start.checkpoint, close: async () => {} } };
      outcome = await course(state, network, { train: images, val }, "train", settled);
    }
    return await finish(
      { ...model, checkpoint: overlaid(start.checkpoint, outcome!.tensors) },
      sets.val,
      outcome!,
      failed,
    );
  } finally {
    preparer.dispose();
    await model.checkpoint.close();
  }
}

async function finish(
  model: Model,
  val: Dataset | undefined,
  { history, answers }: Outcome,
  failed: ReadonlyMap<string, string>,
): Promise<Finetuned> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convert(model)) pieces.push(piece);
  const last = history.at(-1)!;
  const rates = history.map(({ imagesPerSecond }) => imagesPerSecond);
  return {
    bytes: new Uint8Array(await new Blob(pieces).arrayBuffer()),
    classes: model.labels,
    history,
    trainLoss: last.trainLoss,
    trainTop1: last.trainTop1,
    ...(last.valTop1 === undefined ? {} : { valTop1: last.valTop1 }),
    answers: answers.map((answer) => ({ ...answer, name: (val!.examples[answer.index] as Example).name })),
    imagesPerSecond: Number((rates.length / rates.reduce((sum, rate) => sum + 1 / rate, 0)).toFixed(1)),
    failed: [...failed.values()],
  };
}
