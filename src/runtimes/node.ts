/**
 * Node ≥ 20, and Deno and Bun through their `node:` modules: files, the user's cache folder, the npm configuration.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Worker } from "node:worker_threads";
import registryUrl from "registry-url";
import { type Classifier, type LoadOptions, loadWith } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { expectedGot, ModelError, OptionError } from "../errors.ts";
import { ONNX } from "../formats/onnx/format.ts";
import { SAFETENSORS } from "../formats/open.ts";
import { SHARDED } from "../formats/sharded.ts";
import { TFJS } from "../formats/tfjs.ts";
import { TORCH } from "../formats/torch.ts";
import { locate } from "../hub/locate.ts";
import { type Quantized, type QuantizeOptions, quantizeWith } from "../quantizer.ts";
import type { HuggingFace, ModuleName, Runtime, WorkerHandle, WorkerJob } from "../runtime.ts";
import type { Dataset } from "../train/dataset.ts";
import {
  type Finetuned,
  type FinetuneOptions,
  finetuneWith,
  type SourceOptions,
  trainNewWith,
} from "../train/finetune.ts";
import type { VerifiedFiles } from "./node-digests.ts";
import { codeOf, folder, openFile } from "./node-files.ts";
import { diskStore } from "./node-store.ts";

export { ONNX } from "../formats/onnx/format.ts";
export { TORCH } from "../formats/torch.ts";
export * from "../index.ts";
export { type Answer, createHandler, type HandlerOptions } from "../server/handler.ts";
export { enableWideVectors } from "./node-vectors.ts";

/**
 * Loads a model in Node, Deno or Bun: `loadWith` bound to this runtime.
 *
 * @param source a short name (`resnet50`), a path, `npm:package@version/path`, `hf:owner/repo`, a URL, or the bytes of a safetensors file
 * @throws ModelError when there is no model or it is not what it says; RangeError when memory or an option is out of range
 */
export function load(source: string | Uint8Array, options: LoadOptions = {}): Promise<Classifier> {
  return loadWith(nodeRuntime(), source, options);
}

/** Fine-tunes a model on labelled images: `finetuneWith` bound to this runtime. */
export function finetune(
  source: string | Uint8Array,
  dataset: Dataset,
  options: FinetuneOptions & SourceOptions = {},
): Promise<Finetuned> {
  return finetuneWith(nodeRuntime(), source, dataset, options);
}

/** Trains a network from scratch: `trainNewWith` bound to this runtime. */
export function train(arch: string, dataset: Dataset, options: FinetuneOptions = {}): Promise<Finetuned> {
  return trainNewWith(nodeRuntime(), arch, dataset, options);
}

/** Quantizes a model: `quantizeWith` bound to this runtime. */
export function quantize(
  source: string | Uint8Array,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: QuantizeOptions & LoadOptions = {},
): Promise<Quantized> {
  return quantizeWith(nodeRuntime(), source, images, options);
}

/**
 * Starts `node-worker` or `node-preparer`, which lie in runtimes/, also when this is part of the command: as TypeScript in
 * a checkout, as JavaScript in the package.
 */
function startWorker(
  onMessage: (message: unknown) => void,
  onExit: (reason: string) => void,
  job: WorkerJob,
): WorkerHandle {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`../runtimes/node-${job}.${extension}`, import.meta.url));
  let ended = false;
  const end = (reason: string): void => {
    if (!ended) onExit(reason);
    ended = true;
  };
  worker.on("message", onMessage);
  worker.on("error", (error) => end(String(error)));
  worker.on("exit", (code) => end(`an exit with code ${code}`));
  return {
    post: (message) => worker.postMessage(message),
    setBusy: (busy) => (busy ? worker.ref() : worker.unref()),
    terminate() {
      ended = true;
      void worker.terminate();
    },
  };
}

/** The environment of Node and its likes. Each runtime compiles a module once, when it is first asked for. */
export function nodeRuntime(): Runtime {
  const modules = new Map<ModuleName, Promise<WebAssembly.Module>>();
  const verified: VerifiedFiles = new Map();
  const runtime: Runtime = {
    formats: [SAFETENSORS, SHARDED, TFJS, TORCH, ONNX],
    name: "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node",
    module(name) {
      const module = modules.get(name) ?? compile(name);
      modules.set(name, module);
      return module;
    },
    openFile,
    folder,
    startWorker,
    store: (directory) => diskStore(directory, verified),
    async registry() {
      const url = process.env.npm_config_registry || registryUrl();
      return url.endsWith("/") ? url : `${url}/`;
    },
    huggingFace,
    hash: (algorithm) => createHash(algorithm),
    locate: (source, options) => locate(source, runtime, options),
  };
  return runtime;
}

async function compile(name: ModuleName): Promise<WebAssembly.Module> {
  const path = modulePath(name);
  try {
    return await WebAssembly.compile(await readFile(path));
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    throw new ModelError(
      "runtime",
      expectedGot(`module ${name}`, `${path}`, "no such file", "in a checkout: npm run build"),
    );
  }
}

/** The same from src/runtimes/ and from dist/runtimes/. */
function modulePath(name: ModuleName): URL {
  return new URL(`../../wasm/${name}.wasm`, import.meta.url);
}

/** The Hugging Face hub as its own programs are configured (huggingface.co/docs/huggingface_hub, environment variables). */
async function huggingFace(): Promise<HuggingFace> {
  const { HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  const endpoint = (HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
  if (!URL.canParse(endpoint) || !/^https?:/i.test(endpoint)) {
    throw new OptionError(
      "HF_ENDPOINT",
      expectedGot("HF_ENDPOINT", "an address such as https://huggingface.co", endpoint),
    );
  }
  const token = HF_TOKEN || (await readFile(HF_TOKEN_PATH || join(home, "token"), "utf8").catch(() => ""));
  if (!/^[\x21-\x7e]*$/.test(token.trim())) {
    throw new OptionError("HF_TOKEN", expectedGot("HF_TOKEN", "a token such as hf_…", "other characters"));
  }
  return { endpoint, token: token.trim() || undefined, cache: HF_HUB_CACHE || join(home, "hub") };
}
