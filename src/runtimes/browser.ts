/**
 * Browsers: files are URLs, downloads are kept in the Cache API, and more than one thread wants a cross-origin-isolated page.
 */
import { type Classifier, type LoadOptions, loadWith } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { type Quantized, type QuantizeOptions, quantizeWith } from "../quantizer.ts";
import type { Dataset } from "../train/dataset.ts";
import {
  type Finetuned,
  type FinetuneOptions,
  finetuneWith,
  type SourceOptions,
  trainNewWith,
} from "../train/finetune.ts";
import { browserRuntime } from "./page.ts";

export * from "../index.ts";
export { init, type ModuleInit } from "./init.ts";
export { browserRuntime } from "./page.ts";

/**
 * Loads a model in a page or a web worker: `loadWith` bound to this runtime.
 *
 * @param source a URL, relative to the page, or the bytes of a safetensors file
 * @throws ModelError when there is no model or it is not what it says; RangeError when memory or an option is out of
 * range; the signal's reason when it aborts
 */
export function load(source: string | Uint8Array, options: LoadOptions = {}): Promise<Classifier> {
  return loadWith(browserRuntime(options.signal), source, options);
}

/** Fine-tunes a model on labelled images: `finetuneWith` bound to this runtime. */
export function finetune(
  source: string | Uint8Array,
  dataset: Dataset,
  options: FinetuneOptions & SourceOptions = {},
): Promise<Finetuned> {
  return finetuneWith(browserRuntime(options.signal), source, dataset, options);
}

/** Trains a network from scratch: `trainNewWith` bound to this runtime. */
export function train(arch: string, dataset: Dataset, options: FinetuneOptions = {}): Promise<Finetuned> {
  return trainNewWith(browserRuntime(options.signal), arch, dataset, options);
}

/** Quantizes a model: `quantizeWith` bound to this runtime. */
export function quantize(
  source: string | Uint8Array,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: QuantizeOptions & LoadOptions = {},
): Promise<Quantized> {
  return quantizeWith(browserRuntime(options.signal), source, images, options);
}
