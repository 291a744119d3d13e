/**
 * The one table of training options. A row says what an option accepts, what it is when absent, its flag and help text
 * on the command line, and whether a run that resumes must have the same value (it must, unless the row says `exempt`).
 * Types, defaults, checks, flags and the fingerprint of a state all follow from the rows.
 *
 * To add an option: add its row, and use its value.
 */

import { ArgumentTypeError, expectedGot, OptionError } from "../errors.ts";
import { AUGMENTS, type Augment, STRONGEST } from "./augments.ts";
import { SCHEDULES, type Schedule } from "./schedules.ts";

/** Which layers are trained. */
export const PARTS = ["head", "layer4", "layer3", "all"] as const;
export type Part = (typeof PARTS)[number];

export const OPTIMIZERS = ["sgd", "adamw"] as const;
export type OptimizerName = (typeof OPTIMIZERS)[number];

/** `ridge` and `prototype` follow from features at once; `logistic` takes epochs. */
export const HEADS = ["ridge", "prototype", "logistic"] as const;
export type HeadName = (typeof HEADS)[number];

/** Whether images of rare classes count more; `balanced`: each class as much as any other. */
export const CLASS_WEIGHTS = ["none", "balanced"] as const;
export type ClassWeighting = (typeof CLASS_WEIGHTS)[number];

/** Which epoch's weights are kept: the last one's, or those that validated best. */
export const KEPT = ["last", "best"] as const;
export type Kept = (typeof KEPT)[number];

export const LOSSES = ["cross_entropy", "bce"] as const;
export type Loss = (typeof LOSSES)[number];

/** The kernels that compute the features which a head is trained on. */
export const FEATURE_KINDS = ["f32", "int8"] as const;
export type FeatureKind = (typeof FEATURE_KINDS)[number];

/** What the values of one option must be. */
export interface Kind<T> {
  readonly type: "number" | "string" | "boolean";
  /** For messages and help. */
  readonly expected: string;
  readonly accepts: (value: unknown) => value is T;
  /** Where there are few. */
  readonly choices?: readonly T[];
}

/** Who trains: `createTrainer`, or a fine-tuning of the head, of more of the network, or a training from scratch. */
export type Setup = "trainer" | "head" | "part" | "scratch";

/** What defaults depend on. */
export interface Context {
  readonly setup: Setup;
  /** Images to train with. */
  readonly images: number;
  /** Whether the images have several labels. */
  readonly isMultiLabel: boolean;
  /** Whether options are given that only epochs need. */
  readonly hasEpochs?: boolean;
  /** Images of the largest class for one of the smallest; 1 when absent. */
  readonly imbalance?: number;
}

interface Row<T> {
  readonly kind: Kind<T>;
  /** The value when absent; `undefined` leaves the option off. `chosen` has the rows above. */
  readonly fallback: (context: Context, chosen: Readonly<Record<string, unknown>>) => T | undefined;
  /** As on the command line: `--epochs <n>`. */
  readonly flag?: string;
  readonly help?: string;
  /** Whether a resumed run may have another value, because no result depends on it. */
  readonly exempt?: true;
}

/** Images up to which a head is solved for when nobody says how. */
export const FEW_IMAGES = 1000;
/** Options that a head without epochs has a use for, or no harm from. */
const WITHOUT_EPOCHS: readonly string[] = [
  ...["train", "batch", "norms", "winograd", "features", "head", "flips", "folds", "seed", "loss"],
];

/** Whether a head can be solved for, and nothing that is given says otherwise: uneven classes are weighed, which takes epochs. */
function isSolvable({ setup, images, isMultiLabel, imbalance = 1, hasEpochs = false }: Context): boolean {
  return setup === "head" && images <= FEW_IMAGES && !isMultiLabel && imbalance < UNEVEN && !hasEpochs;
}

function number(expected: string, isGood: (value: number) => boolean): Kind<number> {
  const accepts = (value: unknown): value is number => Number.isFinite(value) && isGood(value as number);
  return { type: "number", expected, accepts };
}

