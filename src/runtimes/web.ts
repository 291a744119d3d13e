/** What pages and workers of a browser share, wherever the modules come from. */
import { sha1 } from "@noble/hashes/legacy.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { type ByteSource, type Folder, fromBytes } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { SAFETENSORS } from "../formats/open.ts";
import { SHARDED } from "../formats/sharded.ts";
import { TFJS } from "../formats/tfjs.ts";
import { codeOfStatus } from "../hub/fetch.ts";
import { locate } from "../hub/locate.ts";
import type { ModuleName, Runtime, Store, StoreFile } from "../runtime.ts";
import { givenModule } from "./init.ts";

/** What differs between a browser's entries. */
export interface WebParts {
  /** Compiles a module that was not given. */
  compile(name: ModuleName): Promise<WebAssembly.Module>;
  startWorker: Runtime["startWorker"];
}

/** The environment of a browser. Each runtime compiles a module once, when it is first asked for. */
export function webRuntime({ compile, startWorker }: WebParts, signal?: AbortSignal): Runtime {
  const modules = new Map<ModuleName, Promise<WebAssembly.Module>>();
  const runtime: Runtime = {
    name: "browser",
    formats: [SAFETENSORS, SHARDED, TFJS],
    module(name) {
      const module = modules.get(name) ?? givenModule(name).then((given) => given ?? compile(name));
      modules.set(name, module);
      return module;
    },
    openFile: (path) => fetchFile(path, signal),
    folder: (path) => folderAt(new URL(path.endsWith("/") ? path : `${path}/`, location.href), signal),
    store: (name = "resnet-wasm") => cacheStore(name),
    async registry() {
      const hint = "serve the model's files and load their URL";
      throw new ModelError("runtime", expectedGot("npm:", "a runtime that knows npm's registry", "a browser", hint));
    },
    async huggingFace() {
      return { endpoint: "https://huggingface.co", token: undefined, cache: undefined };
    },
    hash: (algorithm) => HASHES[algorithm].create(),
    startWorker,
    locate: (source, options) => locate(source, runtime, options),
  };
  return runtime;
}

/** The Web's own hashes want all bytes at once. */
const HASHES = { sha1, sha256, sha512 } as const;

/** A file at a URL, whole. Throws `ModelError` when the server does not give it; the signal's reason when it aborts. */
export async function fetchFile(path: string, signal?: AbortSignal): Promise<ByteSource> {
  const url = new URL(path, location.href).href;
  let response: Response;
  try {
    response = await fetch(url, signal === undefined ? {} : { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ModelError("network", expectedGot(url, "a response", `${cause}`), { subject: url, cause });
  }
  if (!response.ok) {
    const message = expectedGot(url, "a file", `status ${response.status}`);
    throw new ModelError(codeOfStatus(response.status), message, { subject: url });
  }
  return fromBytes(url, new Uint8Array(await response.arrayBuffer()));
}

/** The files below a URL. */
function folderAt(base: URL, signal: AbortSignal | undefined): Folder {
  return {
    name: base.href,
    async open(path) {
      const url = new URL(path, base);
      if (!url.href.startsWith(base.href)) {
        throw new ModelError("malformed", expectedGot(base.href, "a file inside", path), { subject: path });
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
      if (found === undefined) throw new ModelError("cache", expectedGot(`${name}/${key}`, path, "no such file"));
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
  throw new ModelError(
    "cache",
    expectedGot("cache", "a secure page, of https: or localhost", "a page without the Cache API"),
  );
}

async function kept(path: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (cause) {
    const got = (cause as Error)?.name === "QuotaExceededError" ? "a full disk" : `${cause}`;
    throw new ModelError("cache", expectedGot(path, "a file that can be kept in the cache", got), { cause });
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
      if (keep > 0)
        throw new ModelError("cache", expectedGot(path, "a download that starts anew", `one from byte ${keep}`));
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
      throw new ModelError("cache", expectedGot(path, "a download that starts anew", "one that goes on"));
    },
    async close() {
      await writer?.close().catch(() => stored);
      await stored;
      writer = undefined;
    },
    abort,
  };
}
