/**
 * `npm:package@version/path`: a package of the npm registry, checked against its sha512 and unpacked into the cache.
 */
import { type ParsedTarFileItem, parseTar } from "nanotar";
import type { Folder } from "../bytes.ts";
import { ArgumentTypeError, expectedGot, ModelError, type ModelErrorCode } from "../errors.ts";
import { KIND_LABELS, SNIFF_BYTES, sniff } from "../formats/sniff.ts";
import type { LocateOptions, Runtime, StoreWriter } from "../runtime.ts";
import { lookUp, OFFLINE_HINT, offlineError } from "./cache.ts";
import { collect, fetchBytes } from "./fetch.ts";
import { once } from "./once.ts";

/** A version of a package, and a path in it. */
export interface NpmSource {
  /** `package@version`. */
  readonly id: string;
  readonly name: string;
  readonly version: string;
  /** Of a file or a folder; empty for the whole package. */
  readonly path: string;
}

/** Where a cache entry remembers the checksum that it was accepted with. */
const INTEGRITY_FILE = ".integrity";
const MAX_MANIFEST_BYTES = 1 << 24;
/** Longest package, packed or unpacked: about what one array of bytes can hold everywhere. */
export const MAX_PACKAGE_BYTES = 2 ** 31 - 1;

/** Throws `ArgumentTypeError` unless `source` is `npm:package@version` or `npm:package@version/path`, the version exact. */
export function parseNpm(source: string): NpmSource {
  const parts = /^npm:((?:@[\w~-][\w.~-]*\/)?[\w~-][\w.~-]*)(?:@([^/]*))?(?:\/(.*))?$/i.exec(source);
  const example = "npm:package@1.2.3/path/to/model.json";
  if (parts === null) throw new ArgumentTypeError("source", expectedGot("hub", example, source));
  const [, name, version, path = ""] = parts as unknown as [string, string, string | undefined, string | undefined];
  if (version === undefined || !/^\d+\.\d+\.\d+(?:-[\w.-]+)?(?:\+[\w.-]+)?$/.test(version)) {
    const got = version === undefined ? `${source}, without a version` : `"${version}"`;
    throw new ArgumentTypeError("source", expectedGot("hub", `an exact version, as in ${example}`, got));
  }
  return { id: `${name}@${version}`, name, version, path: path.replace(/\/+$/, "") };
}

/** The cache's key of a package. */
export function packageKey({ id }: NpmSource): string {
  return `npm/${id}`;
}

/**
 * The files of a package, from the cache or else from the registry.
 *
 * @throws ModelError when there is no such package, no network, or the bytes are not the promised ones; the signal's
 * reason when it aborts
 */
export async function openPackage(npm: NpmSource, runtime: Runtime, options: LocateOptions): Promise<Folder> {
  const store = runtime.store(options.cache);
  const key = packageKey(npm);
  const look = () => lookUp(store, key, (entry) => checkPinned(npm, entry, options));
  const { found, problem } = await look();
  if (found !== undefined) return found;
  if (options.offline === true) throw offlineError(store, npm.id, problem);
  return once(store, key, options, async (heard) => {
    const again = await look();
    if (again.found !== undefined) return again.found;
    // The entry is begun before anything is fetched: a cache that cannot be written is known at once.
    const fill = (writer: StoreWriter): Promise<void> => fetchInto(npm, writer, runtime, heard);
    return store.put(key, fill, { replace: again.problem !== undefined });
  });
}

async function fetchInto(npm: NpmSource, writer: StoreWriter, runtime: Runtime, options: LocateOptions): Promise<void> {
  const { url, integrity } = await readManifest(npm, await runtime.registry(), options);
  const request = { url, name: npm.id };
  const { bytes: tarball } = await fetchBytes(request, MAX_PACKAGE_BYTES, options, options.onDownload);
  const kind = sniff(tarball.subarray(0, SNIFF_BYTES));
  if (kind !== "gzip") throw wrongPackage("not-a-model", url, KIND_LABELS[kind]);
  await checkSha512(npm, url, tarball, integrity);
  for (const [path, bytes] of unpack(url, await gunzip(url, tarball))) {
    options.signal?.throwIfAborted();
    await writer.write(path, bytes);
  }
  options.signal?.throwIfAborted();
  await writer.write(INTEGRITY_FILE, new TextEncoder().encode(integrity));
}

