/**
 * The library as a runtime's entry offers it. Each function stands in a file of its own as `…With(runtime, …)`;
 * here it is bound to a runtime.
 */
import { type Classifier, type LoadOptions, loadWith } from "./classifier.ts";
import { type ConvertOptions, convertWith } from "./convert.ts";
import type { ImageInput } from "./decode/input.ts";
import { type Inspection, type InspectOptions, inspectWith } from "./inspect.ts";
import { type Model, type ModelOptions, openModelWith, type Source } from "./model.ts";
import type { CachedModel, CacheOptions, CacheUsage, Persistence, Prefetched } from "./offline.ts";
import { type Quantized, type QuantizeOptions, quantizeWith } from "./quantizer.ts";
import type { Runtime } from "./runtime.ts";
import { type CreateTrainerOptions, createTrainerWith } from "./train/create.ts";
import type { Dataset } from "./train/dataset.ts";
import {
  type Finetuned,
  type FinetuneOptions,
  finetuneWith,
  type SourceOptions,
  type TrainNewOptions,
  trainNewWith,
} from "./train/finetune.ts";
import { createTeacherWith, type Teacher, type TeacherOptions } from "./train/teacher.ts";
import type { Trainer } from "./train/trainer.ts";
import { type TuneOptions, tuneWith } from "./tune.ts";
import { withTwins } from "./twins.ts";
import type { Tuning } from "./variants.ts";

/** What every entry exports. */
export interface Library {
  /** Loads a model. Throws ModelError when there is none or it is not what it says, OptionError for an option out of range. */
  load(source: Source, options?: LoadOptions): Promise<Classifier>;
  /** Fine-tunes a model on labelled images. */
  finetune(source: Source, dataset: Dataset, options?: FinetuneOptions & SourceOptions): Promise<Finetuned>;
  /** Trains a network of `RESNETS` from scratch. */
  train(arch: string, dataset: Dataset, options?: TrainNewOptions): Promise<Finetuned>;
  /** Quantizes a model to int8 with sample images. */
  quantize(
    source: Source,
    images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    options?: QuantizeOptions & LoadOptions,
  ): Promise<Quantized>;
  /** Measures the algorithms for every convolution of a model on this machine. */
  tune(source: Source, options?: TuneOptions): Promise<Tuning>;
  /** Makes a trainer for a training loop of one's own, from a model or a new network. */
  createTrainer(source: Source, options?: CreateTrainerOptions): Promise<Trainer>;
  /** Loads a model to teach photo by photo: its head follows from them at once, without epochs. */
  createTeacher(source: Source, options?: TeacherOptions): Promise<Teacher>;
  /** Finds, opens and checks a model without reading its weights. */
  openModel(source: Source, options?: ModelOptions): Promise<Model>;
  /** Describes a model and what it needs, without loading it. */
  inspect(source: Source, options?: InspectOptions): Promise<Inspection>;
  /** Writes any model as one safetensors file that needs nothing beside it, piece by piece. */
  convert(source: Source, options?: ConvertOptions & ModelOptions): AsyncGenerator<Uint8Array<ArrayBuffer>>;
  /** Fetches everything that `load` with these options, and classifying photos, need later without a network, and keeps it. */
  prefetch(source: string | URL, options?: LoadOptions): Promise<Prefetched>;
  /** What is kept of a model; `undefined` when it is not. */
  cached(source: string | URL, options?: CacheOptions): Promise<CachedModel | undefined>;
  /** Removes what is kept of a model. False when it was not. */
  forget(source: string | URL, options?: CacheOptions): Promise<boolean>;
  /** What is kept, and in a browser how much room there is. */
  usage(options?: CacheOptions): Promise<CacheUsage>;
  /** Asks a browser to remove nothing of it when room is short. */
  persist(): Promise<Persistence>;
}

/** The library for an environment of one's own. The entries of this package have it for theirs. */
export function defineRuntime(own: Runtime): Library {
  const runtime = withTwins(own);
  return {
    load: (...given) => loadWith(runtime, ...given),
    finetune: (...given) => finetuneWith(runtime, ...given),
    train: (...given) => trainNewWith(runtime, ...given),
    quantize: (...given) => quantizeWith(runtime, ...given),
    tune: (...given) => tuneWith(runtime, ...given),
    createTrainer: (...given) => createTrainerWith(runtime, ...given),
    createTeacher: (...given) => createTeacherWith(runtime, ...given),
    openModel: (...given) => openModelWith(runtime, ...given),
    inspect: (...given) => inspectWith(runtime, ...given),
    convert: (...given) => convertWith(runtime, ...given),
    async prefetch(...given) {
      const { prefetchWith } = await import("./offline.ts");
      return prefetchWith(runtime, ...given);
    },
    async cached(...given) {
      const { cachedWith } = await import("./offline.ts");
      return cachedWith(runtime, ...given);
    },
    async forget(...given) {
      const { forgetWith } = await import("./offline.ts");
      return forgetWith(runtime, ...given);
    },
    async usage(...given) {
      const { usageWith } = await import("./offline.ts");
      return usageWith(runtime, ...given);
    },
    async persist() {
      const { persistWith } = await import("./offline.ts");
      return persistWith(runtime);
    },
  };
}
