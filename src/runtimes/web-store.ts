/**
 * The cache of downloads in a browser, by the Cache API. Responses there are whole or absent, so a file that comes bit by bit is kept
 * in pieces: what a page had of it when it was closed, or lost the network, the next one continues.
 */
import { expectedGot, ModelError } from "../errors.ts";
import { OFFLINE_HINT } from "../hub/cache.ts";
import { ORIGIN_FILE } from "../hub/origin.ts";
import type { EntryFolder, KnownChecksum, Store, StoredEntry } from "../runtime.ts";
import { fromBlobs } from "./web-blobs.ts";
import { ADDRESS, denialOf } from "./web-cache.ts";
import { memoryStore } from "./web-memory.ts";
import { type PieceFile, pieceFile, pieceName } from "./web-pieces.ts";

/** Describes an entry. It is written last, at once, so an entry is whole or not there. */
const ENTRY_FILE = ".entry.json";
/** Names the generation that a `put` was filling when it was given up. */
const PARTIAL_FILE = ".partial.json";
const DAY_MS = 24 * 60 * 60 * 1000;

interface Entry {
  /** The folder of its files, a new one for each `put`: milliseconds since 1970, and something random. */
  readonly generation: string;
  /** Bytes of the files, or of their pieces, by their paths. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Of files in pieces: how many. */
  readonly pieces?: Readonly<Record<string, number>>;
  /** Checksums of whole files that were computed once, by their paths. */
  readonly checksums?: Readonly<Record<string, readonly KnownChecksum[]>>;
}

/** What a page can have: a cache, or where the browser denies it, memory for the entries of one load. */
export function pageStore(name: string): Store {
  const cached = cacheStore(name);
  let opened: Promise<Store> | undefined;
  const here = (): Promise<Store> => {
    opened ??= denialOf(name).then((denial) => (denial === undefined ? cached : memoryStore(name, denial)));
    return opened;
  };
  return {
    name,
    get: async (...given) => (await here()).get(...given),
    put: async (...given) => (await here()).put(...given),
    alone: async (...given) => (await here()).alone!(...given),
    denial: async () => (await here()).denial?.(),
    list: async () => (await here()).list!(),
    remove: async (...given) => (await here()).remove!(...given),
  };
}

/** Entries of one cache. Files of an earlier `put` stay as they are until the new entry is whole. */
export function cacheStore(name: string): Store {
  return {
    name,
    alone: (key, work, signal) => waitForLock(`${name}/${key}`, work, signal),
    async list() {
      const cache = await openCache(name);
      const entries: StoredEntry[] = [];
      for (const { url } of await cache.keys()) {
        if (!url.endsWith(`/${ENTRY_FILE}`)) continue;
        const key = decodeURI(url.slice(ADDRESS.length, -ENTRY_FILE.length - 1));
        const entry = await readEntry(cache, key, name).catch(() => undefined);
        if (entry === undefined) continue;
        const bytes = Object.values(entry.sizes).reduce((sum, size) => sum + size, 0);
        const origin = await cache.match(addressOf(key, entry.generation, ORIGIN_FILE));
        entries.push({ key, bytes, origin: await origin?.text() });
      }
      return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
    },
    async remove(key) {
      const cache = await openCache(name);
      return waitForLock(`${name}/${key}`, async () => {
        const wasThere = await cache.delete(addressOf(key, ENTRY_FILE));
        await removeBelow(cache, `${addressOf(key)}/`, undefined);
        return wasThere;
      });
    },
    async get(key) {
      const cache = await openCache(name);
      const entry = await readEntry(cache, key, name);
      if (entry === undefined) return undefined;
      return folderOf(cache, name, key, entry, await blobsOf(cache, name, key, entry));
    },
    async put(key, fill) {
      const cache = await openCache(name);
      return withLock(`${name}/${key}`, async (isMine) => {
        // Only one page continues what was left; another at the same time begins from the start.
        const left = isMine ? await readPartial(cache, key) : undefined;
        const generation = left ?? `${Date.now()}-${crypto.randomUUID()}`;
        const address = (path: string): string => addressOf(key, generation, path);
        const sizes: Record<string, number> = {};
        const files = new Map<string, PieceFile>();
        try {
          await fill({
            write: (path, bytes) => {
              sizes[path] = bytes.byteLength;
              const response = new Response(bytes as Uint8Array<ArrayBuffer>);
              return writing(path, cache.put(address(path), response));
            },
            async file(path) {
              if (isMine) await writing(path, cache.put(addressOf(key, PARTIAL_FILE), Response.json({ generation })));
              const file = await pieceFile(cache, address(path), (work) => writing(path, work));
              files.set(path, file);
              return file;
            },
          });
          const pieces: Record<string, number> = {};
          const checksums: Record<string, readonly KnownChecksum[]> = {};
          for (const [path, file] of files) {
            if (!file.isBegun) continue;
            pieces[path] = file.pieces.length;
            for (const [i, size] of file.pieces.entries()) sizes[pieceName(path, i)] = size;
            if (file.checksums.length > 0) checksums[path] = file.checksums;
          }
          const entry: Entry = {
            ...{ generation, sizes },
            ...(Object.keys(pieces).length > 0 && { pieces }),
            ...(Object.keys(checksums).length > 0 && { checksums }),
          };
          const blobs = await blobsOf(cache, name, key, entry);
          const old = await readEntry(cache, key, name).catch(() => undefined);
          await writing(key, cache.put(addressOf(key, ENTRY_FILE), Response.json(entry)));
          await sweep(cache, key, entry, old?.generation, isMine);
          return folderOf(cache, name, key, entry, blobs);
        } catch (error) {
          const isFull = isQuota((error as Error | undefined)?.cause);
          const isKept = isMine && !isFull && (await keepParts([...files.values()]));
          if (!isKept) await removeBelow(cache, address(""), isMine ? addressOf(key, PARTIAL_FILE) : undefined);
          throw error;
        }
      });
    },
  };
}

