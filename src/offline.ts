/**
 * What is kept for when there is no network: fetched beforehand, listed and removed. The same calls in every runtime that keeps
 * anything; a page keeps kernels and decoders too, elsewhere they are files of the package.
 */
import { type LoadOptions, loadWith } from "./classifier.ts";
import { ArgumentTypeError, expectedGot } from "./errors.ts";
import { isRepositoryLike } from "./hub/bare.ts";
import { repositoryKey } from "./hub/huggingface.ts";
import { packageKey, parseNpm } from "./hub/npm.ts";
import { parseOrigin } from "./hub/origin.ts";
import { urlKey } from "./hub/url.ts";
import { twinKey } from "./int8-twin.ts";
import { pickBuild } from "./kernels.ts";
import { openModelWith } from "./model.ts";
import { PRETRAINED, pretrained } from "./models/pretrained.ts";
import type { ModuleName, Runtime, StoredEntry } from "./runtime.ts";
import { twinOf } from "./twins.ts";

/** What `prefetch` has made sure of. */
export interface Prefetched {
  /** Bytes that a later load and classification take from what is kept: of the model, and of modules. */
  readonly bytes: number;
  readonly model: number;
  /** Of kernels and decoders; 0 where they are files of the package. */
  readonly modules: number;
}

/** A model that is kept. */
export interface CachedModel {
  /** As `load` takes it; of an address of which that is not known, the cache's key. */
  readonly source: string;
  readonly bytes: number;
}

/** What is kept. */
export interface CacheUsage {
  /** Bytes of all that is kept. */
  readonly bytes: number;
  readonly models: readonly CachedModel[];
  /** Bytes of kernels and decoders; 0 where they are files of the package. */
  readonly modules: number;
  /** Bytes that a browser says the whole origin uses and may use; absent elsewhere, and where it does not say. */
  readonly used?: number;
  readonly quota?: number;
}

/** What the platform answered to the wish that nothing is removed. */
export interface Persistence {
  /** Nothing is removed unless the user does it. */
  readonly persisted: boolean;
  /** In words. */
  readonly reason: string;
}

/** Where what is kept is. */
export interface CacheOptions {
  /** The cache that `load` was given, where it was. */
  readonly cache?: string;
}

/** The smallest photo of each decoder: one gray pixel. */
const TINY_JPEG =
  "/9j/2wBDAP//////////////////////////////////////////////////////////////////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z";
const TINY_WEBP = "UklGRiQAAABXRUJQVlA4IBgAAABQAQCdASoBAAEADMDOJaQABHQAAAAAAAA=";

/**
 * Fetches everything that `load` with these options, and classifying photos, need later without a network. In a page that is done by
 * loading the model once and decoding a pixel.
 *
 * @throws ArgumentTypeError when the source is not a name or an address; what `load` throws
 */
export async function prefetchWith(
  runtime: Runtime,
  source: string | URL,
  options: LoadOptions = {},
): Promise<Prefetched> {
  const name = nameOf(source);
  const page = await runtime.pageStorage?.();
  let modules = 0;
  if (page === undefined) await (await openModelWith(runtime, name, options)).close();
  else {
    const kept = page.keep(wantedModules(options), options);
    const [, files] = await Promise.all([rehearse(runtime, name, options), kept]);
    modules = files.reduce((sum, { bytes }) => sum + bytes, 0);
  }
  const model = (await cachedWith(runtime, name, options))?.bytes ?? 0;
  return { bytes: model + modules, model, modules };
}

/** Loads the model and decodes a photo: what either imports or fetches is there afterwards. */
async function rehearse(runtime: Runtime, source: string, options: LoadOptions): Promise<void> {
  const model = await loadWith(runtime, source, options);
  try {
    for (const [type, text] of [
      ["image/jpeg", TINY_JPEG],
      ["image/webp", TINY_WEBP],
    ] as const) {
      options.signal?.throwIfAborted();
      const photo = new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))], { type });
      await model.features(photo);
    }
  } finally {
    await model.dispose();
  }
}

/** The kernels that will be chosen, and the decoders. */
function wantedModules({ build, threads = 1, replicas }: LoadOptions): readonly ModuleName[] {
  const kernels = pickBuild(build);
  const shared = threads > 1 || replicas !== undefined;
  return [shared ? `${kernels}.shared` : kernels, "jpeg", "webp"];
}

