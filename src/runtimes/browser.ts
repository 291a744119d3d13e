/**
 * Browsers: files are URLs, downloads are kept in the Cache API, and more than one thread wants a cross-origin-isolated page.
 */
import { sha1 } from "@noble/hashes/legacy.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { type ByteSource, type Folder, fromBytes } from "../bytes.ts";
import { type Classifier, type LoadOptions, loadWith } from "../classifier.ts";
import type { Dataset } from "../dataset.ts";
import { type Finetuned, type FinetuneOptions, finetuneWith, type SourceOptions, trainNewWith } from "../finetune.ts";
import { SAFETENSORS, TFJS } from "../formats/open.ts";
import { SHARDED } from "../formats/sharded.ts";
import type { ImageInput } from "../input.ts";
import { type Quantized, type QuantizeOptions, quantizeWith } from "../quantizer.ts";
import type { ModuleName, Runtime, Store, StoreFile, WorkerHandle, WorkerJob } from "../runtime.ts";
import { complaint, ModelError } from "../tensor.ts";

export * from "../index.ts";

/**
 * Loads a model in a page or a web worker: `loadWith` bound to this runtime.
 *
 * @param source a URL, relative to the page, or the bytes of a safetensors file
 * @throws ModelError when there is no model or it is not what it says; RangeError when memory or an option is out of range
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
  return trainNewWith(browserRuntime(), arch, dataset, options);
}

/** Quantizes a model: `quantizeWith` bound to this runtime. */
export function quantize(
  source: string | Uint8Array,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: QuantizeOptions & LoadOptions = {},
): Promise<Quantized> {
  return quantizeWith(browserRuntime(options.signal), source, images, options);
}

/** Where each module lies. Literal, one by one, because bundlers follow nothing cleverer. */
const MODULES: Readonly<Record<ModuleName, () => URL>> = {
  baseline: () => new URL("../../wasm/baseline.wasm", import.meta.url),
  relaxed: () => new URL("../../wasm/relaxed.wasm", import.meta.url),
  "baseline.shared": () => new URL("../../wasm/baseline.shared.wasm", import.meta.url),
  "relaxed.shared": () => new URL("../../wasm/relaxed.shared.wasm", import.meta.url),
  jpeg: () => new URL("../../wasm/jpeg.wasm", import.meta.url),
  png: () => new URL("../../wasm/png.wasm", import.meta.url),
  webp: () => new URL("../../wasm/webp.wasm", import.meta.url),
};

/** The environment of a page. Each runtime compiles a module once, when it is first asked for. */
export function browserRuntime(signal?: AbortSignal): Runtime {
  const modules = new Map<ModuleName, Promise<WebAssembly.Module>>();
  return {
    name: "browser",
    formats: [SAFETENSORS, SHARDED, TFJS],
    module(name) {
      const module = modules.get(name) ?? compile(MODULES[name]());
      modules.set(name, module);
      return module;
    },
    openFile: (path) => fetchFile(path, signal),
    folder: (path) => folderAt(new URL(path.endsWith("/") ? path : `${path}/`, location.href), signal),
    store: (name = "resnet-wasm") => cacheStore(name),
    async registry() {
      throw new ModelError(
        complaint(
          "npm:",
          "a runtime that knows npm's registry",
          "a browser",
          "serve the model's files and load their URL",
        ),
      );
    },
    async huggingFace() {
      return { endpoint: "https://huggingface.co", token: undefined, cache: undefined };
    },
    hash: (algorithm) => HASHES[algorithm].create(),
    startWorker,
  };
}

/** The Web's own hashes want all bytes at once. */
const HASHES = { sha1, sha256, sha512 } as const;

async function compile(url: URL): Promise<WebAssembly.Module> {
  const { name, read, size } = await fetchFile(url.href);
  const bytes = await read(0, size);
  if (bytes[0] !== 0x00 || bytes[1] !== 0x61) {
    const got = bytes[0] === 0x3c ? "a web page" : "something else";
    throw new ModelError(
      complaint(name, "a WebAssembly module", got, "the server must serve the package's wasm folder"),
    );
  }
  return WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
}

/** A file at a URL, whole. Throws `ModelError` when the server does not give it; the signal's reason when it aborts. */
async function fetchFile(path: string, signal?: AbortSignal): Promise<ByteSource> {
  const url = new URL(path, location.href).href;
  const wanted = signal === undefined ? {} : { signal };
  let response: Response;
  try {
    response = await fetch(url, wanted);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ModelError(complaint(url, "an answer", `${cause}`), { cause });
  }
  if (!response.ok) throw new ModelError(complaint(url, "a file", `status ${response.status}`));
  return fromBytes(url, new Uint8Array(await response.arrayBuffer()));
}

