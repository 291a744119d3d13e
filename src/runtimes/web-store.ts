/**
 * The cache of downloads in a browser, by the Cache API. Responses there are whole or absent, so a file that comes bit by bit is kept
 * in pieces: what a page had of it when it was closed, or lost the network, the next one continues.
 */
import { type ByteSource, checkRange, type Folder, fromBytes, release } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { OFFLINE_HINT } from "../hub/cache.ts";
import { toHex } from "../hub/integrity.ts";
import type { Store } from "../runtime.ts";
import { type PieceFile, pieceFile, pieceName } from "./web-pieces.ts";

/** Describes an entry. It is written last, at once, so an entry is whole or not there. */
const ENTRY_FILE = ".entry.json";
/** Names the generation that a `put` was filling when it was given up. */
const PARTIAL_FILE = ".partial.json";
const DAY_MS = 24 * 60 * 60 * 1000;

interface Entry {
  /** The folder of its files, a new one for each `put`: milliseconds since 1970, and something random. */
  readonly generation: string;
  /** SHA-256 of the files, or of their pieces, by their paths, in hexadecimal digits. */
  readonly sha256: Readonly<Record<string, string>>;
  /** Of files in pieces: how many. */
  readonly pieces?: Readonly<Record<string, number>>;
}

/** Entries that a page has compared with their digests, by key and generation. */
export type VerifiedEntries = Set<string>;

/**
 * Entries of one cache. Files of an earlier `put` stay as they are until the new entry is whole.
 *
 * @param verified shared by the stores of one runtime
 */
export function cacheStore(name: string, verified: VerifiedEntries = new Set()): Store {
  return {
    name,
    async get(key) {
      const cache = await openCache(name);
      const entry = await readEntry(cache, key, name);
      if (entry === undefined) return undefined;
      const id = `${key} ${entry.generation}`;
      for (const [path, digest] of verified.has(id) ? [] : Object.entries(entry.sha256)) {
        if ((await digestAt(cache, addressOf(key, entry.generation, path))) === digest) continue;
        throw damaged(`${name}/${key}/${path.replace(PIECE, "")}`);
      }
      verified.add(id);
      return folderOf(cache, name, key, entry);
    },
    async put(key, fill) {
      const cache = await openCache(name);
      return withLock(`${name}/${key}`, async (isMine) => {
        // Only one page continues what was left; another at the same time begins from the start.
        const left = isMine ? await readPartial(cache, key) : undefined;
        const generation = left ?? `${Date.now()}-${crypto.randomUUID()}`;
        const address = (path: string): string => addressOf(key, generation, path);
        const written = new Set<string>();
        const files = new Map<string, PieceFile>();
        try {
          await fill({
            write: (path, bytes) => {
              written.add(path);
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
          for (const [path, file] of files) {
            if (!file.isBegun) continue;
            pieces[path] = file.pieces;
            for (let i = 0; i < file.pieces; ++i) written.add(pieceName(path, i));
          }
          const sha256: Record<string, string> = {};
          for (const path of written) sha256[path] = (await digestAt(cache, address(path))) ?? "";
          const entry: Entry = { generation, sha256, ...(Object.keys(pieces).length > 0 && { pieces }) };
          const old = await readEntry(cache, key, name).catch(() => undefined);
          await writing(key, cache.put(addressOf(key, ENTRY_FILE), Response.json(entry)));
          await sweep(cache, key, entry, old?.generation, isMine);
          return folderOf(cache, name, key, entry);
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

function folderOf(cache: Cache, name: string, key: string, { generation, sha256, pieces }: Entry): Folder {
  const blobAt = async (path: string): Promise<Blob> => {
    const found = await cache.match(addressOf(key, generation, path));
    if (found !== undefined) return found.blob();
    const message = expectedGot(`${name}/${key}`, path, "no such file");
    throw new ModelError("not-found", message, { subject: path });
  };
  return {
    name: `${name}/${key}`,
    async open(path) {
      const count = pieces?.[path];
      if (count === undefined) {
        return fromBytes(`${key}/${path}`, new Uint8Array(await (await blobAt(path)).arrayBuffer()));
      }
      const blobs = await Promise.all(Array.from({ length: count }, (_, i) => blobAt(pieceName(path, i))));
      return fromBlobs(`${key}/${path}`, blobs);
    },
    async list(folder = "") {
      const names = new Set([...Object.keys(sha256), ...Object.keys(pieces ?? {})].filter((path) => !PIECE.test(path)));
      const prefix = folder === "" ? "" : `${folder}/`;
      const inside = [...names].filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
      if (inside.length > 0) return inside.sort();
      throw new ModelError("not-found", expectedGot(`${name}/${key}`, "a folder", folder), { subject: folder });
    },
  };
}

/** A file of several blobs, which the browser may keep on its disk; only what is read is in memory. */
function fromBlobs(name: string, blobs: readonly Blob[]): ByteSource {
  const all = new Blob([...blobs]);
  const source: ByteSource = {
    name,
    size: all.size,
    async read(offset, length) {
      checkRange(source, offset, length);
      return new Uint8Array(await all.slice(offset, offset + length).arrayBuffer());
    },
    async close() {},
  };
  return source;
}

/** Runs `work` with whether this page alone fills the entry now. */
async function withLock<T>(name: string, work: (isMine: boolean) => Promise<T>): Promise<T> {
  const { locks } = (globalThis.navigator ?? {}) as { readonly locks?: LockManager };
  if (locks === undefined) return work(false);
  return locks.request(`resnet-wasm ${name}`, { ifAvailable: true }, (lock) => work(lock !== null));
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
  return `https://cache.invalid/${parts.map(encodeURI).join("/")}`;
}

async function readEntry(cache: Cache, key: string, name: string): Promise<Entry | undefined> {
  const stored = await cache.match(addressOf(key, ENTRY_FILE));
  if (stored === undefined) return undefined;
  const entry: Partial<Entry> | undefined = await stored.json().catch(() => undefined);
  const { generation, sha256, pieces } = entry ?? {};
  if (typeof generation !== "string" || typeof sha256 !== "object") throw damaged(`${name}/${key}/${ENTRY_FILE}`);
  return { generation, sha256, ...(pieces && { pieces }) };
}

function damaged(subject: string): ModelError {
  const message = expectedGot(subject, "the bytes that were downloaded", "others, or none", OFFLINE_HINT);
  return new ModelError("integrity", message, { subject });
}

async function digestAt(cache: Cache, address: string): Promise<string | undefined> {
  const stored = await cache.match(address);
  if (stored === undefined) return undefined;
  const bytes = new Uint8Array(await stored.arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  release(bytes);
  return toHex(digest);
}

/** Removes what is not of the entry: files of the one before, of generations given up a day ago or longer, leftovers of its own. */
async function sweep(cache: Cache, key: string, entry: Entry, old: string | undefined, isMine: boolean): Promise<void> {
  const prefix = addressOf(key, "");
  const current = new Set(Object.keys(entry.sha256).map((path) => addressOf(key, entry.generation, path)));
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
  if (globalThis.caches !== undefined) return caches.open(name);
  const got = "a page without the Cache API";
  throw new ModelError("cache", expectedGot("cache", "a secure page, of https: or localhost", got));
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
