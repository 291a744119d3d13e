/**
 * Fine-tuning: a model and labelled images → a model of these classes. The head is trained on features that are computed
 * once; with `layer4`, `layer3` or `all` that comes first, and the network follows from there, so that a classifier that
 * knows nothing does not spoil the features (Kumar et al. 2022, arXiv 2202.10054).
 */

import { type Checkpoint, rereadable } from "../checkpoint.ts";
import { checkBuildOptions } from "../choice.ts";
import type { LoadOptions } from "../classifier.ts";
import { convertModel } from "../convert.ts";
import { expectedGot, ModelError, OptionError } from "../errors.ts";
import { fold } from "../fold.ts";
import type { NamedTensor } from "../formats/safetensors.ts";
import { type Graph, inputShape, outputNode } from "../graph.ts";
import { pickBuild } from "../kernels.ts";
import { checkPreset, closable, type Model, type Source, withModel } from "../model.ts";
import { seedFrom } from "../models/random.ts";
import { resnet, resnetSpec } from "../models/resnet.ts";
import type { OutputKind } from "../output.ts";
import { defaultMemory, fitWeights, plan } from "../plan.ts";
import { checkSize, sized } from "../preprocess.ts";
import type { Runtime } from "../runtime.ts";
import type { TensorInfo } from "../tensor.ts";
import { bestOf } from "./best.ts";
import { type Choice, choicesOf } from "./chosen.ts";
import { balancedWeights, imbalanceOf } from "./classes.ts";
import { type Dataset, isMultiLabel, labelsOf, trainingSets } from "./dataset.ts";
import { digestOfTrunk, type FeatureStore } from "./feature-store.ts";
import { FEATURE_BATCH, FeatureExtractor, type FeatureView, VIEWS } from "./features.ts";
import { type FitProgress, fit } from "./fit.ts";
import { type CrossValidation, epochsOf, type FoldResult, foldResultsOf, foldsOf, together } from "./folds.ts";
import { headOf, initialise, withClasses } from "./initialise.ts";
import { mirroredSource } from "./mirror.ts";
import { mixedSource } from "./mix.ts";
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
import { checksumOf, notesOf } from "./state.ts";
import { type Trainable, trainWith } from "./trainer.ts";
import { type ClassAccuracy, type Validated, type Validation, validate } from "./validate.ts";

/** How the model is found and read. */
export interface SourceOptions extends Omit<LoadOptions, "signal" | "threads" | "build" | "winograd"> {}

/** What `train` takes. */
export interface TrainNewOptions extends FinetuneOptions, Pick<SourceOptions, "size" | "preprocess" | "where"> {}

export interface FinetuneOptions extends TrainingOptions, Pick<TrainOptions, "build" | "threads"> {
  /** Images to validate with, of the same classes in any order, or the share of the set that is kept for it; none when absent or 0. */
  readonly val?: Dataset | number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainProgress) => void;
  readonly onEpoch?: (record: EpochRecord) => void;
  /** Gets a state to `resume` from: after so many epochs, 1, and in longer ones after so many minutes, 10. */
  readonly onCheckpoint?: (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
  /** Where features are kept, for the next training with some of the same images; nowhere when absent. */
  readonly featureStore?: FeatureStore;
  /** A state to go on from, of a training with the same images and options. */
  readonly resume?: Uint8Array;
}

/** What a training of one fold is told beside. */
interface FoldOptions {
  /** For the checkpoint: the results of the folds before. */
  readonly notes?: unknown;
}

/**
 * How a training stands. `plan`, before anything is computed: bytes of wasm memory it will take at most, the numbers
 * it trains, and what was chosen; `features`: images that are done, and how many of them a `featureStore` knew; `head`
 * and `train`: steps.
 */
export type TrainProgress = (
  | ({ readonly phase: "plan"; readonly chosen: readonly Choice[] } & FinetuneNeeds)
  | { readonly phase: "features"; readonly done: number; readonly total: number; readonly known: number }
  | ({ readonly phase: "head" | "train" } & FitProgress)
) & {
  /** From 1, where there are folds; the training with all images is the one behind the last. */
  readonly fold?: number;
};

/** A trained model, and how it came about. */
export interface Finetuned {
  /** A safetensors file with torchvision's names, which knows its classes and preprocessing. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly classes: readonly string[];
  readonly history: readonly EpochRecord[];
  /** The epoch whose weights were kept, from 1. */
  readonly epoch: number;
  /** Of that epoch; accuracies 0…1. Of several labels an image, `…Top1` is the share of right decisions. */
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
  /** What was chosen by the set, of the options that were not given, and why. */
  readonly chosen: readonly Choice[];
  /** What the folds found, where there are any. */
  readonly crossValidation?: CrossValidation;
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
  { classWeights: _, ...resolved }: ResolvedTrainingOptions,
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
  readonly isNew: boolean;
  /** As given: events, threads, what to resume from. */
  readonly options: FinetuneOptions & FoldOptions;
  readonly resolved: ResolvedTrainingOptions;
  readonly preparer: Preparer;
  readonly failed: Map<string, string>;
  /** A checksum of the weights that training begins with, where states are written or read. */
  readonly weights: string | undefined;
  /** The digest of what features depend on, where it is needed. */
  readonly trunk: string | undefined;
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
  /** Views of the validation set; none without one. */
  readonly val: readonly BatchSource[];
}

