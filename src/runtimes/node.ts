/**
 * Node ≥ 20, and Deno and Bun through their `node:` modules: files, the user's cache folder, the npm configuration.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import registryUrl from "registry-url";
import { loadWith } from "../classifier.ts";
import { requestCollection } from "../collect.ts";
import { convertWith } from "../convert.ts";
import { drawn } from "../decode/drawable.ts";
import { keeping, type Library } from "../define.ts";
import { measureDots } from "../dots.ts";
import { expectedGot, ModelError, OptionError } from "../errors.ts";
import { SHARDED, TFJS } from "../formats/json.ts";
import { ONNX } from "../formats/onnx/format.ts";
import { SAFETENSORS } from "../formats/open.ts";
import { TORCH } from "../formats/torch/format.ts";
import { locate } from "../hub/locate.ts";
import { inspectWith } from "../inspect.ts";
import { openModelWith } from "../model.ts";
import { quantizeWith } from "../quantizer.ts";
import type { HuggingFace, ModuleName, Runtime, WorkerHandle, WorkerJob } from "../runtime.ts";
import { createTrainerWith } from "../train/create.ts";
import { finetuneWith, trainNewWith } from "../train/finetune.ts";
import { createTeacherWith } from "../train/teacher.ts";
import { tuneWith } from "../tune.ts";
import { withTwins } from "../twins.ts";
import { measureVectors } from "../vectors.ts";
import { cachedEntries, removeEntry } from "./node-cache.ts";
import type { VerifiedFiles } from "./node-digests.ts";
import { codeOf, folder, openFile } from "./node-files.ts";
import { decodeHeif } from "./node-heif.ts";
import { checkNode, packageFile } from "./node-package.ts";
import { diskStore } from "./node-store.ts";
import { mayPackPairs } from "./node-vectors.ts";

export * from "../index.ts";
export { type Answer, createHandler, type HandlerOptions } from "../server/handler.ts";
export { enableWideVectors } from "./node-vectors.ts";

const runtime = /* @__PURE__ */ withTwins(/* @__PURE__ */ nodeRuntime());

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

/** Starts `node-worker`, `node-replica` or `node-preparer`, which are in runtimes/, also when this is part of the command. */
function startWorker(
  onMessage: (message: unknown) => void,
  onExit: (reason: string) => void,
  job: WorkerJob,
  nice?: number,
): WorkerHandle {
  const worker = new Worker(packageFile(`dist/runtimes/node-${job}.js`), { workerData: { nice } });
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
    async terminate() {
      ended = true;
      await worker.terminate();
    },
  };
}

/**
 * The environment of Node and its likes. Each runtime compiles a module once, when it is first asked for.
 *
 * @param replicaNice the niceness of replicas on Linux, where the caller's thread is to go first
 * @param models the folder of weights that ship with the package, instead of its own
 */
export function nodeRuntime({
  replicaNice,
  models,
}: {
  readonly replicaNice?: number;
  readonly models?: string;
} = {}): Runtime {
  checkNode(process.versions.node);
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
    decodeHeif,
    measure: {
      async vectors(build) {
        const may = mayPackPairs();
        if (may === false) return 128;
        // On two busy cores optimised code was late in one of 20 processes, and what packs was taken for what does not.
        return (await measureVectors(runtime, build, may === true ? 10 : 1)).vectors;
      },
      dots: (build) => measureDots(runtime, build),
    },
    collect: requestCollection,
    drawn,
    openFile,
    folder,
    shipped: () => folder(models ?? fileURLToPath(packageFile("models/"))),
    startWorker: (onMessage, onExit, job) => startWorker(onMessage, onExit, job, replicaNice),
    store(directory) {
      const store = diskStore(directory, verified);
      return {
        ...store,
        list: () => cachedEntries(store.name),
        remove: (key) => removeEntry(store.name, key),
      };
    },
    async registry() {
      const url = process.env.npm_config_registry || registryUrl();
      return url.endsWith("/") ? url : `${url}/`;
    },
    huggingFace,
    hash: (algorithm) => createHash(algorithm),
    locate: (source, options) => locate(/^file:/i.test(source) ? fileURLToPath(source) : source, runtime, options),
  };
  return runtime;
}

async function compile(name: ModuleName): Promise<WebAssembly.Module> {
  const path = packageFile(`wasm/${name}.wasm`);
  try {
    return await WebAssembly.compile(await readFile(path));
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    throw new ModelError(
      "runtime",
      expectedGot(
        `module ${name}`,
        `${path}`,
        "no such file",
        "install resnet-wasm beside a bundle; in a checkout: npm run build",
      ),
    );
  }
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
