/**
 * Browsers without files beside the script: every module is in it, as base64. For pages of a single file, and for service
 * workers, whose imports must be there when they are installed. One thread, because workers start from files.
 */
import baseline from "../../wasm/baseline.wasm";
import jpeg from "../../wasm/jpeg.wasm";
import png from "../../wasm/png.wasm";
import relaxed from "../../wasm/relaxed.wasm";
import webp from "../../wasm/webp.wasm";
import { type Classifier, type LoadOptions, loadWith } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { type Quantized, type QuantizeOptions, quantizeWith } from "../quantizer.ts";
import type { ModuleName, Runtime } from "../runtime.ts";
import type { Dataset } from "../train/dataset.ts";
import {
  type Finetuned,
  type FinetuneOptions,
  finetuneWith,
  type SourceOptions,
  trainNewWith,
} from "../train/finetune.ts";
import { webRuntime } from "./web.ts";

export * from "../index.ts";
export { init, type ModuleInit } from "./init.ts";

/** The environment of a page, with nothing to fetch but models and photos. */
export function inlineRuntime(signal?: AbortSignal): Runtime {
  return webRuntime({ compile, startWorker }, signal);
}

/**
 * Loads a model in a page or a web worker: `loadWith` bound to this runtime.
 *
 * @param source a URL, relative to the page, or the bytes of a safetensors file
 * @throws ModelError when there is no model or it is not what it says; RangeError when memory or an option is out of
 * range; the signal's reason when it aborts
 */
export function load(source: string | Uint8Array, options: LoadOptions = {}): Promise<Classifier> {
  return loadWith(inlineRuntime(options.signal), source, options);
}

/** Fine-tunes a model on labelled images: `finetuneWith` bound to this runtime. */
export function finetune(
  source: string | Uint8Array,
  dataset: Dataset,
  options: FinetuneOptions & SourceOptions = {},
): Promise<Finetuned> {
  return finetuneWith(inlineRuntime(options.signal), source, dataset, options);
}

/** Trains a network from scratch: `trainNewWith` bound to this runtime. */
export function train(arch: string, dataset: Dataset, options: FinetuneOptions = {}): Promise<Finetuned> {
  return trainNewWith(inlineRuntime(options.signal), arch, dataset, options);
}

/** Quantizes a model: `quantizeWith` bound to this runtime. */
export function quantize(
  source: string | Uint8Array,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: QuantizeOptions & LoadOptions = {},
): Promise<Quantized> {
  return quantizeWith(inlineRuntime(options.signal), source, images, options);
}

async function compile(name: ModuleName): Promise<WebAssembly.Module> {
  // In this entry the build puts bytes in place of modules.
  const bytes = { baseline, relaxed, jpeg, png, webp } as unknown as Partial<Record<ModuleName, BufferSource>>;
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
