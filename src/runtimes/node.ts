/**
 * Node ≥ 20, and Deno and Bun through their `node:` modules: files, the user's cache folder, the npm configuration.
 */
import { createHash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import {
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { homedir, hostname } from "node:os";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import process from "node:process";
import { Worker } from "node:worker_threads";
import registryUrl from "registry-url";
import { type ByteSource, checkRange, type Folder } from "../bytes.ts";
import { type Classifier, type LoadOptions, loadWith } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { ONNX } from "../formats/onnx/format.ts";
import { SAFETENSORS } from "../formats/open.ts";
import { SHARDED } from "../formats/sharded.ts";
import { TFJS } from "../formats/tfjs.ts";
import { TORCH } from "../formats/torch.ts";
import { locate } from "../hub/locate.ts";
import { type Quantized, type QuantizeOptions, quantizeWith } from "../quantizer.ts";
import type { HuggingFace, ModuleName, Runtime, Store, StoreFile, WorkerHandle, WorkerJob } from "../runtime.ts";
import type { Dataset } from "../train/dataset.ts";
import {
  type Finetuned,
  type FinetuneOptions,
  finetuneWith,
  type SourceOptions,
  trainNewWith,
} from "../train/finetune.ts";

export { ONNX } from "../formats/onnx/format.ts";
export { TORCH } from "../formats/torch.ts";
export * from "../index.ts";
export { type Answer, createHandler, type HandlerOptions } from "../server/handler.ts";

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

/** Begins the name of an entry that is being written. */
const TEMPORARY = ".tmp-";
/** Begins the name of one that was given up, from which the next `put` goes on. */
const PARTIAL = ".part-";
/** Ends the name of the note about a file that is not whole. */
const NOTE = ".note~";
const DAY_MS = 24 * 60 * 60 * 1000;
const WEEK_MS = 7 * DAY_MS;
/** Most bytes asked of one read; the system's own limit is 2 GiB. */
const MAX_READ_BYTES = 1 << 30;
const CACHE_HINT = "name another folder with --cache DIR";

/**
 * Starts `node-worker` or `node-preparer`, which lie in runtimes/, also when this is part of the command: as TypeScript in
 * a checkout, as JavaScript in the package.
 */
function startWorker(hear: (message: unknown) => void, died: (reason: string) => void, job: WorkerJob): WorkerHandle {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`../runtimes/node-${job}.${extension}`, import.meta.url));
  let ended = false;
  const end = (reason: string): void => {
    if (!ended) died(reason);
    ended = true;
  };
  worker.on("message", hear);
  worker.on("error", (error) => end(String(error)));
  worker.on("exit", (code) => end(`an exit with code ${code}`));
  return {
    post: (message) => worker.postMessage(message),
    hold: (busy) => (busy ? worker.ref() : worker.unref()),
    terminate() {
      ended = true;
      void worker.terminate();
    },
  };
}

/** The environment of Node and its likes. Each runtime compiles a module once, when it is first asked for. */
export function nodeRuntime(): Runtime {
  const modules = new Map<ModuleName, Promise<WebAssembly.Module>>();
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
    store: (directory = defaultCache()) => store(resolve(directory)),
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
      "cache",
      expectedGot(`module ${name}`, `${path}`, "no such file", "in a checkout: npm run build"),
    );
  }
}

/** The same from src/runtimes/ and from dist/runtimes/. */
function modulePath(name: ModuleName): URL {
  return new URL(`../../wasm/${name}.wasm`, import.meta.url);
}

/** Opens a file for reads at any place. Throws `ModelError` when it is absent, a folder, or not ours to read. */
async function openFile(path: string): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    const info = await handle.stat();
    if (info.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
    return fileSource(path, handle, info.size);
  } catch (error) {
    await handle?.close();
    throw unreadable(path, "a file", error);
  }
}

