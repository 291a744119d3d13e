/**
 * The edge: Cloudflare Workers, and other isolates that import compiled modules and compile nothing themselves. There are no
 * files, no workers and no cache; weights come as bytes or as a stream, which goes into wasm memory as it arrives.
 *
 * Nothing here looks for anything by a URL: `import.meta.url` means nothing in these places.
 */
import baseline from "../../wasm/baseline.wasm";
import jpeg from "../../wasm/jpeg.wasm";
import relaxed from "../../wasm/relaxed.wasm";
import solve from "../../wasm/solve.wasm";
import webp from "../../wasm/webp.wasm";
import { loadWith } from "../classifier.ts";
import { convertWith } from "../convert.ts";
import type { Library } from "../define.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { SAFETENSORS } from "../formats/open.ts";
import { inspectWith } from "../inspect.ts";
import { openModelWith } from "../model.ts";
import { quantizeWith } from "../quantizer.ts";
import type { ModuleName, Runtime } from "../runtime.ts";
import { createHandler as createTimedHandler, type HandlerOptions } from "../server/handler.ts";
import { createTrainerWith } from "../train/create.ts";
import { finetuneWith, trainNewWith } from "../train/finetune.ts";
import { createTeacherWith } from "../train/teacher.ts";
import { tuneWith } from "../tune.ts";
import { imagesTranscoder } from "./cloudflare-images.ts";
import { givenImages, givenModule } from "./init.ts";

export * from "../index.ts";
export type { Answer, HandlerOptions } from "../server/handler.ts";
export type { ImagesBinding } from "./cloudflare-images.ts";
export { type InitOptions, init, type ModuleInit } from "./init.ts";

/** An isolate has 128 MB in all, so large pictures one at a time; and the most that one may take. JPEGs take less, whatever their size. */
const [IMAGE_BYTES, MAX_DECODE_BYTES] = [8e6, 48e6];

const runtime = /* @__PURE__ */ edgeRuntime();

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
/** Nothing is kept here: rejects with ModelError `runtime`. */
export const prefetch: Library["prefetch"] = async () => refuse("a cache");
/** Nothing is kept here: rejects with ModelError `runtime`. */
export const cached: Library["cached"] = async () => refuse("a cache");
/** Nothing is kept here: rejects with ModelError `runtime`. */
export const forget: Library["forget"] = async () => refuse("a cache");
/** Nothing is kept here: rejects with ModelError `runtime`. */
export const usage: Library["usage"] = async () => refuse("a cache");
/** Nothing is kept here: rejects with ModelError `runtime`. */
export const persist: Library["persist"] = async () => refuse("a cache");

/** The HTTP service; its answers do not say how long they took, because the clock of a Worker stands still while it computes. */
export function createHandler(options: HandlerOptions): (request: Request) => Promise<Response> {
  return createTimedHandler({ timed: false, ...options });
}

async function moduleOf(name: ModuleName): Promise<WebAssembly.Module> {
  const given = await givenModule(name);
  if (given !== undefined) return given;
  const imported: Readonly<Partial<Record<ModuleName, WebAssembly.Module>>> = { baseline, relaxed, jpeg, solve, webp };
  const module = imported[name];
  if (module instanceof WebAssembly.Module) return module;
  const hint = `give it to init({ "${name}": { module } })`;
  const got = module === undefined ? "none" : typeof module;
  throw new ModelError("runtime", expectedGot(`module ${name}`, "a WebAssembly.Module", got, hint));
}

function refuse(what: string): never {
  const hint = "load bytes, a stream or a response";
  throw new ModelError("runtime", expectedGot("workerd", `a runtime with ${what}`, "one without", hint));
}

/** The environment of an isolate at the edge. */
export function edgeRuntime(): Runtime {
  return {
    name: "workerd",
    formats: [SAFETENSORS],
    imageBytes: IMAGE_BYTES,
    maxDecodeBytes: MAX_DECODE_BYTES,
    transcodeHeif: imagesTranscoder(givenImages),
    module: async (name) => (name.endsWith(".shared") ? refuse("threads") : moduleOf(name)),
    openFile: async () => refuse("files"),
    folder: () => refuse("files"),
    locate: async () => refuse("names of models"),
    store: () => refuse("a cache"),
    startWorker: () => refuse("threads"),
    registry: async () => refuse("an npm registry"),
    huggingFace: async () => refuse("the Hugging Face hub"),
    hash: () => refuse("downloads to check"),
  };
}
