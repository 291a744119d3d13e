/**
 * The library as a runtime's entry offers it. Each function stands in a file of its own as `…With(runtime, …)`;
 * here it is bound to a runtime.
 */
import type { Classifier, LoadOptions } from "./classifier.ts";
import type { ConvertOptions } from "./convert.ts";
import type { ImageInput } from "./decode/input.ts";
import type { Inspection, InspectOptions } from "./inspect.ts";
import type { Model, ModelOptions, Source } from "./model.ts";
import type { CachedModel, CacheOptions, CacheUsage, Persistence, Prefetched } from "./offline.ts";
import type { Quantized, QuantizeOptions } from "./quantizer.ts";
import type { Runtime } from "./runtime.ts";
import type { CreateTrainerOptions } from "./train/create.ts";
import type { Dataset } from "./train/dataset.ts";
import type { Finetuned, FinetuneOptions, SourceOptions, TrainNewOptions } from "./train/finetune.ts";
import type { Teacher, TeacherOptions } from "./train/teacher.ts";
import type { Trainer } from "./train/trainer.ts";
import type { TuneOptions } from "./tune.ts";
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

/** What is kept for when there is no network, imported when it is first called. */
export function keeping(runtime: Runtime): Pick<Library, "prefetch" | "cached" | "forget" | "usage" | "persist"> {
  return {
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

/**
 * The library for an environment of one's own. The entries of this package have it for theirs. Each function is imported when it is first
 * called.
 */
export function defineRuntime(own: Runtime): Library {
  const runtime = withTwins(own);
  return {
    async load(...given) {
      const { loadWith } = await import("./classifier.ts");
      return loadWith(runtime, ...given);
    },
    async finetune(...given) {
      const { finetuneWith } = await import("./train/finetune.ts");
      return finetuneWith(runtime, ...given);
    },
    async train(...given) {
      const { trainNewWith } = await import("./train/finetune.ts");
      return trainNewWith(runtime, ...given);
    },
    async quantize(...given) {
      const { quantizeWith } = await import("./quantizer.ts");
      return quantizeWith(runtime, ...given);
    },
    async tune(...given) {
      const { tuneWith } = await import("./tune.ts");
      return tuneWith(runtime, ...given);
    },
    async createTrainer(...given) {
      const { createTrainerWith } = await import("./train/create.ts");
      return createTrainerWith(runtime, ...given);
    },
    async createTeacher(...given) {
      const { createTeacherWith } = await import("./train/teacher.ts");
      return createTeacherWith(runtime, ...given);
    },
    async openModel(...given) {
      const { openModelWith } = await import("./model.ts");
      return openModelWith(runtime, ...given);
    },
    async inspect(...given) {
      const { inspectWith } = await import("./inspect.ts");
      return inspectWith(runtime, ...given);
    },
    async *convert(...given) {
      const { convertWith } = await import("./convert.ts");
      yield* convertWith(runtime, ...given);
    },
    ...keeping(runtime),
  };
}