/** What is kept of a model; `undefined` when it is not. */
export async function cachedWith(
  runtime: Runtime,
  source: string | URL,
  { cache }: CacheOptions = {},
): Promise<CachedModel | undefined> {
  const keys = await keysOf(runtime, nameOf(source));
  const found = ((await runtime.store(cache).list?.()) ?? []).filter(({ key }) => keys.includes(key));
  if (found.length === 0) return undefined;
  return { source: `${source}`, bytes: found.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Removes what is kept of a model, and what an interrupted download of it left. False when there was none. */
export async function forgetWith(
  runtime: Runtime,
  source: string | URL,
  { cache }: CacheOptions = {},
): Promise<boolean> {
  const store = runtime.store(cache);
  let wasThere = false;
  for (const key of await keysOf(runtime, nameOf(source))) {
    if (await store.remove?.(key)) wasThere = true;
  }
  return wasThere;
}

/** What is kept, and in a browser how much room there is. */
export async function usageWith(runtime: Runtime, { cache }: CacheOptions = {}): Promise<CacheUsage> {
  const entries = (await runtime.store(cache).list?.()) ?? [];
  const names = await shortNames(runtime);
  const models = entries.map((entry) => ({ source: sourceOf(entry, names), bytes: entry.bytes }));
  const page = await runtime.pageStorage?.();
  const modules = (await page?.moduleBytes()) ?? 0;
  const { used, quota } = (await page?.estimate()) ?? {};
  const bytes = models.reduce((sum, model) => sum + model.bytes, modules);
  return { bytes, models, modules, ...(used !== undefined && { used }), ...(quota !== undefined && { quota }) };
}

/** Asks the platform to remove nothing of what is kept; a browser may ask the user first. */
export async function persistWith(runtime: Runtime): Promise<Persistence> {
  const page = await runtime.pageStorage?.();
  if (page !== undefined) return page.persist();
  return {
    persisted: true,
    reason: "the cache is a folder on a disk, from which this package removes nothing by itself",
  };
}

function nameOf(source: unknown): string {
  if (source instanceof URL) return source.href;
  if (typeof source === "string") return source;
  throw new ArgumentTypeError("source", expectedGot("source", "a name or an address", typeof source));
}

/** The keys that a source may have in a cache. */
async function keysOf(runtime: Runtime, source: string): Promise<readonly string[]> {
  const known = pretrained(source)?.source ?? source;
  const twin = twinOf(known);
  if (twin !== undefined) return [await twinKey(twin, runtime)];
  if (/^npm:/i.test(known)) return [packageKey(parseNpm(known))];
  const repository = /^hf:/i.test(known) ? known : isRepositoryLike(known) ? `hf:${known}` : undefined;
  if (repository !== undefined) {
    return [...new Set([undefined, false].map((beside) => repositoryKey(repository, { beside })))];
  }
  const address = /^https?:/i.test(known) ? known : runtime.absolute?.(known);
  if (address === undefined || !URL.canParse(address)) return [];
  return [(await urlKey(new URL(address), runtime)).key];
}

/** Short names, by the keys of what they are the name of. */
async function shortNames(runtime: Runtime): Promise<ReadonlyMap<string, string>> {
  const pairs = Object.entries(PRETRAINED).map(async ([name, { source }]) => {
    // Of a pinned file alone, as a short name takes it.
    const key = /^hf:/i.test(source) ? repositoryKey(source, { beside: false }) : (await keysOf(runtime, source))[0]!;
    return [key, name] as const;
  });
  return new Map(await Promise.all(pairs));
}

/** What an entry is of, as `load` takes it. */
function sourceOf({ key, origin }: StoredEntry, names: ReadonlyMap<string, string>): string {
  return names.get(key) ?? parseOrigin(origin)?.source ?? shownKey(key);
}

/** A key as a source: `hf:owner/repo@main`. */
function shownKey(key: string): string {
  // A plus stands for a slash before a file of a repository, and for a colon before a port.
  const plain = key.startsWith("hf/") ? key.replace("+", "/").replace(/\+alone$/, "") : key.replace("+", ":");
  return decodeURIComponent(plain.replace("/", ":"));
}