/** Trains a network on sources. */
async function trainPhase(
  { runtime, model, weights, train, val, options, resolved: whole }: TrainingContext,
  phase: "head" | "train",
  network: Trainable,
  sources: Sources,
  resolved: ResolvedTrainingOptions,
): Promise<Outcome> {
  const { accumulate, batch, ema, epochs, schedule, warmup, headWarmup, seed, learningRate } = resolved;
  const { signal, onProgress } = options;
  const isFinal = phase === "train" || whole.train === "head";
  const classWeights = resolved.classWeights === "balanced" ? balancedWeights(train) : undefined;
  const step = { ...stepOptions(options, resolved), classWeights };
  const trainer = await trainWith(runtime, network, phase === "head" ? { ...step, train: "all" } : step, signal);
  const mixing = { ...resolved, classes: train.classes.length, shape: inputShape(network.graph) };
  try {
    const averaged = ema !== undefined;
    const { onEpoch, onCheckpoint, resume } = isFinal ? options : {};
    const isMixed = resolved.mixup > 0 || resolved.cutmix > 0;
    const source = isMixed ? mixedSource(sources.train, mixing) : sources.train;
    const history = await fit(trainer, source, sources.val, {
      ...{ epochs, batch: batch * accumulate, learningRate, schedule, warmup, headWarmup, seed, averaged, signal },
      ...{ patience: resolved.patience, keep: resolved.keep, notes: options.notes },
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
    const isSeen = sources.val.length > 0;
    const validation = isSeen ? await validate(trainer, sources.val, batch, averaged, signal) : undefined;
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

/** A checksum of all weights. */
async function checksumOfWeights({ checkpoint, graph }: Model, trunk: string): Promise<string> {
  const { name } = outputNode(graph);
  const head = [`${name}.weight`, `${name}.bias`].filter((each) => checkpoint.tensors.has(each));
  return `${trunk} ${checksumOf(await Promise.all(head.map((each) => checkpoint.read(each))))}`;
}

/** A part of the set, with what its labels become. */
function labelled({ resolved: { loss } }: TrainingContext, { classes, examples }: Dataset): Labelled {
  return { examples, classes: classes.length, loss };
}

/** A source of one part of the set, whose images are varied. */
function imagesOf(
  context: TrainingContext,
  part: "train" | "val",
  { augment, randAugment, erase }: Pick<ResolvedTrainingOptions, "augment" | "randAugment" | "erase">,
): BatchSource {
  const { model, train, val, resolved, preparer, failed } = context;
  const inputSize = inputShape(model.graph).reduce((a, b) => a * b, 1);
  const shared = { preparer, inputSize, augment, randAugment, erase, seed: resolved.seed, failed };
  const firstKey = part === "train" ? 0 : train.examples.length;
  return imageSource(labelled(context, part === "train" ? train : val!), { ...shared, firstKey });
}

const AS_IT_IS = { augment: "none", randAugment: 0, erase: 0 } as const;

/** The views of the validation images: as they are, and mirrored too where that is wanted. */
function valViewsOf(context: TrainingContext): readonly BatchSource[] {
  if (context.val === undefined) return [];
  const whole = imagesOf(context, "val", AS_IT_IS);
  const [, width, channels] = inputShape(context.model.graph);
  return context.resolved.flips ? [whole, mirroredSource(whole, width, channels)] : [whole];
}

/** Trains the head on features: all that is asked for, or before more of the network follows. */
async function trainHead(
  context: TrainingContext,
  opened: Model,
  loading: LoadOptions,
  resolved: ResolvedTrainingOptions,
): Promise<Outcome> {
  const { runtime, model, train, val, options } = context;
  const { augment, randAugment, erase, seed, features, winograd } = resolved;
  const solved = resolved.head === "logistic" ? undefined : resolved.head;
  const count = solved === undefined ? VIEWS[augment] : 1;
  // The first view is the one that is classified later.
  const first: FeatureView = { source: imagesOf(context, "train", AS_IT_IS) };
  const others = Array.from({ length: count - 1 }, (_, i): FeatureView => {
    const variation = (index: number): string => [augment, randAugment, erase, seedFrom(seed, i + 1, index)].join(" ");
    return { source: imagesOf(context, "train", resolved), variation };
  });
  const valViews = valViewsOf(context).map(
    (source, i): FeatureView => (i === 0 ? { source } : { source, variation: () => "mirrored" }),
  );
  const total = count * train.examples.length + valViews.length * (val?.examples.length ?? 0);
  let [done, known] = [0, 0];
  const onImages = (images: number, knownOnes: number): void => {
    done += images;
    known += knownOnes;
    options.onProgress?.({ phase: "features", done, total, known });
  };
  const kept = options.featureStore && { store: options.featureStore };
  const { trunk } = context;
  const given = {
    ...loading,
    ...kept,
    features,
    winograd,
    samples: train.examples,
    ...(trunk !== undefined && { trunk }),
  };
  const extractor = new FeatureExtractor(runtime, opened, given);
  let computed: { readonly train: Features; readonly val: readonly Features[] };
  try {
    const compute = (set: Dataset, views: readonly FeatureView[]): Promise<Features> =>
      extractor.featuresOf(set.examples, views, context.failed, options.signal, onImages);
    const learned = await compute(train, [first, ...others]);
    const seen: Features[] = [];
    for (const view of valViews) seen.push(await compute(val!, [view]));
    computed = { train: learned, val: seen };
  } finally {
    await extractor.dispose();
  }
  const sets = { train: labelled(context, train), val: val && labelled(context, val) };
  if (solved !== undefined) {
    const { solvePhase } = await import("./heads/outcome.ts");
    const phase = { head: solved, node: outputNode(model.graph).name, ...sets };
    return solvePhase(runtime, phase, computed.train, computed.val);
  }
  const sources = {
    train: featureSource(sets.train, computed.train, seed),
    val: computed.val.map((view) => featureSource(sets.val!, view, seed)),
  };
  const head = { source: model.source, graph: headOf(model.graph), checkpoint: headCheckpoint(model) };
  return trainPhase(context, "head", head, sources, resolved);
}

/** How the head is trained before more of the network follows. */
function headFirst(
  { seed, winograd, labelSmoothing, loss, classWeights, features }: ResolvedTrainingOptions,
  images: number,
): ResolvedTrainingOptions {
  const shared = { seed, winograd, labelSmoothing, loss, classWeights, features };
  const options = { train: "head", head: "logistic", ...shared } as const;
  return resolveOptions(options, { isNew: false, images, isMultiLabel: loss === "bce" });
}

/** The head's own tensors: closing it leaves the model's checkpoint open. */
function headCheckpoint({ checkpoint, graph }: Model): Checkpoint {
  const { name } = outputNode(graph);
  const tensors = [...checkpoint.tensors].filter(([key]) => key === `${name}.weight` || key === `${name}.bias`);
  return { ...checkpoint, tensors: new Map(tensors), close: async () => {} };
}

/** The parts of a set and the options, checked against each other. */
function prepared(
  dataset: Dataset,
  options: FinetuneOptions,
  isNew: boolean,
): { readonly sets: ReturnType<typeof trainingSets>; readonly resolved: ResolvedTrainingOptions } {
  const sets = trainingSets(dataset, options.val, options.seed);
  const images = sets.train.examples.length;
  const isMulti = isMultiLabel(sets.train);
  const set = { images, isMultiLabel: isMulti, imbalance: imbalanceOf(sets.train) };
  // Only epochs leave a state to go on from.
  const wanted = options.resume === undefined ? options : { head: "logistic" as const, ...options };
  const resolved = resolveOptions(wanted, { isNew, ...set });
  if (sets.val === undefined && resolved.folds === undefined && resolved.keep === "best") {
    const name = options.patience === undefined ? "keep" : "patience";
    throw new OptionError(name, expectedGot(name, "a validation set", "none", "give val, or leave it out"));
  }
  return { sets, resolved };
}

/**
 * Trains without each fold in turn, and then with all images.
 *
 * @param once a training of a part, with these options
 */
async function inFolds(
  { train, val }: ReturnType<typeof trainingSets>,
  { folds: _f, resume, val: _v, ...options }: FinetuneOptions,
  resolved: ResolvedTrainingOptions,
  once: (set: Dataset, options: FinetuneOptions & FoldOptions) => Promise<Finetuned>,
): Promise<Finetuned> {
  const folds = foldsOf(train, resolved.folds!, resolved.seed);
  const results = resume === undefined ? [] : [...foldResultsOf(await notesOf(resume))];
  const begun = results.length;
  const { onProgress } = options;
  const run = (set: Dataset, more: FinetuneOptions): Promise<Finetuned> => {
    const at = results.length;
    return once(set, {
      ...more,
      ...(resume !== undefined && at === begun && { resume }),
      ...(onProgress && { onProgress: (progress) => onProgress({ ...progress, fold: at + 1 }) }),
      notes: [...results],
    });
  };
  for (const { train: rest, val: part } of folds.slice(begun)) {
    // The head and the weighting of the whole set: a part is smaller, and may seem more even.
    const { classWeights, head } = resolved;
    results.push(foldResultOf(await run(rest, { ...options, val: part, classWeights, head })));
  }
  const { patience: _p, keep: _k, ...blind } = options;
  // Without images to validate with no epoch is the best: as many as the folds needed.
  const isBlind = val === undefined && resolved.keep === "best";
  const epochs = epochsOf(results, resolved.warmup + resolved.headWarmup);
  const whole = await run(train, isBlind ? { ...blind, epochs } : { ...options, ...(val && { val }) });
  return { ...whole, crossValidation: together(results) };
}

function foldResultOf({ answers, history, epoch }: Finetuned): FoldResult {
  const { valLoss = 0, valTop1 = 0, valMap } = history[epoch - 1]!;
  return { images: answers.length, loss: valLoss, top1: valTop1, ...(valMap !== undefined && { map: valMap }), epoch };
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
  const { sets, resolved } = prepared(dataset, options, false);
  const images = sets.train.examples.length;
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
    if (resolved.folds !== undefined) {
      return inFolds(sets, options, resolved, (set, more) => finetuneWith(runtime, opened, set, more));
    }
    const output = OUTPUTS[resolved.loss];
    const isSameOutput = (opened.graph.output ?? "softmax") === output;
    const isSame = isSameOutput && JSON.stringify(opened.labels) === JSON.stringify(dataset.classes);
    const { length } = dataset.classes;
    const renewed = isSame ? opened : withClasses(opened, length, resolved.seed);
    const spec = opened.spec && { ...opened.spec, classes: length };
    const graph = { ...renewed.graph, output };
    const model: Model = { ...renewed, spec, graph, labels: dataset.classes };
    return train({ runtime, model, ...sets, isNew: false, options, resolved }, async (context) => {
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
  const { sets, resolved } = prepared(dataset, options, true);
  if (resolved.folds !== undefined) {
    return inFolds(sets, options, resolved, (set, more) => trainNewWith(runtime, arch, set, more));
  }
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
  return train({ runtime, model, ...sets, isNew: true, options, resolved }, async () => undefined);
}

/** Trains the head, if `first` does, then what else is wanted. */
async function train(
  given: Omit<TrainingContext, "preparer" | "failed" | "weights" | "trunk">,
  first: (context: TrainingContext) => Promise<Outcome | undefined>,
): Promise<Finetuned> {
  const { runtime, model, options, resolved } = given;
  const chosen = choicesOf(options, resolved, given.train, given.val, given.isNew);
  options.onProgress?.({ phase: "plan", chosen, ...finetuneNeeds(model.graph, { ...options, ...resolved }) });
  const preparer = await startPreparer(runtime, model.preprocess);
  try {
    const isKept = options.onCheckpoint !== undefined || options.resume !== undefined;
    const needsDigest = isKept || (options.featureStore !== undefined && resolved.train === "head");
    const trunk = needsDigest ? await digestOfTrunk(runtime, model) : undefined;
    const weights = isKept ? await checksumOfWeights(model, trunk!) : undefined;
    const context: TrainingContext = { ...given, preparer, failed: new Map(), trunk, weights };
    const head = await first(context);
    const start = head === undefined ? model : { ...model, checkpoint: overlaid(model.checkpoint, head.tensors) };
    let outcome = head;
    if (resolved.train !== "head" || head === undefined) {
      const sources = {
        train: imagesOf(context, "train", resolved),
        val: valViewsOf(context),
      };
      const network = { ...start, checkpoint: { ...start.checkpoint, close: async () => {} } };
      outcome = await trainPhase(context, "train", network, sources, resolved);
    }
    const trained = { ...model, checkpoint: overlaid(start.checkpoint, outcome!.tensors) };
    return await finish(trained, context, outcome!, chosen);
  } finally {
    preparer.dispose();
  }
}

/** Not by a Blob, which in Node takes three times as long. */
function concatenated(pieces: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

async function finish(
  model: Model,
  { val, failed, resolved }: TrainingContext,
  { history, validation, leaveOneOut }: Outcome,
  chosen: readonly Choice[],
): Promise<Finetuned> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convertModel(model)) pieces.push(piece);
  const last = resolved.keep === "best" ? bestOf(history)! : history.at(-1)!;
  const rates = history.map(({ imagesPerSecond }) => imagesPerSecond);
  return {
    bytes: concatenated(pieces),
    classes: model.labels,
    history,
    epoch: last.epoch,
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
    chosen,
    guesses: model.guesses,
  };
}