/** Ends the path of a piece. */
const PIECE = /~\d+$/;

/** Whether any of the files has something that a later `put` can continue. */
async function keepParts(files: readonly PieceFile[]): Promise<boolean> {
  const kept = await Promise.all(files.map((file) => file.keep().catch(() => false)));
  return kept.includes(true);
}

/** What an entry has, by path: the browser may leave it on its disk until it is read. Throws `integrity` when some is gone or cut. */
async function blobsOf(cache: Cache, name: string, key: string, entry: Entry): Promise<ReadonlyMap<string, Blob>> {
  const found = Object.entries(entry.sizes).map(async ([path, size]) => {
    const stored = await cache.match(addressOf(key, entry.generation, path));
    const blob = await stored?.blob();
    if (blob?.size !== size) throw damaged(`${name}/${key}/${path.replace(PIECE, "")}`);
    return [path, blob] as const;
  });
  return new Map(await Promise.all(found));
}

function folderOf(
  cache: Cache,
  name: string,
  key: string,
  { generation, pieces, checksums = {} }: Entry,
  blobs: ReadonlyMap<string, Blob>,
): EntryFolder {
  const noted = new Map(Object.entries(checksums));
  const paths = [...new Set([...blobs.keys(), ...Object.keys(pieces ?? {})])].filter((path) => !PIECE.test(path));
  return {
    name: `${name}/${key}`,
    async open(path) {
      const count = pieces?.[path];
      const parts = count === undefined ? [path] : Array.from({ length: count }, (_, i) => pieceName(path, i));
      const found = parts.map((part) => blobs.get(part));
      if (found.every((blob) => blob !== undefined)) return fromBlobs(`${key}/${path}`, found);
      const message = expectedGot(`${name}/${key}`, path, "no such file");
      throw new ModelError("not-found", message, { subject: path });
    },
    async list(folder = "") {
      const prefix = folder === "" ? "" : `${folder}/`;
      const inside = paths.filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
      if (inside.length > 0) return inside.sort();
      throw new ModelError("not-found", expectedGot(`${name}/${key}`, "a folder", folder), { subject: folder });
    },
    checksums: async (path) => noted.get(path) ?? [],
    async remember(path, more) {
      noted.set(path, [...(noted.get(path) ?? []), ...more]);
      const entry = await readEntry(cache, key, name).catch(() => undefined);
      // Another page may have put a newer one there; and where nothing can be written, it is computed again.
      if (entry?.generation !== generation) return;
      const updated: Entry = { ...entry, checksums: Object.fromEntries(noted) };
      await cache.put(addressOf(key, ENTRY_FILE), Response.json(updated)).catch(() => {});
    },
  };
}