const POSITIVE = number("a number above 0", (value) => value > 0);
const FROM_ZERO = number("a number from 0", (value) => value >= 0);
const SHARE = number("a number from 0, below 1", (value) => value >= 0 && value < 1);
const PROBABILITY = number("a number from 0 to 1", (value) => value >= 0 && value <= 1);
const FACTOR = number("a number above 0, at most 1", (value) => value > 0 && value <= 1);
const STRENGTH = number(`a number from 0 to ${STRONGEST}`, (value) => value >= 0 && value <= STRONGEST);
const PARTS_OF_SET = number("a whole number from 2", (value) => Number.isSafeInteger(value) && value >= 2);
const COUNT = number("a whole number from 1", (value) => Number.isSafeInteger(value) && value >= 1);
const INTEGER = number("a whole number", Number.isSafeInteger);
const SWITCH: Kind<boolean> = {
  type: "boolean",
  expected: "true or false",
  accepts: (value) => typeof value === "boolean",
};

function oneOf<const T extends string>(choices: readonly T[]): Kind<T> {
  const accepts = (value: unknown): value is T => choices.includes(value as T);
  return { type: "string", expected: choices.join(", "), accepts, choices };
}

function row<T>(
  kind: Kind<T>,
  fallback: T | undefined | Readonly<Record<Setup, T>> | Row<T>["fallback"],
  rest: Omit<Row<T>, "kind" | "fallback"> = {},
): Row<T> {
  if (typeof fallback === "function") return { kind, fallback: fallback as Row<T>["fallback"], ...rest };
  if (typeof fallback === "object" && fallback !== null) {
    return { kind, fallback: ({ setup }) => (fallback as Readonly<Record<Setup, T>>)[setup], ...rest };
  }
  return { kind, fallback: () => fallback as T | undefined, ...rest };
}

/** Learning rates to begin with: new layers bear more than trained ones. */
const LEARNING_RATES = {
  sgd: { trainer: 0.01, head: 0.01, part: 2e-3, scratch: 0.1 },
  adamw: { trainer: 1e-3, head: 2e-3, part: 1e-3, scratch: 1e-3 },
} as const;

/** From how many times as many images in the largest class as in the smallest on classes are weighed. */
export const UNEVEN = 2;

const BATCHES = { trainer: 32, head: 32, part: 16, scratch: 128 } as const;

/** Options of the optimizer's steps, which `createTrainer` takes too. */
const STEP_OPTIONS = {
  /** What is trained. What stands before it costs no gradient and no memory for one. */
  train: row<Part>(
    oneOf(PARTS),
    { trainer: "all", head: "head", part: "layer4", scratch: "all" },
    {
      flag: "--train <part>",
      help: "which layers are trained: the last one (head), or the last blocks of the network too",
    },
  ),
  /** Images that are computed at once; at most those of the set. */
  batch: row(COUNT, ({ setup, images }) => Math.min(BATCHES[setup], images), {
    flag: "--batch <n>",
    help: "images that are computed at once",
  }),
  /** Batches whose gradients make one step. */
  accumulate: row(COUNT, 1, { flag: "--accumulate <n>", help: "batches in one step, where memory is short" }),
  optimizer: row<OptimizerName>(
    oneOf(OPTIMIZERS),
    { trainer: "sgd", head: "adamw", part: "sgd", scratch: "sgd" },
    { flag: "--optimizer <name>", help: "how weights follow from gradients" },
  ),
  /** The highest learning rate: the schedule goes up to it and down from it. */
  learningRate: row(POSITIVE, ({ setup }, { optimizer }) => LEARNING_RATES[optimizer as OptimizerName][setup], {
    flag: "--lr <rate>",
    help: "the highest learning rate: how far a step moves the weights",
  }),
  /** Of SGD. */
  momentum: row(SHARE, 0.9, { flag: "--momentum <m>", help: "of the optimizer sgd" }),
  /** Nesterov's momentum, of SGD. */
  nesterov: row(SWITCH, false, { flag: "--nesterov", help: "Nesterov's variant of momentum" }),
  weightDecay: row(FROM_ZERO, (_, { optimizer }) => (optimizer === "sgd" ? 1e-4 : 0.01), {
    flag: "--weight-decay <d>",
    help: "how much weights are pulled towards zero",
  }),
  /** Whether biases and norms decay too, as in PyTorch. */
  decayNorms: row(SWITCH, true, { flag: "--no-decay-norms", help: "no weight decay for biases and norms" }),
  /** `cross_entropy`: an image shows one class; `bce`, binary cross-entropy: any number of them. */
  loss: row<Loss>(oneOf(LOSSES), ({ isMultiLabel }) => (isMultiLabel ? "bce" : "cross_entropy"), {
    flag: "--loss <name>",
    help: "cross_entropy: an image shows one class; bce: any number of them (default: as its labels are)",
  }),
  /** Part of a label that is spread over all classes. */
  labelSmoothing: row(SHARE, 0, {
    flag: "--label-smoothing <s>",
    help: "part of a label that is spread over all classes",
  }),
  /** Largest norm of all gradients together; larger ones are scaled down to it. */
  clip: row(POSITIVE, undefined, {
    flag: "--clip <norm>",
    help: "longest gradient; longer ones are scaled down to it",
  }),
  /** Keeps an average of the weights, of which a step leaves this share: 0.999, say. */
  ema: row(SHARE, undefined, {
    flag: "--ema <share>",
    help: "keep a moving average of the weights, of which a step leaves this share: 0.999, say",
  }),
  /** Rate of a block of the network as a part of that of the block behind it; the head has the whole. */
  layerDecay: row(FACTOR, 1, {
    flag: "--layer-decay <f>",
    help: "rate of each block as a part of the next one's: early layers move less",
  }),
  /** `live`: trained norms use the statistics of the batch and update the running ones; `frozen`: the running ones, fixed. */
  norms: row<"live" | "frozen">(
    oneOf(["live", "frozen"]),
    { trainer: "live", head: "frozen", part: "frozen", scratch: "live" },
    { flag: "--norms <kind>", help: "batch norms use the statistics of each batch (live) or stored ones (frozen)" },
  ),
  /** `false` computes every convolution by direct sums: slower, and about two digits closer to exact. */
  winograd: row(SWITCH, true),
} as const;

