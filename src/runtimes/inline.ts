/**
 * Browsers without files beside the script: every module is in it, as base64. For pages of a single file, and for service
 * workers, whose imports must be there when they are installed. One thread, because workers start from files.
 */
import baseline from "../../wasm/baseline.wasm";
import jpeg from "../../wasm/jpeg.wasm";
import relaxed from "../../wasm/relaxed.wasm";
import solve from "../../wasm/solve.wasm";
import webp from "../../wasm/webp.wasm";
import { loadWith } from "../classifier.ts";
import { convertWith } from "../convert.ts";
import { keeping, type Library } from "../define.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { inspectWith } from "../inspect.ts";
import { openModelWith } from "../model.ts";
import { quantizeWith } from "../quantizer.ts";
import type { ModuleName, Runtime } from "../runtime.ts";
import { createTrainerWith } from "../train/create.ts";
import { finetuneWith, trainNewWith } from "../train/finetune.ts";
import { createTeacherWith } from "../train/teacher.ts";
import { tuneWith } from "../tune.ts";
import { withTwins } from "../twins.ts";
import { webRuntime } from "./web.ts";

export * from "../index.ts";
export { type InitOptions, init, type ModuleInit } from "./init.ts";

/** The environment of a page, with nothing to fetch but models and photos. */
export function inlineRuntime(): Runtime {
  return webRuntime({ compile, startWorker });
}

const runtime = /* @__PURE__ */ withTwins(/* @__PURE__ */ inlineRuntime());

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
/** What is kept for when there is no network: see `Library`. */
export const { prefetch, cached, forget, usage, persist } = /* @__PURE__ */ keeping(runtime);

async function compile(name: ModuleName): Promise<WebAssembly.Module> {
  // In this entry the build puts bytes in place of modules.
  const bytes = { baseline, relaxed, jpeg, solve, webp } as unknown as Partial<Record<ModuleName, BufferSource>>;
  const mine = bytes[name];
  if (mine === undefined) {
    const hint = "one thread is all that the inline entry has";
    throw new ModelError("runtime", expectedGot("inline", "a module for one thread", name, hint));
  }
  return WebAssembly.compile(mine);
}

function startWorker(): never {
  throw new ModelError(
    "runtime",
    expectedGot("inline", "a runtime with threads", "one without", "use the entry resnet-wasm"),
  );
}