/** The files below a URL. */
function folderAt(base: URL, signal: AbortSignal | undefined): Folder {
  return {
    name: base.href,
    async open(path) {
      const url = new URL(path, base);
      if (!url.href.startsWith(base.href)) {
        throw new ModelError(complaint(base.href, "a file inside", path));
      }
      return fetchFile(url.href, signal);
    },
  };
}

/** Entries are whole files of one cache, keyed by path; a file that says so last marks an entry complete. */
function cacheStore(name: string): Store {
  const addressOf = (key: string, path: string): string => `https://cache.invalid/${encodeURI(key)}/${encodeURI(path)}`;
  const folderOf = (cache: Cache, key: string): Folder => ({
    name: `${name}/${key}`,
    async open(path) {
      const found = await cache.match(addressOf(key, path));
      if (found === undefined) throw new ModelError(complaint(`${name}/${key}`, path, "no such file"));
      return fromBytes(`${key}/${path}`, new Uint8Array(await found.arrayBuffer()));
    },
  });
  return {
    name,
    async get(key) {
      const cache = await openCache(name);
      return (await cache.match(addressOf(key, ".complete"))) === undefined ? undefined : folderOf(cache, key);
    },
    async put(key, fill) {
      const cache = await openCache(name);
      const written = new Set<string>();
      const files: CacheFile[] = [];
      try {
        await fill({
          write: (path, bytes) => {
            written.add(addressOf(key, path));
            return kept(path, cache.put(addressOf(key, path), new Response(bytes as Uint8Array<ArrayBuffer>)));
          },
          async file(path) {
            const file = cacheFile(cache, path, addressOf(key, path), written);
            files.push(file);
            return file;
          },
        });
        await cache.put(addressOf(key, ".complete"), new Response());
      } catch (error) {
        await Promise.all(files.map((file) => file.abort()));
        for (const address of written) await cache.delete(address);
        throw error;
      }
      return folderOf(cache, key);
    },
  };
}

async function openCache(name: string): Promise<Cache> {
  if (globalThis.caches !== undefined) return caches.open(name);
  throw new ModelError(complaint("cache", "a secure page, of https: or localhost", "a page without the Cache API"));
}

async function kept(path: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (cause) {
    const got = (cause as Error)?.name === "QuotaExceededError" ? "a full disk" : `${cause}`;
    throw new ModelError(complaint(path, "a file that can be kept in the cache", got), { cause });
  }
}

interface CacheFile extends StoreFile {
  /** Gives the file up, if it is not closed. */
  abort(): Promise<void>;
}

/** A file that streams into the cache. It goes on within one `put`, but not in a later one. */
function cacheFile(cache: Cache, path: string, address: string, written: Set<string>): CacheFile {
  let note: string | undefined;
  let size = 0;
  let writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  let stored: Promise<void> = Promise.resolve();
  const abort = async (): Promise<void> => {
    await writer?.abort().catch(() => {});
    await stored.catch(() => {});
    writer = undefined;
    size = 0;
  };
  return {
    get size() {
      return size;
    },
    get note() {
      return note;
    },
    async begin(text, keep = 0) {
      note = text;
      if (keep === size && writer !== undefined) return;
      await abort();
      if (keep > 0) throw new ModelError(complaint(path, "a download that starts anew", `one from byte ${keep}`));
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
      written.add(address);
      stored = kept(path, cache.put(address, new Response(readable)));
      stored.catch((error) => writable.abort(error).catch(() => {}));
      writer = writable.getWriter();
    },
    async append(bytes) {
      // What stops the writer is said by the cache.
      await writer!.write(bytes).catch(() => stored);
      size += bytes.byteLength;
    },
    async read() {
      throw new ModelError(complaint(path, "a download that starts anew", "one that goes on"));
    },
    async close() {
      await writer?.close().catch(() => stored);
      await stored;
      writer = undefined;
    },
    abort,
  };
}

function startWorker(hear: (message: unknown) => void, died: (reason: string) => void, job: WorkerJob): WorkerHandle {
  // Bundlers understand a literal address and nothing else.
  const worker =
    job === "worker"
      ? new Worker(new URL("./browser-worker.js", import.meta.url), { type: "module" })
      : new Worker(new URL("./browser-preparer.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }) => hear(data));
  worker.addEventListener("error", (event) => died(event.message || "an error while it started"));
  return {
    post: (message) => worker.postMessage(message),
    // A page lives as long as its reader wants.
    hold() {},
    terminate: () => worker.terminate(),
  };
}