/** Options of a whole training. */
const RUN_OPTIONS = {
  /** Passes over the data. */
  epochs: row(
    COUNT,
    { trainer: 1, head: 40, part: 8, scratch: 30 },
    { flag: "--epochs <n>", help: "passes over all images" },
  ),
  schedule: row<Schedule>(oneOf(SCHEDULES), "cosine", {
    flag: "--schedule <name>",
    help: "how the learning rate changes",
  }),
  /** Epochs, or a part of one, over which the learning rate rises. */
  warmup: row(
    FROM_ZERO,
    { trainer: 0, head: 0, part: 1, scratch: 1 },
    { flag: "--warmup <epochs>", help: "epochs over which the learning rate rises at the start" },
  ),
  /** Epochs, or a part of one, in which the head alone learns; then the rates of the others rise over `warmup`. */
  headWarmup: row(FROM_ZERO, 0, {
    flag: "--head-warmup <epochs>",
    help: "epochs in which the last layer alone learns, before the others join it",
  }),
  /** How the features of images are computed for the head; `int8` makes an int8 network of some of the images first. */
  features: row<FeatureKind>(oneOf(FEATURE_KINDS), "f32", {
    flag: "--features <kind>",
    help: "how images are computed for the last layer: int8 is faster, and made of 8 of the images first",
  }),
  /**
   * How the last layer follows from features, where nothing else is trained: by ridge regression or class means, at once, or by epochs
   * of logistic regression. When absent `ridge` for up to 1,000 images of even classes, unless options of epochs are given. No state is kept of what
   * takes no epochs, so none has another.
   */
  head: row<HeadName>(oneOf(HEADS), (context) => (isSolvable(context) ? "ridge" : "logistic"), {
    flag: "--head <how>",
    help: "how the last layer is found: ridge regression (default up to 1,000 images), class means (prototype), or by epochs (logistic)",
    exempt: true,
  }),
  /** Strength of RandAugment, 0 to 10. Features vary too, but for those of the first view. */
  randAugment: row(STRENGTH, 0, {
    flag: "--rand-augment <strength>",
    help: "two random operations on each image, of a strength up to 10",
  }),
  /** Probability that a part of an image is erased. */
  erase: row(PROBABILITY, 0, { flag: "--erase <p>", help: "probability that a part of an image is erased" }),
  /** Of the head `none`, where more views bring nothing, unless other variations are asked for: one view is never varied. */
  augment: row<Augment>(
    oneOf(AUGMENTS),
    ({ setup }, { randAugment, erase }) => {
      if (setup === "head" && (randAugment !== 0 || erase !== 0)) return "light";
      return setup === "part" || setup === "scratch" ? "standard" : "none";
    },
    { flag: "--augment <how>", help: "how much images are varied: shifted, mirrored, cropped" },
  ),
  /** α of mixup's beta distribution; 0 for none. */
  mixup: row(FROM_ZERO, 0, { flag: "--mixup <alpha>", help: "images and labels are mixed in pairs: 0.2, say" }),
  /** α of cutmix's; with mixup too, a batch gets one of them. */
  cutmix: row(FROM_ZERO, 0, { flag: "--cutmix <alpha>", help: "a part of each image is that of another: 1, say" }),
  classWeights: row<ClassWeighting>(
    oneOf(CLASS_WEIGHTS),
    ({ imbalance = 1, isMultiLabel }, { loss, head }) =>
      imbalance >= UNEVEN && head === "logistic" && !isMultiLabel && loss !== "bce" ? "balanced" : "none",
    { flag: "--class-weights <how>", help: "balanced: classes with few images count as much as others" },
  ),
  /** Epochs without a better one before training stops; needs a validation set. */
  patience: row(COUNT, undefined, {
    flag: "--patience <epochs>",
    help: "stop after so many epochs without a better one on the validation set",
  }),
  keep: row<Kept>(oneOf(KEPT), (_, { patience }) => (patience === undefined ? "last" : "best"), {
    flag: "--keep <epoch>",
    help: "whose weights are kept: those of the last epoch, or of the best on the validation set",
  }),
  /** Validates each image together with its mirror image. */
  flips: row(SWITCH, false, { flag: "--flips", help: "validate each image together with its mirror image" }),
  /** Trains so many times with a part of the set left out and validated, before the training with all of it. */
  folds: row(PARTS_OF_SET, undefined, {
    flag: "--folds <k>",
    help: "first train k times without a k-th of the images, and validate with it: for small sets",
  }),
  /** Decides new weights, order and variations. */
  seed: row(INTEGER, 1, {
    flag: "--seed <n>",
    help: "start of the random numbers; the same seed and threads give the same model",
  }),
  /** Epochs from one checkpoint to the next. */
  checkpointEpochs: row(COUNT, 1, {
    flag: "--checkpoint-epochs <n>",
    help: "epochs from one checkpoint to the next",
    exempt: true,
  }),
  /** Minutes from one checkpoint to the next, in longer epochs. */
  checkpointMinutes: row(POSITIVE, 10, {
    flag: "--checkpoint-minutes <n>",
    help: "minutes from one checkpoint to the next, in longer epochs",
    exempt: true,
  }),
} as const;