/** The entry, when it was accepted with the integrity that is asked for now. */
async function checkPinned(npm: NpmSource, entry: Folder, { integrity }: LocateOptions): Promise<Folder> {
  if (integrity === undefined) return entry;
  const file = await entry.open(INTEGRITY_FILE);
  try {
    const got = new TextDecoder().decode(await file.read(0, file.size));
    if (got === sha512Of(integrity)) return entry;
    const message = expectedGot(`hub: ${npm.id} in the cache`, integrity, got, OFFLINE_HINT);
    throw new ModelError("integrity", message, { subject: npm.id });
  } finally {
    await file.close();
  }
}

function wrongPackage(code: ModelErrorCode, where: string, got: string, cause?: unknown): ModelError {
  return new ModelError(code, expectedGot(where, "a package (.tgz)", got), { subject: where, cause });
}

/** Where the registry has the tarball, and the checksum it must have. */
async function readManifest(
  npm: NpmSource,
  registry: string,
  options: LocateOptions,
): Promise<{ url: string; integrity: string }> {
  const url = `${registry}${npm.name.replace("/", "%2f")}/${npm.version}`;
  const { bytes } = await fetchBytes({ url, name: npm.id }, MAX_MANIFEST_BYTES, options);
  const kind = sniff(bytes.subarray(0, SNIFF_BYTES));
  const manifest = kind === "json" ? parseJson(bytes) : undefined;
  const dist = (manifest as { dist?: { tarball?: unknown; integrity?: unknown } } | undefined)?.dist;
  if (typeof dist?.tarball !== "string") {
    const got = kind === "json" ? "JSON without dist.tarball" : KIND_LABELS[kind];
    const code = kind === "json" ? "malformed" : "not-a-model";
    throw new ModelError(code, expectedGot(url, "the description of a package", got), { subject: npm.id });
  }
  const claimed = typeof dist.integrity === "string" ? sha512Of(dist.integrity) : undefined;
  const pinned = options.integrity === undefined ? undefined : sha512Of(options.integrity);
  if (options.integrity !== undefined && pinned === undefined) {
    throw new ArgumentTypeError("integrity", expectedGot("integrity", "sha512-…", options.integrity));
  }
  if (pinned !== undefined && claimed !== undefined && pinned !== claimed) {
    const hint = "the registry has other bytes than the ones asked for";
    throw new ModelError("integrity", expectedGot(url, pinned, claimed, hint), { subject: npm.id });
  }
  const integrity = pinned ?? claimed;
  if (integrity === undefined) {
    const message = expectedGot(url, "a sha512 of the package", "none", "give its integrity");
    throw new ModelError("integrity", message, { subject: npm.id });
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

async function checkSha512(
  npm: NpmSource,
  url: string,
  bytes: Uint8Array<ArrayBuffer>,
  integrity: string,
): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-512", bytes));
  const got = `sha512-${btoa(String.fromCharCode(...digest))}`;
  if (got === integrity) return;
  const hint = "the download is damaged or not the package it should be";
  throw new ModelError("integrity", expectedGot(url, integrity, got, hint), { subject: npm.id });
}

async function gunzip(where: string, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  // A gzip file ends with its unpacked length.
  const expected = new DataView(bytes.buffer).getUint32(bytes.byteLength - 4, true);
  try {
    return await collect(where, inflated(bytes), expected, MAX_PACKAGE_BYTES);
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw wrongPackage("malformed", where, `a broken gzip: ${(error as Error).message}`, error);
  }
}

async function* inflated(bytes: Uint8Array<ArrayBuffer>): AsyncGenerator<Uint8Array> {
  let at = 0;
  const pieces = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (at >= bytes.byteLength) return controller.close();
      controller.enqueue(bytes.subarray(at, at + 65536));
      at += 65536;
    },
  });
  const reader = pieces.pipeThrough(new DecompressionStream("gzip")).getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value!;
}

/** The regular files of a package, without its top folder. Links and names that climb out are left behind. */
function unpack(where: string, tar: Uint8Array<ArrayBuffer>): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let items: ParsedTarFileItem[];
  try {
    items = parseTar(tar.buffer).filter(({ type }) => type === "file" || type === "contiguousFile");
  } catch (error) {
    throw wrongPackage("malformed", where, `a broken tar: ${(error as Error).message}`, error);
  }
  for (const { name, data = new Uint8Array(0) } of items) {
    const parts = `${tarPrefix(tar, data)}${name}`.split("/").slice(1);
    if (parts.length === 0 || parts.some((part) => part === "" || part === "." || part === "..")) continue;
    const path = parts.join("/");
    if (files.has(path))
      throw new ModelError("malformed", expectedGot(where, `one file "${path}"`, "two"), { subject: path });
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
