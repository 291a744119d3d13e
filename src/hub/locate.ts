/**
 * From the name of a model to its bytes: a local path, a file of a package in the npm registry, a repository of the
 * Hugging Face hub, or a URL. What is fetched is checked, and kept in the user's cache.
 */
import type { Folder } from "../bytes.ts";
import { ArgumentTypeError, expectedGot, ModelError } from "../errors.ts";
import { readConfig } from "../models/config.ts";
import type { Located, LocateOptions, Runtime } from "../runtime.ts";
import { isNameLike, isRepositoryLike, unknownName } from "./bare.ts";
import { modelAmong } from "./find.ts";
import { locateRepository } from "./huggingface.ts";
import { openPackage, parseNpm } from "./npm.ts";
import { locateShipped } from "./shipped.ts";
import { locateUrl } from "./url.ts";

const SOURCES = "a path or npm:package@version/path, owner/repo or hf:owner/repo, https://host/path";

/**
 * Finds a model. `source` is one of
 *
 * - the path of a file, or of a folder with one model in it;
 * - `npm:package@version/path/inside`; without the path to a file, the one model in the package or in that folder of it;
 * - `hf:owner/repo`, with `@revision` and `/file` if need be: weights, `config.json` and `preprocessor_config.json`. A
 *   branch is what it was when it was first fetched; name a commit to be sure of it;
 * - `owner/repo` (`@revision`): the same, unless there is a file or folder of that name. Where folders cannot be listed, which is
 *   in pages, nothing is asked for under that name: `./owner/repo` is a path;
 * - `package:file`: weights that ship with this package;
 * - an `https:` address of one file, with `#sha256=…` if need be; the shards of a `model.json` come with it.
 *
 * What the cache does not have is downloaded. So is what is damaged there, and what does not have the checksum that is
 * asked for now; the old one stays until the new one is whole. After a failure, an abort included, the cache is as it
 * was, save for the part of a file that the next download resumes from.
 *
 * @throws ArgumentTypeError for a source that cannot be read as one; ModelError when there is no such model, no network,
 * or the bytes are not the promised ones; the signal's reason when it aborts
 */
export async function locate(source: string, runtime: Runtime, options: LocateOptions = {}): Promise<Located> {
  const located = await find(source, runtime, options);
  if (options.beside === false) return located;
  return { ...located, hints: (wanted) => readConfig(located.folder, wanted) };
}

async function find(source: string, runtime: Runtime, options: LocateOptions): Promise<Located> {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(source)?.[1]?.toLowerCase();
  if (scheme === "npm") {
    const npm = parseNpm(source);
    const folder = await openPackage(npm, runtime, options);
    return { folder, entry: await entryIn(folder, npm.path, npm.id) };
  }
  if (scheme === "package") return locateShipped(source, runtime, options.signal);
  if (scheme === "hf") return locateRepository(source, runtime, options);
  if (scheme === "https" || scheme === "http") return locateUrl(source, runtime, options);
  if (source === "" || scheme !== undefined) {
    throw new ArgumentTypeError("source", expectedGot("hub", SOURCES, source || "an empty name"));
  }
  if (isRepositoryLike(source)) return locateRepositoryOrFile(source, runtime, options);
  try {
    return await locateFile(source, runtime, options.signal);
  } catch (error) {
    if (!isNameLike(source) || !isNotFound(error) || (await isFolder(source, runtime))) throw error;
    throw unknownName(source, error);
  }
}

/** `owner/repo`: what is here by that name, else the repository. */
async function locateRepositoryOrFile(source: string, runtime: Runtime, options: LocateOptions): Promise<Located> {
  const { list } = runtime.folder(source, options.signal);
  if (list !== undefined) {
    try {
      const located = await locateFile(source, runtime, options.signal);
      return { ...located, assumed: `"${source}" is a path here; hf:${source} is the repository of that name` };
    } catch (error) {
      if (!isNotFound(error) || (await isFolder(source, runtime))) throw error;
    }
  }
  const assumed = `"${source}" is hf:${source}, ${list === undefined ? `and ./${source} a path` : "because there is no such path"}`;
  try {
    return { ...(await locateRepository(`hf:${source}`, runtime, options)), assumed };
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    const { code, message, subject } = error;
    throw new ModelError(code, `${message}\n  hint: ${assumed}`, {
      ...(subject === undefined ? {} : { subject }),
      cause: error,
    });
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof ModelError && error.code === "not-found";
}

/** Whether a path is a folder that is there, with or without a model in it. */
async function isFolder(path: string, runtime: Runtime): Promise<boolean> {
  return (await listed(runtime.folder(path), "")) !== undefined;
}

async function locateFile(path: string, runtime: Runtime, signal: AbortSignal | undefined): Promise<Located> {
  const asFolder = runtime.folder(path, signal);
  const files = await listed(asFolder, "");
  if (files !== undefined) return { folder: asFolder, entry: await modelAmong(asFolder, files, asFolder.name) };
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  const folder = runtime.folder(path.slice(0, cut) || ".", signal);
  const entry = path.slice(cut);
  await checkFile(folder, entry);
  return { folder, entry };
}

/** `path` when it is a file of a package, or the model in it when it is a folder. */
async function entryIn(folder: Folder, path: string, id: string): Promise<string> {
  const files = await listed(folder, path, { recursive: true });
  if (files !== undefined) {
    const paths = files.map((file) => (path === "" ? file : `${path}/${file}`));
    return modelAmong(folder, paths, path === "" ? id : `${id}/${path}`);
  }
  await checkFile(folder, path);
  return path;
}

/** The files of a folder; `undefined` when it is none, or cannot be listed. */
async function listed(
  folder: Folder,
  path: string,
  options?: { readonly recursive: boolean },
): Promise<readonly string[] | undefined> {
  try {
    return await folder.list?.(path, options);
  } catch (error) {
    if (error instanceof ModelError && error.code === "not-found") return undefined;
    throw error;
  }
}

async function checkFile(folder: Folder, entry: string): Promise<void> {
  const file = await folder.open(entry);
  await file.close();
}