/** Every option of a training, by its name in the library. */
export const TRAINING_OPTIONS = { ...STEP_OPTIONS, ...RUN_OPTIONS } as const;

type Values<R extends Readonly<Record<string, { readonly kind: unknown }>>> = {
  readonly [K in keyof R]?: R[K] extends Row<infer T> ? T : never;
};

/** Options that `createTrainer` takes. */
export interface StepOptions extends Values<typeof STEP_OPTIONS> {}
/** Options of a training from the table; `FinetuneOptions` has the rest: data, events, resuming. */
export interface TrainingOptions extends Values<typeof TRAINING_OPTIONS> {}

/** Options that have no default: absent means off. */
type Off = "clip" | "ema" | "patience" | "folds";
type Resolved<T> = Required<Omit<T, Off>> & Pick<T, keyof T & Off>;
export type ResolvedStepOptions = Resolved<StepOptions>;
export type ResolvedTrainingOptions = Resolved<TrainingOptions>;

/** Checks values and fills in what is absent, from some rows of the table. */
function resolve(
  rows: Readonly<Record<string, Row<unknown>>>,
  given: Readonly<Record<string, unknown>>,
  context: Context,
): Record<string, unknown> {
  const chosen: Record<string, unknown> = {};
  for (const [name, { kind, fallback }] of Object.entries(rows)) {
    const value = given[name];
    if (value === undefined) {
      const initial = fallback(context, chosen);
      if (initial !== undefined) chosen[name] = initial;
      continue;
    }
    if (typeof value !== kind.type) {
      throw new ArgumentTypeError(name, expectedGot(name, kind.expected, `${typeof value} ${JSON.stringify(value)}`));
    }
    if (!kind.accepts(value)) throw new OptionError(name, expectedGot(name, kind.expected, String(value)));
    chosen[name] = value;
  }
  return chosen;
}

/**
 * The options of one trainer, checked, with nothing left open.
 *
 * @throws ArgumentTypeError, OptionError
 */
