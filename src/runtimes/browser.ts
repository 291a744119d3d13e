/**
 * Browsers: files are URLs, downloads are kept in the Cache API, and more than one thread needs a cross-origin-isolated page.
 */
import { loadWith } from "../classifier.ts";
import { convertWith } from "../convert.ts";
import type { Library } from "../define.ts";
import { LAZY_ONNX, LAZY_TORCH } from "../formats/lazy.ts";
import { inspectWith } from "../inspect.ts";
import { openModelWith } from "../model.ts";
import { quantizeWith } from "../quantizer.ts";
import type { Runtime } from "../runtime.ts";
import { createTrainerWith } from "../train/create.ts";
import { finetuneWith, trainNewWith } from "../train/finetune.ts";
import { createTeacherWith } from "../train/teacher.ts";
import { tuneWith } from "../tune.ts";
import { withTwins } from "../twins.ts";
import { pageRuntime } from "./page.ts";

export * from "../index.ts";
export { type InitOptions, init, type ModuleInit } from "./init.ts";

/** The environment of a page. */
export function browserRuntime(): Runtime {
  return pageRuntime([LAZY_TORCH, LAZY_ONNX]);
}

const runtime = /* @__PURE__ */ withTwins(/* @__PURE__ */ browserRuntime());

// Functions of their own rather than `defineRuntime(…)`: a bundler keeps those that are used.
/** Loads a model. */
export const load: Library["load"] = (...given) => loadWith(runtime, ...given);
/** Fine-tunes a model on labelled images. */
export const finetune: Library["finetune"] = (...given) => finetuneWith(runtime, ...given);
/** Trains a network of `RESNETS` from scratch. */
export const train: Library["train"] = (...given) => trainNewWith(runtime, ...given);
/** Quantizes a model to int8 with sample images. */
export const quantize: Library["quantize"] = (...given) => quantizeWith(runtime, ...given);
/** Measures the algorithms for every convolution of a model on this machine. */
export const tune: Library["tune"] = (...given) => tuneWith(runtime, ...given);
/** Makes a trainer for a training loop of one's own. */
export const createTrainer: Library["createTrainer"] = (...given) => createTrainerWith(runtime, ...given);
/** Loads a model to teach photo by photo: its head follows from them at once, without epochs. */
export const createTeacher: Library["createTeacher"] = (...given) => createTeacherWith(runtime, ...given);
/** Finds, opens and checks a model without reading its weights. */
export const openModel: Library["openModel"] = (...given) => openModelWith(runtime, ...given);
/** Describes a model and what it needs, without loading it. */
export const inspect: Library["inspect"] = (...given) => inspectWith(runtime, ...given);
/** Writes any model as one safetensors file, piece by piece. */
export const convert: Library["convert"] = (...given) => convertWith(runtime, ...given);
/** Fetches everything that `load` with these options, and classifying photos, need later without a network, and keeps it. */
export const prefetch: Library["prefetch"] = async (...given) => {
  const { prefetchWith } = await import("../offline.ts");
  return prefetchWith(runtime, ...given);
};
/** What is kept of a model. */
export const cached: Library["cached"] = async (...given) => {
  const { cachedWith } = await import("../offline.ts");
  return cachedWith(runtime, ...given);
};
/** Removes what is kept of a model. */
export const forget: Library["forget"] = async (...given) => {
  const { forgetWith } = await import("../offline.ts");
  return forgetWith(runtime, ...given);
};
/** What is kept, and in a browser how much room there is. */
export const usage: Library["usage"] = async (...given) => {
  const { usageWith } = await import("../offline.ts");
  return usageWith(runtime, ...given);
};
/** Asks a browser to remove nothing of it when room is short. */
export const persist: Library["persist"] = async () => {
  const { persistWith } = await import("../offline.ts");
  return persistWith(runtime);
};
