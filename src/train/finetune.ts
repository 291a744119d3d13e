/**
 * Fine-tuning: a model and labelled images → a model of these classes. The head is trained on features that are computed
 * once; with `layer4`, `layer3` or `all` that comes first, and the network follows from there, so that a classifier that
 * knows nothing does not spoil the features (Kumar et al. 2022, arXiv 2202.10054).
 */

import { type Checkpoint, rereadable } from "../checkpoint.ts";
import { checkBuildOptions } from "../choice.ts";
import { type LoadOptions, loadModel } from "../classifier.ts";
import { convertModel } from "../convert.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { fold } from "../fold.ts";
import type { NamedTensor } from "../formats/safetensors.ts";
import { type Graph, inputShape, nodeOf, outputNode } from "../graph.ts";
import { pickBuild } from "../kernels.ts";
import { checkPreset, closable, type Model, type Source, withModel } from "../model.ts";
import { resnet, resnetSpec } from "../models/resnet.ts";
import type { OutputKind } from "../output.ts";
import { defaultMemory, fitWeights, plan } from "../plan.ts";
import { checkSize, sized } from "../preprocess.ts";
import type { Runtime } from "../runtime.ts";
import type { TensorInfo } from "../tensor.ts";
import type { Augment } from "./augment.ts";
import { type Dataset, isMultiLabel, labelsOf, trainingSets } from "./dataset.ts";
import { computeFeatures, FEATURE_BATCH, VIEWS } from "./features.ts";
import { type FitProgress, fit } from "./fit.ts";
import { headOf, initialise, withClasses } from "./initialise.ts";
import {
  fingerprintOf,
  type HeadName,
  type Loss,
  type ResolvedTrainingOptions,
  resolveOptions,
  type TrainingOptions,
} from "./options.ts";
import { type Preparer, startPreparer } from "./preparer.ts";
import { type BatchSource, type Features, featureSource, imageSource, type Labelled } from "./sources.ts";
import { type TrainOptions, trainingNeeds } from "./spec.ts";
import type { EpochRecord } from "./state.ts";
import { checksumOf } from "./state.ts";
import { type Trainable, trainWith } from "./trainer.ts";
import { type ClassAccuracy, type Validated, type Validation, validate } from "./validate.ts";

/** How the model is found and read. */
export interface SourceOptions extends Omit<LoadOptions, "signal" | "threads" | "build" | "winograd"> {}

/** What `train` takes. */
export interface TrainNewOptions extends FinetuneOptions, Pick<SourceOptions, "size" | "preprocess"> {}

export interface FinetuneOptions extends TrainingOptions, Pick<TrainOptions, "build" | "threads"> {
  /** Images to validate with, of the same classes in any order, or the share of the set that is kept for it; none when absent or 0. */
  readonly val?: Dataset | number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainProgress) => void;
  readonly onEpoch?: (record: EpochRecord) => void;
  /** Gets a state to `resume` from: after so many epochs, 1, and in longer ones after so many minutes, 10. */
  readonly onCheckpoint?: (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
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
  /** Of the last epoch; accuracies 0…1. Of several labels an image, `…Top1` is the share of right decisions. */
  readonly trainLoss: number;
  readonly trainTop1: number;
  /** Absent without a validation set. */
  readonly valTop1?: number;
  /** Mean average precision, of several labels. */
  readonly valMap?: number;
  /** How each class fares in the validation set; empty without one. */
  readonly valClasses: readonly (ClassAccuracy & { readonly name: string })[];
  readonly answers: readonly (Validated & { readonly name: string })[];
  readonly imagesPerSecond: number;
  /** Messages of the images that could not be read. */
  readonly failed: readonly string[];
  /** How the last layer was found, where nothing else was trained. */
  readonly head?: HeadName;
  /** With `ridge` and `prototype`: the share of images that the head of all others takes for their class. */
  readonly leaveOneOut?: number;
  /** What was assumed about the model that training began with. */
  readonly guesses: Model["guesses"];
}

/** What a fine-tuning takes. */
export interface FinetuneNeeds {
  /** The most wasm memory that is held at once. */
  readonly memoryBytes: number;
  /** Trained numbers. */
  readonly weights: number;
}

/**
 * What fine-tuning takes, without taking it. Decoded photos come on top: one at a time, and those that are kept.
 *
 * @throws OptionError for an option out of range
 */