export function resolveStepOptions(options: StepOptions): ResolvedStepOptions {
  const context = { setup: "trainer", images: Number.POSITIVE_INFINITY, isMultiLabel: false } as const;
  return resolve(STEP_OPTIONS, { ...options }, context) as unknown as ResolvedStepOptions;
}

/**
 * The options of a training, checked, with nothing left open.
 *
 * @throws ArgumentTypeError for a value of the wrong type, OptionError for one out of range
 */
export function resolveOptions(
  options: TrainingOptions,
  { isNew, ...set }: Omit<Context, "setup"> & { readonly isNew: boolean },
): ResolvedTrainingOptions {
  const setup = isNew ? "scratch" : (options.train ?? "head") === "head" ? "head" : "part";
  const { images, isMultiLabel } = set;
  const hasEpochs = Object.entries(options).some(
    ([name, value]) => value !== undefined && name in TRAINING_OPTIONS && !WITHOUT_EPOCHS.includes(name),
  );
  const context = { setup, ...set, isMultiLabel: isMultiLabel || options.loss === "bce", hasEpochs } as const;
  const resolved = resolve(TRAINING_OPTIONS, { ...options }, context) as unknown as ResolvedTrainingOptions;
  const { batch, head, warmup, epochs, loss, norms, train } = resolved;
  if (batch > images) {
    throw new OptionError("batch", expectedGot("batch", `at most the ${images} images of the set`, `${batch}`));
  }
  if (loss !== "bce" && isMultiLabel) {
    const hint = "its images have several labels each, or none";
    throw new OptionError("loss", expectedGot("loss", "bce for this set", loss, hint));
  }
  if (head !== "logistic" && (setup !== "head" || loss === "bce")) {
    const got = loss === "bce" ? "several labels an image" : `more than the head trained`;
    const hint = "ridge and prototype solve for the last layer of classes that exclude each other";
    throw new OptionError("head", expectedGot("head", `logistic with ${got}`, head, hint));
  }
  if (norms === "live" && train !== "head" && batch === 1) {
    const hint = "live norms need the statistics of a batch; freeze them, or take more images at once";
    throw new OptionError("batch", expectedGot("batch", "from 2 images with live norms", "1", hint));
  }
  if (warmup > epochs) {
    throw new OptionError("warmup", expectedGot("warmup", `from 0 to ${epochs} epochs`, `${warmup}`));
  }
  const { headWarmup, cutmix, classWeights, folds } = resolved;
  if (warmup + headWarmup > epochs) {
    const expected = `from 0 to ${epochs - warmup} epochs, with a warm-up of ${warmup}`;
    throw new OptionError("headWarmup", expectedGot("headWarmup", expected, `${headWarmup}`));
  }
  if (cutmix > 0 && train === "head") {
    const hint = "the head sees no images; train layer4, or use mixup";
    throw new OptionError("cutmix", expectedGot("cutmix", "0 for the head alone", `${cutmix}`, hint));
  }
  const { augment, randAugment, erase } = resolved;
  for (const [name, value] of Object.entries({ randAugment, erase })) {
    if (value === 0 || train !== "head" || augment !== "none") continue;
    const hint = "the one view of the head's features is the image as it is: use augment light or standard";
    throw new OptionError(name, expectedGot(name, "0 for the head without augment", `${value}`, hint));
  }
  if (classWeights === "balanced" && head !== "logistic") {
    const hint = "a head without epochs weighs all images alike; leave head out, or take logistic";
    throw new OptionError("classWeights", expectedGot("classWeights", `none with ${head}`, classWeights, hint));
  }
  if (classWeights === "balanced" && loss === "bce") {
    const hint = "classes that do not exclude each other have no weights";
    throw new OptionError("classWeights", expectedGot("classWeights", "none for bce", classWeights, hint));
  }
  if (folds !== undefined && folds > images) {
    throw new OptionError("folds", expectedGot("folds", `2 to the ${images} images of the set`, `${folds}`));
  }
  return resolved;
}

/** The values that a resumed run must share: all that are not exempt. */
export function fingerprintOf(resolved: ResolvedTrainingOptions): Readonly<Record<string, unknown>> {
  const rows = Object.entries<{ readonly exempt?: true }>(TRAINING_OPTIONS);
  const values = { ...resolved } as Readonly<Record<string, unknown>>;
  return Object.fromEntries(rows.filter(([, { exempt }]) => !exempt).map(([name]) => [name, values[name]]));
}
