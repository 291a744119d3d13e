/**
 * Node ≥ 20, and Deno and Bun through their `node:` modules: files, the user's cache folder, the npm configuration.
 */
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
  writeFile,
} from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import process from "node:process";
import { Worker } from "node:worker_threads";
import registryUrl from "registry-url";
import { type ByteSource, checkRange, type Folder } from "../bytes.ts";
import { type Classifier, type ImageInput, type LoadOptions, loadWith } from "../classifier.ts";
import { ONNX } from "../formats/onnx.ts";
import { SAFETENSORS, TFJS } from "../formats/open.ts";
import { TORCH } from "../formats/torch.ts";
import { type Quantized, type QuantizeOptions, quantizeWith } from "../quantizer.ts";
import type { ModuleName, Runtime, Store, WorkerHandle } from "../runtime.ts";
import { complaint, ModelError } from "../tensor.ts";

export { ONNX } from "../formats/onnx.ts";
export { TORCH } from "../formats/torch.ts";
export * from "../index.ts";

/**
 * Loads a model in Node, Deno or Bun: `loadWith` bound to this runtime.
 *
 * @param source a short name (`resnet50`), a path, `npm:package@version/path`, or the bytes of a safetensors file
 * @throws ModelError when there is no model or it is not what it says; RangeError when memory or an option is out of range
 */
export function load(source: string | Uint8Array, options: LoadOptions = {}): Promise<Classifier> {
  return loadWith(nodeRuntime(), source, options);
}

/** Quantizes a model: `quantizeWith` bound to this runtime. */
export function quantize(
  source: string | Uint8Array,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: QuantizeOptions & LoadOptions = {},
): Promise<Quantized> {
  return quantizeWith(nodeRuntime(), source, images, options);
}

const TEMPORARY = ".tmp-";
const DAY_MS = 24 * 60 * 60 * 1000;
/** Most bytes asked of one read; the system's own limit is 2 GiB. */
const MAX_READ_BYTES = 1 << 30;
const CACHE_HINT = "name another folder with --cache DIR";

/** Starts `node-worker`, which lies beside this file: as TypeScript in a checkout, as JavaScript in the package. */
function startWorker(hear: (message: unknown) => void, died: (reason: string) => void): WorkerHandle {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`./node-worker.${extension}`, import.meta.url));
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
  return {
    formats: [SAFETENSORS, TFJS, TORCH, ONNX],
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
  };
}

async function compile(name: ModuleName): Promise<WebAssembly.Module> {
  const path = modulePath(name);
  try {
    return await WebAssembly.compile(await readFile(path));
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    throw new ModelError(complaint(`module ${name}`, `${path}`, "no such file", "in a checkout: npm run build"));
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
          throw new ModelError(complaint(name, `${size} bytes`, `${offset + at}`, "it was cut while being read"));
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
    throw new ModelError(complaint(root, "a path inside the folder", path));
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

/**
 * Entries are folders that appear by a rename, whole. What a killed process leaves is a `.tmp-` folder, which is
 * nobody's entry; the next `put` beside it removes it when it is a day old.
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
      const temporary = await makeTemporary(root, dirname(target));
      try {
        await fill({ write: (path, bytes) => writeInto(temporary, path, bytes) });
        await moveInto(temporary, target);
      } finally {
        await rm(temporary, { recursive: true, force: true });
      }
      return folder(target);
    },
  };
}

async function makeTemporary(root: string, parent: string): Promise<string> {
  try {
    await mkdir(parent, { recursive: true });
    await sweep(parent);
    return await mkdtemp(join(parent, TEMPORARY));
  } catch (error) {
    throw new ModelError(complaint(`cache ${root}`, "a folder that can be written", nameOf(error), CACHE_HINT), {
      cause: error,
    });
  }
}

/** Removes what processes that were killed left behind. */
async function sweep(parent: string): Promise<void> {
  for (const item of await readdir(parent)) {
    if (!item.startsWith(TEMPORARY)) continue;
    const path = join(parent, item);
    const age = Date.now() - (await stat(path).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;
    if (age > DAY_MS) await rm(path, { recursive: true, force: true });
  }
}

async function writeInto(directory: string, path: string, bytes: Uint8Array): Promise<void> {
  const file = inside(directory, path);
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, bytes);
  } catch (error) {
    throw new ModelError(complaint(file, `${bytes.byteLength} bytes to be written`, nameOf(error), CACHE_HINT), {
      cause: error,
    });
  }
}

/** Gives a finished entry its name; an entry that another process finished meanwhile is as good. */
async function moveInto(temporary: string, target: string): Promise<void> {
  try {
    await rename(temporary, target);
  } catch (error) {
    if (await isFolder(target)) return;
    throw new ModelError(complaint(target, "the finished download to be moved here", nameOf(error), CACHE_HINT), {
      cause: error,
    });
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
  return new ModelError(complaint(path, expected, nameOf(error)), { cause: error });
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
  return (error as { code?: string }).code;
}