export function finetuneNeeds(
  graph: Graph,
  options: FinetuneOptions & { readonly memoryBytes?: number } = {},
): FinetuneNeeds {
  const resolved = resolveOptions(options, { isNew: false, images: Number.POSITIVE_INFINITY, isMultiLabel: false });
  if (resolved.train !== "head") {
    const { end, trained } = trainingNeeds(graph, stepOptions(options, resolved));
    return { memoryBytes: end, weights: trained };
  }
  const folded = fold(graph);
  const target = { build: pickBuild(options.build), threads: options.threads ?? 1 };
  const budget = { memory: options.memoryBytes ?? defaultMemory(folded), winograd: true };
  const packed = fitWeights(folded, target, budget, outputNode(folded).inputs);
  const { end } = plan(folded, packed, target, FEATURE_BATCH, inputShape(folded), outputNode(folded).inputs);
  const head = trainingNeeds(headOf(graph), { ...stepOptions(options, resolved), train: "all" });
  return { memoryBytes: end, weights: head.trained };
}

/** What the trainer is made with. */
function stepOptions(
  { build, threads }: Pick<FinetuneOptions, "build" | "threads">,
  resolved: ResolvedTrainingOptions,
): TrainOptions {
  return { ...resolved, ...(build && { build }), ...(threads !== undefined && { threads }) };
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

/** What the logits mean that a loss was computed from. */
const OUTPUTS = { cross_entropy: "softmax", bce: "sigmoid" } as const satisfies Record<Loss, OutputKind>;

/** What all phases of one training share. */
interface TrainingContext {
  readonly runtime: Runtime;
  readonly model: Model;
  readonly train: Dataset;
  readonly val: Dataset | undefined;
  /** As given: events, threads, what to resume from. */
  readonly options: FinetuneOptions;
  readonly resolved: ResolvedTrainingOptions;
  readonly preparer: Preparer;
  readonly failed: Map<string, string>;
  /** A checksum of the weights that training begins with, where states are written or read. */
  readonly weights: string | undefined;
}

/** What a phase leaves. */
interface Outcome {
  readonly tensors: readonly NamedTensor[];
  readonly history: readonly EpochRecord[];
  readonly validation: Validation | undefined;
  readonly leaveOneOut?: number;
}

interface Sources {
  readonly train: BatchSource;
  readonly val: BatchSource | undefined;
}

/** Trains a network on sources. */
async function trainPhase(
  { runtime, model, weights, train, val, options, resolved: whole }: TrainingContext,
  phase: "head" | "train",
  network: Trainable,
  sources: Sources,
  resolved: ResolvedTrainingOptions,
): Promise<Outcome> {
  const { accumulate, batch, ema, epochs, schedule, warmup, seed, learningRate } = resolved;
  const { signal, onProgress } = options;
  const isFinal = phase === "train" || whole.train === "head";
  const step = stepOptions(options, resolved);
  const trainer = await trainWith(runtime, network, phase === "head" ? { ...step, train: "all" } : step, signal);
  try {
    const averaged = ema !== undefined;
    const { onEpoch, onCheckpoint, resume } = isFinal ? options : {};
    const history = await fit(trainer, sources.train, sources.val, {
      ...{ epochs, batch: batch * accumulate, learningRate, schedule, warmup, seed, averaged, signal },
      ...{ resume, onCheckpoint, onEpoch, joinsLast: resolved.norms === "live" && phase === "train" },
      ...{ checkpointEpochs: resolved.checkpointEpochs, checkpointMinutes: resolved.checkpointMinutes },
      onProgress: onProgress && ((progress) => onProgress({ phase, ...progress })),
      fingerprint: {
        ...{ architecture: model.arch, classes: train.classes, preprocess: model.preprocess, weights },
        ...{ images: fingerprintOfSet(train), validation: val && fingerprintOfSet(val) },
        ...{ build: trainer.build, threads: options.threads ?? 1 },
        ...fingerprintOf(resolved),
      },
    });
    const validation = sources.val && (await validate(trainer, sources.val, batch, averaged, signal));
    return { tensors: await trainer.tensors({ averaged }), history, validation };
  } finally {
    await trainer.dispose();
  }
}

/** Which images a set has, and what they show. */
function fingerprintOfSet({ classes, examples }: Dataset): string {
  const named = examples.map((example) => [example.name, labelsOf(example)]);
  return `${examples.length} images, ${checksumOf([new TextEncoder().encode(JSON.stringify([classes, named]))])}`;
}

async function checksumOfWeights(checkpoint: Checkpoint): Promise<string> {
  const sums: Uint8Array[] = [];
  for (const name of [...checkpoint.tensors.keys()].sort()) {
    sums.push(new TextEncoder().encode(`${name} ${checksumOf([await checkpoint.read(name)])}`));
  }
  return checksumOf(sums);
}

/** A part of the set, with what its labels become. */
function labelled({ resolved: { loss } }: TrainingContext, { classes, examples }: Dataset): Labelled {
  return { examples, classes: classes.length, loss };
}

/** A source of one part of the set, whose images are varied. */
function imagesOf(context: TrainingContext, part: "train" | "val", augment: Augment): BatchSource {
  const { model, train, val, resolved, preparer, failed } = context;
  const inputSize = inputShape(model.graph).reduce((a, b) => a * b, 1);
  const shared = { preparer, inputSize, augment, seed: resolved.seed, failed };
  const firstKey = part === "train" ? 0 : train.examples.length;
  return imageSource(labelled(context, part === "train" ? train : val!), { ...shared, firstKey });
}

/** Trains the head on features: all that is asked for, or before more of the network follows. */
async function trainHead(
  context: TrainingContext,
  opened: Model,
  loading: LoadOptions,
  resolved: ResolvedTrainingOptions,
): Promise<Outcome> {
  const { runtime, model, train, val, options } = context;
  const solved = resolved.head === "logistic" ? undefined : resolved.head;
  const count = solved === undefined ? VIEWS[resolved.augment] : 1;
  // The first view is the one that is classified later.
  const views = Array.from({ length: count }, (_, view) =>
    imagesOf(context, "train", view === 0 ? "none" : resolved.augment),
  );
  const total = count * train.examples.length + (val?.examples.length ?? 0);
  const [, , channels] = nodeOf(model.graph, outputNode(model.graph).inputs[0]!).shape;
  let done = 0;
  const onImages = (images: number): void => {
    done += images;
    options.onProgress?.({ phase: "features", done, total });
  };
  const classifier = await loadModel(runtime, opened, loading);
  let computed: { readonly train: Features; readonly val: Features | undefined };
  try {
    const compute = (from: readonly BatchSource[]): Promise<Features> =>
      computeFeatures(classifier, from, channels, options.signal, onImages);
    computed = {
      train: await compute(views),
      val: val && (await compute([imagesOf(context, "val", "none")])),
    };
  } finally {
    await classifier.dispose();
  }
  const sets = { train: labelled(context, train), val: val && labelled(context, val) };
  if (solved !== undefined) {
    const { solvePhase } = await import("./heads/outcome.ts");
    const phase = { head: solved, node: outputNode(model.graph).name, ...sets };
    return solvePhase(runtime, phase, computed.train, computed.val);
  }
  const sources = {
    train: featureSource(sets.train, computed.train, resolved.seed),
    val: sets.val && computed.val && featureSource(sets.val, computed.val, resolved.seed),
  };
  const head = { source: model.source, graph: headOf(model.graph), checkpoint: headCheckpoint(model) };
  return trainPhase(context, "head", head, sources, resolved);
}

/** How the head is trained before more of the network follows. */
function headFirst(
  { seed, winograd, labelSmoothing, loss }: ResolvedTrainingOptions,
  images: number,
): ResolvedTrainingOptions {
  const options = { train: "head", head: "logistic", seed, winograd, labelSmoothing, loss } as const;
  return resolveOptions(options, { isNew: false, images, isMultiLabel: loss === "bce" });
}

/** The head's own tensors: closing it leaves the model's checkpoint open. */
function headCheckpoint({ checkpoint, graph }: Model): Checkpoint {
  const { name } = outputNode(graph);
  const tensors = [...checkpoint.tensors].filter(([key]) => key === `${name}.weight` || key === `${name}.bias`);
  return { ...checkpoint, tensors: new Map(tensors), close: async () => {} };
}

/**
 * Fine-tunes a model.
 *
 * @param source what `load` takes; an int8 model cannot be trained
 * @throws OptionError, ArgumentTypeError for options out of range; DatasetError for a set with fewer than two classes, an
 * empty one or one that cannot be read; ModelError for a model that is none, or a state to resume from that is another
 * training's; DivergedError when loss or gradients stop being finite; the signal's reason when it aborts, after a last
 * checkpoint
 */
export async function finetuneWith(
  runtime: Runtime,
  source: Source,
  dataset: Dataset,
  options: FinetuneOptions & SourceOptions = {},
): Promise<Finetuned> {
  const sets = trainingSets(dataset, options.val, options.seed);
  const images = sets.train.examples.length;
  // Only epochs leave a state to go on from.
  const wanted = options.resume === undefined ? options : { head: "logistic" as const, ...options };
  const resolved = resolveOptions(wanted, { isNew: false, images, isMultiLabel: isMultiLabel(sets.train) });
  // Replicas compute features; threads train.
  const loading = options.replicas === undefined ? options : { ...options, threads: 1 };
  checkBuildOptions(loading);
  return withModel(runtime, source, options, async (first) => {
    if (first.graph.nodes[0]!.int8 !== undefined) {
      const hint = "fine-tune first, then quantize";
      throw new ModelError("unsupported", expectedGot(first.source, "a model with float weights", "int8", hint));
    }
    // Its weights are read again: to compute features, to be trained, and to be written.
    const opened = { ...first, checkpoint: await rereadable(first.checkpoint, options.signal) };
    const output = OUTPUTS[resolved.loss];
    const isSameOutput = (opened.graph.output ?? "softmax") === output;
    const isSame = isSameOutput && JSON.stringify(opened.labels) === JSON.stringify(dataset.classes);
    const { length } = dataset.classes;
    const renewed = isSame ? opened : withClasses(opened, length, resolved.seed);
    const spec = opened.spec && { ...opened.spec, classes: length };
    const graph = { ...renewed.graph, output };
    const model: Model = { ...renewed, spec, graph, labels: dataset.classes };
    return train({ runtime, model, ...sets, options, resolved }, async (context) => {
      if (resolved.train === "head") return trainHead(context, opened, loading, resolved);
      if (isSame || options.resume !== undefined) return undefined;
      return trainHead(context, opened, loading, headFirst(resolved, images));
    });
  });
}

/**
 * Trains a network of the table from He et al.'s initialisation.
 *
 * @param arch a name of `RESNETS`
 * @throws as `finetuneWith`; OptionError for an unknown name
 */
export async function trainNewWith(
  runtime: Runtime,
  arch: string,
  dataset: Dataset,
  options: TrainNewOptions = {},
): Promise<Finetuned> {
  const sets = trainingSets(dataset, options.val, options.seed);
  const { length: images } = sets.train.examples;
  const resolved = resolveOptions(options, { isNew: true, images, isMultiLabel: isMultiLabel(sets.train) });
  const spec = { ...resnetSpec(arch), classes: dataset.classes.length };
  const { preprocess = spec.stem === "cifar" ? "cifar" : "torchvision-v1", size } = options;
  const shape = size === undefined ? undefined : ([...checkSize(size), 3] as const);
  const graph = { ...resnet(arch, spec, shape), output: OUTPUTS[resolved.loss] };
  const [height, width] = inputShape(graph);
  const model = closable({
    ...{ source: arch, arch, spec, graph, labels: dataset.classes, guesses: [] },
    checkpoint: initialise(graph, resolved.seed),
    preprocess: sized(checkPreset(preprocess), [height, width]),
  });
  return train({ runtime, model, ...sets, options, resolved }, async () => undefined);
}

/** Trains the head, if `first` does, then what else is wanted. */
async function train(
  given: Omit<TrainingContext, "preparer" | "failed" | "weights">,
  first: (context: TrainingContext) => Promise<Outcome | undefined>,
): Promise<Finetuned> {
  const { runtime, model, val, options, resolved } = given;
  options.onProgress?.({ phase: "plan", ...finetuneNeeds(model.graph, { ...options, ...resolved }) });
  const preparer = await startPreparer(runtime, model.preprocess);
  try {
    const isKept = options.onCheckpoint !== undefined || options.resume !== undefined;
    const weights = isKept ? await checksumOfWeights(model.checkpoint) : undefined;
    const context: TrainingContext = { ...given, preparer, failed: new Map(), weights };
    const head = await first(context);
    const start = head === undefined ? model : { ...model, checkpoint: overlaid(model.checkpoint, head.tensors) };
    let outcome = head;
    if (resolved.train !== "head" || head === undefined) {
      const sources = {
        train: imagesOf(context, "train", resolved.augment),
        val: val && imagesOf(context, "val", "none"),
      };
      const network = { ...start, checkpoint: { ...start.checkpoint, close: async () => {} } };
      outcome = await trainPhase(context, "train", network, sources, resolved);
    }
    const trained = { ...model, checkpoint: overlaid(start.checkpoint, outcome!.tensors) };
    return await finish(trained, context, outcome!);
  } finally {
    preparer.dispose();
  }
}

async function finish(
  model: Model,
  { val, failed, resolved }: TrainingContext,
  { history, validation, leaveOneOut }: Outcome,
): Promise<Finetuned> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convertModel(model)) pieces.push(piece);
  const last = history.at(-1)!;
  const rates = history.map(({ imagesPerSecond }) => imagesPerSecond);
  return {
    bytes: new Uint8Array(await new Blob(pieces).arrayBuffer()),
    classes: model.labels,
    history,
    trainLoss: last.trainLoss,
    trainTop1: last.trainTop1,
    ...(last.valTop1 !== undefined && { valTop1: last.valTop1 }),
    ...(last.valMap !== undefined && { valMap: last.valMap }),
    valClasses: (validation?.classes ?? []).map((each, label) => ({ name: model.labels[label]!, ...each })),
    answers: (validation?.answers ?? []).map((answer) => ({ ...answer, name: val!.examples[answer.index]!.name })),
    imagesPerSecond: Number((rates.length / rates.reduce((sum, rate) => sum + 1 / rate, 0)).toFixed(1)),
    failed: [...failed.values()],
    ...(resolved.train === "head" && { head: resolved.head }),
    ...(leaveOneOut !== undefined && { leaveOneOut }),
    guesses: model.guesses,
  };
}
