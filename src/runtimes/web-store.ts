/** The cache of downloads in a browser, by the Cache API. */
import { type Folder, fromBytes, release } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { OFFLINE_HINT } from "../hub/cache.ts";
import { toHex } from "../hub/integrity.ts";
import type { Store, StoreFile } from "../runtime.ts";

/** Describes an entry. It is written last, at once, so an entry is whole or not there. */
const ENTRY_FILE = ".entry.json";
const DAY_MS = 24 * 60 * 60 * 1000;

interface Entry {
  /** The folder of its files, a new one for each `put`: milliseconds since 1970, and something random. */
  readonly generation: string;
  /** SHA-256 of the files by their paths, in hexadecimal digits. */
  readonly sha256: Readonly<Record<string, string>>;
}

/** Entries that a page has compared with their digests, by key and generation. */
export type VerifiedEntries = Set<string>;

/**
 * Entries of one cache. Files of an earlier `put` stay as they are until the new entry is whole.
 *
 * @param verified shared by the stores of one runtime
 */
export function cacheStore(name: string, verified: VerifiedEntries = new Set()): Store {
  const folderOf = (cache: Cache, key: string, generation: string): Folder => ({
    name: `${name}/${key}`,
    async open(path) {
      const found = await cache.match(addressOf(key, generation, path));
      if (found === undefined) {
        const message = expectedGot(`${name}/${key}`, path, "no such file");
        throw new ModelError("not-found", message, { subject: path });
      }
      return fromBytes(`${key}/${path}`, new Uint8Array(await found.arrayBuffer()));
    },
  });
  return {
    name,
    async get(key) {
      const cache = await openCache(name);
      const entry = await readEntry(cache, key, name);
      if (entry === undefined) return undefined;
      const id = `${key} ${entry.generation}`;
      for (const [path, digest] of verified.has(id) ? [] : Object.entries(entry.sha256)) {
        if ((await digestAt(cache, addressOf(key, entry.generation, path))) === digest) continue;
        throw damaged(`${name}/${key}/${path}`);
      }
      verified.add(id);
      return folderOf(cache, key, entry.generation);
    },
    async put(key, fill) {
      const cache = await openCache(name);
      const generation = `${Date.now()}-${crypto.randomUUID()}`;
      const paths = new Set<string>();
      const files: CacheFile[] = [];
      try {
        await fill({
          write: (path, bytes) => {
            paths.add(path);
            const response = new Response(bytes as Uint8Array<ArrayBuffer>);
            return writing(path, cache.put(addressOf(key, generation, path), response));
          },
          async file(path) {
            const file = cacheFile(cache, path, addressOf(key, generation, path), () => paths.add(path));
            files.push(file);
            return file;
          },
        });
        const sha256: Record<string, string> = {};
        for (const path of paths) sha256[path] = (await digestAt(cache, addressOf(key, generation, path))) ?? "";
        const entry: Entry = { generation, sha256 };
        const old = await readEntry(cache, key, name).catch(() => undefined);
        await writing(key, cache.put(addressOf(key, ENTRY_FILE), Response.json(entry)));
        await sweep(cache, key, generation, old?.generation);
      } catch (error) {
        await Promise.all(files.map((file) => file.abort()));
        for (const path of paths) await cache.delete(addressOf(key, generation, path));
        throw error;
      }
      return folderOf(cache, key, generation);
    },
  };
}

function addressOf(...parts: readonly string[]): string {
  return `https://cache.invalid/${parts.map(encodeURI).join("/")}`;
}

async function readEntry(cache: Cache, key: string, name: string): Promise<Entry | undefined> {
  const stored = await cache.match(addressOf(key, ENTRY_FILE));
  if (stored === undefined) return undefined;
  const entry: Partial<Entry> | undefined = await stored.json().catch(() => undefined);
  const { generation, sha256 } = entry ?? {};
  if (typeof generation !== "string" || typeof sha256 !== "object") throw damaged(`${name}/${key}/${ENTRY_FILE}`);
  return { generation, sha256 };
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

/** Removes the files of the entry before, and those of generations that were given up a day ago or longer. */
async function sweep(cache: Cache, key: string, current: string, old: string | undefined): Promise<void> {
  const prefix = addressOf(key, "");
  for (const { url } of await cache.keys()) {
    const generation = url.startsWith(prefix) ? /^(\d+)-[^/]+(?=\/)/.exec(url.slice(prefix.length)) : null;
    if (generation === null || generation[0] === current) continue;
    // Another page may be filling one that is newer.
    const isAbandoned = Number(generation[1]) < Number.parseInt(current, 10) - DAY_MS;
    if (isAbandoned || generation[0] === old) await cache.delete(url);
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
    const got = (cause as Error)?.name === "QuotaExceededError" ? "a full disk" : `${cause}`;
    const message = expectedGot(path, "a file that the cache can take", got);
    throw new ModelError("cache", message, { subject: path, cause });
  }
}

interface CacheFile extends StoreFile {
  /** Gives the file up, if it is not closed. */
  abort(): Promise<void>;
}

/** A file that streams into the cache. It can be resumed within one `put`, but not in a later one. */
function cacheFile(cache: Cache, path: string, address: string, onBegin: () => void): CacheFile {
  let note: string | undefined;
  let size = 0;
  let writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  let stored: Promise<void> = Promise.resolve();
  const abort = async (): Promise<void> => {
    await writer?.abort().catch(() => {});
    await stored.catch(() => {});
    writer = undefined;
    size = 0;
  };
  const cannotResume = (got: string): ModelError =>
    new ModelError("cache", expectedGot(path, "a download from its beginning", got), { subject: path });
  return {
    get size() {
      return size;
    },
    get note() {
      return note;
    },
    async begin(text, keep = 0) {
      note = text;
      if (keep === size && writer !== undefined) return;
      await abort();
      if (keep > 0) throw cannotResume(`one from byte ${keep}`);
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
      onBegin();
      stored = writing(path, cache.put(address, new Response(readable)));
      stored.catch((error) => writable.abort(error).catch(() => {}));
      writer = writable.getWriter();
    },
    async append(bytes) {
      // What stops the writer is said by the cache.
      await writer!.write(bytes).catch(() => stored);
      size += bytes.byteLength;
    },
    async read() {
      throw cannotResume("one that is resumed");
    },
    async close() {
      await writer?.close().catch(() => stored);
      await stored;
      writer = undefined;
    },
    abort,
  };
}
