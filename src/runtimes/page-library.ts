/** The functions of a page: a file of their own, which imports nothing that only a page which computes needs. */
import type { Guess } from "../checkpoint.ts";
import type { Library } from "../define.ts";
import type { Runtime } from "../runtime.ts";
import { placed } from "./place.ts";

async function here(): Promise<Runtime> {
  const { runtimeHere } = await import("./here.ts");
  return runtimeHere();
}

// Functions of their own rather than `defineRuntime(…)`: a bundler keeps those that are used.
/** Loads a model. */
export const load: Library["load"] = (source, given = {}) => {
  return placed(
    given,
    (remote, options) => remote.load(source, options),
    async (options, guesses) => {
      const { loadWith } = await import("../classifier.ts");
      const classifier = await loadWith(await here(), source, options);
      // The list is its own.
      (classifier.model.guesses as Guess[]).push(...guesses);
      return classifier;
    },
  );
};
/** Fine-tunes a model on labelled images. */
export const finetune: Library["finetune"] = (source, dataset, given = {}) => {
  return placed(
    given,
    (remote, options) => remote.finetune(source, dataset, options),
    async (options, guesses) => {
      const { finetuneWith } = await import("../train/finetune.ts");
      const trained = await finetuneWith(await here(), source, dataset, options);
      return { ...trained, guesses: [...trained.guesses, ...guesses] };
    },
  );
};
/** Trains a network of `RESNETS` from scratch. */
export const train: Library["train"] = (arch, dataset, given = {}) => {
  return placed(
    given,
    (remote, options) => remote.train(arch, dataset, options),
    async (options, guesses) => {
      const { trainNewWith } = await import("../train/finetune.ts");
      const trained = await trainNewWith(await here(), arch, dataset, options);
      return { ...trained, guesses: [...trained.guesses, ...guesses] };
    },
  );
};
/** Quantizes a model to int8 with sample images. */
export const quantize: Library["quantize"] = (source, images, given = {}) => {
  return placed(
    given,
    (remote, options) => remote.quantize(source, images, options),
    async (options) => {
      const { quantizeWith } = await import("../quantizer.ts");
      return quantizeWith(await here(), source, images, options);
    },
  );
};
/** Measures the algorithms for every convolution of a model on this machine. */
export const tune: Library["tune"] = async (...given) => {
  const { tuneWith } = await import("../tune.ts");
  return tuneWith(await here(), ...given);
};
/** Makes a trainer for a training loop of one's own. */
export const createTrainer: Library["createTrainer"] = async (...given) => {
  const { createTrainerWith } = await import("../train/create.ts");
  return createTrainerWith(await here(), ...given);
};
/** Loads a model to teach photo by photo: its head follows from them at once, without epochs. */
export const createTeacher: Library["createTeacher"] = async (...given) => {
  const { createTeacherWith } = await import("../train/teacher.ts");
  return createTeacherWith(await here(), ...given);
};
/** Finds, opens and checks a model without reading its weights. */
export const openModel: Library["openModel"] = async (...given) => {
  const { openModelWith } = await import("../model.ts");
  return openModelWith(await here(), ...given);
};
/** Describes a model and what it needs, without loading it. */
export const inspect: Library["inspect"] = async (...given) => {
  const { inspectWith } = await import("../inspect.ts");
  return inspectWith(await here(), ...given);
};
/** Writes any model as one safetensors file, piece by piece. */
export const convert: Library["convert"] = async function* (...given) {
  const { convertWith } = await import("../convert.ts");
  yield* convertWith(await here(), ...given);
};
/** Fetches everything that `load` with these options, and classifying photos, need later without a network, and keeps it. */
export const prefetch: Library["prefetch"] = async (source, options = {}) => {
  const { prefetchWith } = await import("../offline.ts");
  return prefetchWith(await here(), source, options, load);
};
/** What is kept of a model. */
export const cached: Library["cached"] = async (...given) => {
  const { cachedWith } = await import("../offline.ts");
  return cachedWith(await here(), ...given);
};
/** Removes what is kept of a model. */
export const forget: Library["forget"] = async (...given) => {
  const { forgetWith } = await import("../offline.ts");
  return forgetWith(await here(), ...given);
};
/** What is kept, and in a browser how much room there is. */
export const usage: Library["usage"] = async (...given) => {
  const { usageWith } = await import("../offline.ts");
  return usageWith(await here(), ...given);
};
/** Asks a browser to remove nothing of it when room is short. */
export const persist: Library["persist"] = async () => {
  const { persistWith } = await import("../offline.ts");
  return persistWith(await here());
};
