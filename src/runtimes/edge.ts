/**
 * The edge: Cloudflare Workers, and other isolates that import compiled modules and compile nothing themselves. There are no
 * files, no workers and no cache; weights come as bytes or as a stream, which goes into wasm memory as it arrives.
 *
 * Nothing here looks for anything by a URL: `import.meta.url` means nothing in these places.
 */
import baseline from "../../wasm/baseline.wasm";
import jpeg from "../../wasm/jpeg.wasm";
import png from "../../wasm/png.wasm";
import relaxed from "../../wasm/relaxed.wasm";
import webp from "../../wasm/webp.wasm";
import { type ByteSource, fromStream } from "../bytes.ts";
import { type Classifier, type LoadOptions, loadWith } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { ArgumentTypeError, expectedGot, ModelError } from "../errors.ts";
import { SAFETENSORS } from "../formats/open.ts";
import { type Quantized, type QuantizeOptions, quantizeWith } from "../quantizer.ts";
import type { ModuleName, Runtime } from "../runtime.ts";
import { createHandler as createTimedHandler, type HandlerOptions } from "../server/handler.ts";
import type { Dataset } from "../train/dataset.ts";
import { type Finetuned, type FinetuneOptions, finetuneWith, type SourceOptions } from "../train/finetune.ts";
import { givenModule } from "./init.ts";

export { fromBytes, fromStream } from "../bytes.ts";
export * from "../index.ts";
export type { Answer, HandlerOptions } from "../server/handler.ts";
export { init, type ModuleInit } from "./init.ts";

/** Weights as the edge has them: a safetensors file. */
export type EdgeSource = Uint8Array | ArrayBuffer | ReadableStream<Uint8Array> | Response | ByteSource;

/**
 * Loads a model. A stream, or the body of a response, is packed tensor by tensor as it arrives, so that the file is never
 * in memory beside its packed weights; this project's own files are in the order that this needs.
 *
 * @param source the bytes of a safetensors file, a stream of them, a response with them (`await env.ASSETS.fetch(…)`,
 * `await fetch(…)`), or a source of one's own
 * @throws ModelError when the file is not what it says, or is cut short; RangeError when memory or an option is out of range
 */
export async function load(source: EdgeSource, options: LoadOptions = {}): Promise<Classifier> {
  return loadWith(edgeRuntime(), sourceOf(source), options);
}

/**
 * Fine-tunes a model on labelled images: `finetuneWith` bound to this runtime.
 *
 * @param source the bytes of a safetensors file
 */
export function finetune(
  source: Uint8Array,
  dataset: Dataset,
  options: FinetuneOptions & SourceOptions = {},
): Promise<Finetuned> {
  return finetuneWith(edgeRuntime(), source, dataset, options);
}

/** Quantizes a model: `quantizeWith` bound to this runtime. */
export function quantize(
  source: Uint8Array,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: QuantizeOptions & LoadOptions = {},
): Promise<Quantized> {
  return quantizeWith(edgeRuntime(), source, images, options);
}

/** The HTTP service; its answers do not say how long they took, because the clock of a Worker stands still while it computes. */
export function createHandler(options: HandlerOptions): (request: Request) => Promise<Response> {
  return createTimedHandler({ timed: false, ...options });
}

async function moduleOf(name: ModuleName): Promise<WebAssembly.Module> {
  const given = await givenModule(name);
  if (given !== undefined) return given;
  const imported: Readonly<Partial<Record<ModuleName, WebAssembly.Module>>> = { baseline, relaxed, jpeg, png, webp };
  const module = imported[name];
  if (module instanceof WebAssembly.Module) return module;
  const hint = `give it to init({ "${name}": { module } })`;
  const got = module === undefined ? "none" : typeof module;
  throw new ModelError("runtime", expectedGot(`module ${name}`, "a WebAssembly.Module", got, hint));
}

function sourceOf(source: EdgeSource): Uint8Array | ByteSource {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (source instanceof ReadableStream) return fromStream("stream", source);
  if (source instanceof Response) {
    const name = source.url || "response";
    if (!source.ok || source.body === null) {
      throw new ModelError("runtime", expectedGot(name, "a response with weights", `status ${source.status}`));
    }
    // Of a compressed body the length is another.
    const isPlain = source.headers.get("Content-Encoding") === null;
    const length = isPlain ? Number(source.headers.get("Content-Length") ?? Number.NaN) : Number.NaN;
    return fromStream(name, source.body, Number.isSafeInteger(length) ? length : undefined);
  }
  if (typeof source === "object" && source !== null && "read" in source) return source;
  throw new ArgumentTypeError(
    "weights",
    expectedGot("weights", "bytes, a stream, a response or a ByteSource", typeof source),
  );
}

/** The environment of an isolate at the edge. */
export function edgeRuntime(): Runtime {
  const refuse = (what: string): never => {
    const hint = "load bytes, a stream or a response";
    throw new ModelError("runtime", expectedGot("workerd", `a runtime with ${what}`, "one without", hint));
  };
  return {
    name: "workerd",
    formats: [SAFETENSORS],
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