/** Runs `work` with whether this page alone fills the entry now. */
async function withLock<T>(name: string, work: (isMine: boolean) => Promise<T>): Promise<T> {
  const { locks } = (globalThis.navigator ?? {}) as { readonly locks?: LockManager };
  if (locks === undefined) return work(false);
  return locks.request(`resnet-wasm ${name}`, { ifAvailable: true }, (lock) => work(lock !== null));
}

/** Runs `work` when no other page of the origin runs some under the name. */
async function waitForLock<T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const { locks } = (globalThis.navigator ?? {}) as { readonly locks?: LockManager };
  if (locks === undefined) return work();
  return locks.request(`resnet-wasm wait ${name}`, signal === undefined ? {} : { signal }, work);
}

async function readPartial(cache: Cache, key: string): Promise<string | undefined> {
  const stored = await cache.match(addressOf(key, PARTIAL_FILE));
  const { generation } = ((await stored?.json().catch(() => undefined)) ?? {}) as { generation?: unknown };
  return typeof generation === "string" && /^\d+-[\w-]+$/.test(generation) ? generation : undefined;
}

async function removeBelow(cache: Cache, prefix: string, also: string | undefined): Promise<void> {
  for (const { url } of await cache.keys()) if (url.startsWith(prefix) || url === also) await cache.delete(url);
}

function addressOf(...parts: readonly string[]): string {
  return `${ADDRESS}${parts.map(encodeURI).join("/")}`;
}

async function readEntry(cache: Cache, key: string, name: string): Promise<Entry | undefined> {
  const stored = await cache.match(addressOf(key, ENTRY_FILE));
  if (stored === undefined) return undefined;
  const entry: Partial<Entry> | undefined = await stored.json().catch(() => undefined);
  const { generation, sizes, pieces, checksums } = entry ?? {};
  if (typeof generation !== "string" || typeof sizes !== "object") throw damaged(`${name}/${key}/${ENTRY_FILE}`);
  return { generation, sizes, ...(pieces && { pieces }), ...(checksums && { checksums }) };
}

function damaged(subject: string): ModelError {
  const message = expectedGot(subject, "the bytes that were downloaded", "others, or none", OFFLINE_HINT);
  return new ModelError("integrity", message, { subject });
}

/** Removes what is not of the entry: files of the one before, of generations given up a day ago or longer, leftovers of its own. */
async function sweep(cache: Cache, key: string, entry: Entry, old: string | undefined, isMine: boolean): Promise<void> {
  const prefix = addressOf(key, "");
  const current = new Set(Object.keys(entry.sizes).map((path) => addressOf(key, entry.generation, path)));
  const partial = addressOf(key, PARTIAL_FILE);
  for (const { url } of await cache.keys()) {
    const generation = url.startsWith(prefix) ? /^(\d+)-[^/]+(?=\/)/.exec(url.slice(prefix.length)) : null;
    if (url === partial && (await readPartial(cache, key)) === entry.generation) await cache.delete(url);
    if (generation === null || current.has(url)) continue;
    // Another page may be filling one that is newer.
    const isAbandoned = isMine && Number(generation[1]) < Number.parseInt(entry.generation, 10) - DAY_MS;
    if (isAbandoned || generation[0] === old || generation[0] === entry.generation) await cache.delete(url);
  }
}

async function openCache(name: string): Promise<Cache> {
  const denial = await denialOf(name);
  if (denial === undefined) return caches.open(name);
  throw new ModelError("cache", expectedGot("cache", "a page that may keep something", denial));
}

async function writing(path: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (cause) {
    const got = isQuota(cause) ? "a full disk" : `${cause}`;
    const message = expectedGot(path, "a file that the cache can take", got);
    throw new ModelError("cache", message, { subject: path, cause });
  }
}

function isQuota(error: unknown): boolean {
  return (error as Error | undefined)?.name === "QuotaExceededError";
}