function fileSource(name: string, handle: FileHandle, size: number): ByteSource {
  const source: ByteSource = {
    name,
    size,
    async read(offset, length) {
      checkRange(source, offset, length);
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await handle.read(bytes, at, Math.min(length - at, MAX_READ_BYTES), offset + at);
        if (bytesRead === 0) {
          throw new ModelError(
            "cache",
            expectedGot(name, `${size} bytes`, `${offset + at}`, "it was cut while being read"),
          );
        }
        at += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
  return source;
}

function folder(name: string): Folder {
  return {
    name,
    open: async (path) => openFile(inside(name, path)),
    async list(path = "") {
      const directory = inside(name, path);
      try {
        const items = await readdir(directory, { withFileTypes: true });
        return items.filter((item) => !item.isDirectory()).map((item) => item.name);
      } catch (error) {
        throw unreadable(directory, "a folder", error);
      }
    },
  };
}

/** `path` beneath `root`. Throws `ModelError` when it would lead out. */
function inside(root: string, path: string): string {
  const whole = join(root, path);
  const way = relative(root, whole);
  if (isAbsolute(path) || isAbsolute(way) || way === ".." || way.startsWith(`..${sep}`)) {
    throw new ModelError("cache", expectedGot(root, "a path inside the folder", path));
  }
  return whole;
}

/** The user's folder for caches, as each system has it. */
function defaultCache(): string {
  const { XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = process.env;
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "resnet-wasm");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "resnet-wasm");
  if (process.platform === "win32" && local !== undefined) return join(local, "resnet-wasm");
  return join(homedir(), ".cache", "resnet-wasm");
}

/** The Hugging Face hub as its own programs are configured (huggingface.co/docs/huggingface_hub, environment variables). */
async function huggingFace(): Promise<HuggingFace> {
  const { HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  const endpoint = (HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
  if (!URL.canParse(endpoint) || !/^https?:/i.test(endpoint)) {
    throw new ModelError("cache", expectedGot("HF_ENDPOINT", "an address such as https://huggingface.co", endpoint));
  }
  const token = HF_TOKEN || (await readFile(HF_TOKEN_PATH || join(home, "token"), "utf8").catch(() => ""));
  if (!/^[\x21-\x7e]*$/.test(token.trim())) {
    throw new ModelError("cache", expectedGot("HF_TOKEN", "a token such as hf_…", "other characters"));
  }
  return { endpoint, token: token.trim() || undefined, cache: HF_HUB_CACHE || join(home, "hub") };
}

/**
 * Entries are folders that appear by a rename, whole. While one is written it is a `.tmp-` folder, named after the
 * process that does it; when that fails with files worth going on with, it becomes a `.part-` folder. The next `put` of
 * the same key takes over such a folder, or one whose process has died, by a rename that only one process can win.
 */
function store(root: string): Store {
  return {
    name: root,
    async get(key) {
      const path = inside(root, key);
      return (await isFolder(path)) ? folder(path) : undefined;
    },
    async put(key, fill) {
      const target = inside(root, key);
      const temporary = await makeTemporary(root, target);
      const written = new Set<string>();
      const open = new Set<StoreFile>();
      try {
        await fill({
          async write(path, bytes) {
            written.add(inside(temporary, path));
            await writeInto(temporary, path, bytes);
          },
          async file(path) {
            const file = await openPartial(inside(temporary, path), written);
            open.add(file);
            return file;
          },
        });
        await prune(temporary, written);
        await moveInto(temporary, target);
      } catch (error) {
        await Promise.all([...open].map((file) => file.close().catch(() => {})));
        await putAside(temporary, partialOf(target), error);
        throw error;
      } finally {
        await rm(temporary, { recursive: true, force: true });
      }
      return folder(target);
    },
  };
}

function partialOf(target: string): string {
  return join(dirname(target), `${PARTIAL}${basename(target)}`);
}

/** The folder in which `target` is made: a new one, or one that was left behind half made. */
async function makeTemporary(root: string, target: string): Promise<string> {
  const parent = dirname(target);
  const begin = `${TEMPORARY}${basename(target)}~`;
  const owner = `${begin}${hostname().replace(/[^\w.-]/g, "_")}~${process.pid}~`;
  try {
    await mkdir(parent, { recursive: true });
    await sweep(parent);
    for (const item of await readdir(parent)) {
      const isLeft = item === basename(partialOf(target)) || (item.startsWith(begin) && hasDied(item));
      if (!isLeft) continue;
      const mine = join(parent, `${owner}${randomUUID().slice(0, 8)}`);
      try {
        await rename(join(parent, item), mine);
        return mine;
      } catch (error) {
        // Another process was quicker.
        if (codeOf(error) !== "ENOENT") throw error;
      }
    }
    return await mkdtemp(join(parent, owner));
  } catch (error) {
    throw new ModelError(
      "cache",
      expectedGot(`cache ${root}`, "a folder that can be written", nameOf(error), CACHE_HINT),
      {
        cause: error,
      },
    );
  }
}

/** Whether the process that a `.tmp-` folder is named after was one of this machine, and is no more. */
function hasDied(item: string): boolean {
  const [host, pid] = item.split("~").slice(-3, -1);
  if (host !== hostname().replace(/[^\w.-]/g, "_") || !/^[1-9]\d*$/.test(pid ?? "")) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return codeOf(error) === "ESRCH";
  }
}

/** Removes what was left behind so long ago that nobody will go on with it. */
async function sweep(parent: string): Promise<void> {
  for (const item of await readdir(parent)) {
    const limit = item.startsWith(TEMPORARY) ? DAY_MS : item.startsWith(PARTIAL) ? WEEK_MS : Number.POSITIVE_INFINITY;
    const path = join(parent, item);
    const age = Date.now() - (await stat(path).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;
    if (age > limit) await rm(path, { recursive: true, force: true });
  }
}

/** Keeps a failed entry for the next `put`, if it has files to go on with and the disk has room. */
async function putAside(temporary: string, partial: string, error: unknown): Promise<void> {
  if (codeOf((error as Error)?.cause) === "ENOSPC") return;
  try {
    const items = await readdir(temporary, { recursive: true });
    if (!items.some((item) => item.endsWith(NOTE))) return;
    const now = new Date();
    await utimes(temporary, now, now);
    await rename(temporary, partial);
  } catch {
    // Another process has put its own aside, or the disk fails: then this one starts anew.
  }
}

/** Removes all but the files written: notes, and what an earlier `put` had begun. */
async function prune(temporary: string, written: ReadonlySet<string>): Promise<void> {
  for (const item of await readdir(temporary, { recursive: true })) {
    const path = join(temporary, item);
    if (!written.has(path) && !(await isFolder(path))) await rm(path);
  }
}

/** A file to append to; what is there already counts only if it has a note. */
async function openPartial(path: string, written: Set<string>): Promise<StoreFile> {
  let note = await readFile(path + NOTE, "utf8").catch(() => undefined);
  let handle: FileHandle | undefined;
  const left = note === undefined ? undefined : await stat(path).catch(() => undefined);
  let size = left?.size ?? 0;
  const opened = async (): Promise<FileHandle> => {
    if (handle === undefined) {
      await mkdir(dirname(path), { recursive: true });
      handle = await open(path, constants.O_RDWR | constants.O_CREAT);
    }
    return handle;
  };
  const writing = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw new ModelError("cache", expectedGot(path, what, nameOf(error), CACHE_HINT), { cause: error });
    }
  };
  return {
    get size() {
      return size;
    },
    get note() {
      return note;
    },
    begin: (text, keep = 0) =>
      writing("a file that can be written", async () => {
        written.add(path);
        const file = await opened();
        if ((await file.stat()).size > keep) await file.truncate(keep);
        size = keep;
        if (text === undefined) await rm(path + NOTE, { force: true });
        else await writeFile(path + NOTE, text);
        note = text;
      }),
    append: (bytes) =>
      writing(`${bytes.byteLength} bytes to be written`, async () => {
        const file = await opened();
        for (let at = 0; at < bytes.byteLength; ) {
          const { bytesWritten } = await file.write(bytes, at, bytes.byteLength - at, size);
          at += bytesWritten;
          size += bytesWritten;
        }
      }),
    read: (offset, length) =>
      writing("a file that can be read", async () => {
        const bytes = new Uint8Array(length);
        const { bytesRead } = await (await opened()).read(bytes, 0, length, offset);
        return bytes.subarray(0, bytesRead);
      }),
    async close() {
      const file = handle;
      handle = undefined;
      await file?.close();
    },
  };
}

async function writeInto(directory: string, path: string, bytes: Uint8Array): Promise<void> {
  const file = inside(directory, path);
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, bytes);
  } catch (error) {
    throw new ModelError(
      "cache",
      expectedGot(file, `${bytes.byteLength} bytes to be written`, nameOf(error), CACHE_HINT),
      {
        cause: error,
      },
    );
  }
}

/** Gives a finished entry its name; an entry that another process finished meanwhile is as good. */
async function moveInto(temporary: string, target: string): Promise<void> {
  try {
    await rename(temporary, target);
  } catch (error) {
    if (await isFolder(target)) return;
    throw new ModelError(
      "cache",
      expectedGot(target, "the finished download to be moved here", nameOf(error), CACHE_HINT),
      {
        cause: error,
      },
    );
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return false;
    throw unreadable(path, "a folder", error);
  }
}

function unreadable(path: string, expected: string, error: unknown): ModelError {
  return new ModelError("cache", expectedGot(path, expected, nameOf(error)), { cause: error });
}

/** A system error in words. */
function nameOf(error: unknown): string {
  switch (codeOf(error)) {
    case "ENOENT":
      return "no such file or folder";
    case "EISDIR":
      return "a folder";
    case "ENOTDIR":
    case "EEXIST":
      return "a file in its way";
    case "EACCES":
    case "EPERM":
      return "no permission";
    case "EROFS":
      return "a read-only disk";
    case "ENOSPC":
      return "a full disk";
    default:
      return (error as Error).message;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string } | undefined)?.code;
}
