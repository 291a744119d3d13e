/**
 * Kernels and decoders of a page: fetched once, kept in the cache of models, compiled once a page. They are kept under the digest
 * of the file that this version of the package was built with, so another version never runs them.
 */
import { untilAborted } from "../abort.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { toHex } from "../hub/integrity.ts";
import type { LocateOptions, ModuleName } from "../runtime.ts";
import { ADDRESS, DEFAULT_CACHE, denialOf } from "./web-cache.ts";
import { fetchFile } from "./web-fetch.ts";

/** Put there by the build: SHA-256 of the package's modules, as hexadecimal digits. Absent in a checkout. */
declare const MODULE_DIGESTS: Digests | undefined;

export type Digests = Readonly<Partial<Record<ModuleName, string>>>;

/** Begins the addresses of modules in the cache. */
export const MODULES_ADDRESS = `${ADDRESS}modules/`;
/** Versions of a module that are kept: programs of one origin may have several of the package. */
const VERSIONS = 3;
/** When a module was stored, in milliseconds since 1970. */
const STORED_HEADER = "x-stored";

export interface KeptModule {
  readonly module: WebAssembly.Module;
  /** Of the module, not compressed. */
  readonly bytes: number;
}

/** What this page has compiled, by address. */
const compiled = new Map<string, Promise<KeptModule>>();

/**
 * A module, from this page, the cache or its address.
 *
 * @throws ModelError when there is neither, or what the server sends is no module
 */
export function keptModule(name: ModuleName, url: string, digests: Digests = builtDigests()): Promise<KeptModule> {
  const known = compiled.get(url);
  if (known !== undefined) return known;
  const made = make(name, url, digests[name]);
  compiled.set(url, made);
  // What could not be fetched may be there when it is asked for again.
  made.catch(() => compiled.delete(url));
  return made;
}

/** Fetches modules, so that they are kept; tells of each when it is there. */
export async function keepModules(
  modules: readonly { readonly name: ModuleName; readonly url: string }[],
  { signal, onDownload }: Pick<LocateOptions, "signal" | "onDownload">,
): Promise<readonly { readonly name: string; readonly bytes: number }[]> {
  return Promise.all(
    modules.map(async ({ name, url }) => {
      const { bytes } = await untilAborted(keptModule(name, url), signal);
      onDownload?.({ name: `${name}.wasm`, loaded: bytes, total: bytes });
      return { name, bytes };
    }),
  );
}

function builtDigests(): Digests {
  return typeof MODULE_DIGESTS === "undefined" ? {} : MODULE_DIGESTS;
}

async function make(name: ModuleName, url: string, digest: string | undefined): Promise<KeptModule> {
  const cache = (await denialOf(DEFAULT_CACHE)) === undefined ? await caches.open(DEFAULT_CACHE) : undefined;
  const address = `${MODULES_ADDRESS}${digest}/${name}.wasm`;
  const stored = digest === undefined ? undefined : await cache?.match(address);
  if (stored !== undefined) {
    const bytes = new Uint8Array(await stored.arrayBuffer());
    // A cut write would be there for ever.
    if ((await digestOf(bytes)) === digest) return compile(bytes);
  }
  const { bytes, isOwn } = await fetchModule(url, digest, cache);
  if (isOwn) await keep(cache, address, name, bytes);
  return compile(bytes);
}

/**
 * The module at an address. Where it is not the one of this package (a program's own, or one that a tool has rewritten), the server
 * is asked each time, and what it sent last is for when it does not answer.
 */
async function fetchModule(
  url: string,
  digest: string | undefined,
  cache: Cache | undefined,
): Promise<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly isOwn: boolean }> {
  const asServed = `${MODULES_ADDRESS}as-served/${encodeURIComponent(url)}`;
  const isOwn = async (bytes: Uint8Array<ArrayBuffer>): Promise<boolean> =>
    digest !== undefined && globalThis.crypto?.subtle !== undefined && (await digestOf(bytes)) === digest;
  try {
    let bytes = await bytesAt(url);
    if (await isOwn(bytes)) return { bytes, isOwn: true };
    // The browser's own cache may have the file of another version.
    if (digest !== undefined && cache !== undefined) {
      bytes = await bytesAt(url, "reload");
      if (await isOwn(bytes)) return { bytes, isOwn: true };
    }
    await cache?.put(asServed, new Response(bytes)).catch(() => {});
    return { bytes, isOwn: false };
  } catch (error) {
    const last = (error as ModelError).code === "network" ? await cache?.match(asServed) : undefined;
    if (last === undefined) throw error;
    return { bytes: new Uint8Array(await last.arrayBuffer()), isOwn: false };
  }
}

/** Keeps a module, and the newest of other versions. A cache that takes nothing more is no reason not to run. */
async function keep(
  cache: Cache | undefined,
  address: string,
  name: ModuleName,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  try {
    await cache?.put(address, new Response(bytes, { headers: { [STORED_HEADER]: `${Date.now()}` } }));
    const stored = ((await cache?.keys()) ?? []).filter(({ url }) => isVersionOf(url, name));
    if (stored.length <= VERSIONS) return;
    const times = await Promise.all(
      stored.map(async ({ url }) => ({ url, at: Number((await cache!.match(url))?.headers.get(STORED_HEADER)) })),
    );
    for (const { url } of times.sort((a, b) => b.at - a.at).slice(VERSIONS)) await cache!.delete(url);
  } catch {}
}

function isVersionOf(url: string, name: ModuleName): boolean {
  return url.startsWith(MODULES_ADDRESS) && url.endsWith(`/${name}.wasm`);
}

async function bytesAt(url: string, cache?: RequestCache): Promise<Uint8Array<ArrayBuffer>> {
  const { read, size } = await fetchFile(url, undefined, cache);
  const sent = await read(0, size);
  const bytes = sent[0] === 0x1f && sent[1] === 0x8b ? await inflated(sent) : sent;
  if (bytes[0] === 0x00 && bytes[1] === 0x61) return bytes as Uint8Array<ArrayBuffer>;
  const got = bytes[0] === 0x3c ? "a web page" : "something else";
  const hint = "the server must serve the package's wasm folder";
  throw new ModelError("runtime", expectedGot(url, "a WebAssembly module", got, hint));
}

/** A server may have said that a compressed file is compressed: then it comes as it was before. */
async function inflated(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function compile(bytes: Uint8Array<ArrayBuffer>): Promise<KeptModule> {
  return { module: await WebAssembly.compile(bytes), bytes: bytes.byteLength };
}

async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}
