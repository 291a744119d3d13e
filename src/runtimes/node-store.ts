/** The cache of downloads on a disk: entries that are whole or not there, and parts that a later download continues. */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import {
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { homedir, hostname } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import process from "node:process";
import { expectedGot, ModelError } from "../errors.ts";
import type { Store, StoreFile } from "../runtime.ts";
import { type VerifiedFiles, verifyDigests, writeDigests } from "./node-digests.ts";
import { codeOf, folder, inside, isFolder, isRunning, nameOf, syncFolder } from "./node-files.ts";

/** Begins the name of an entry that is being written. */
const TEMPORARY = ".tmp-";
/** Begins the name of one that was given up, which the next `put` resumes. */
const PARTIAL = ".part-";
/** Ends the name of the note about a file that is not whole. */
const NOTE = ".note~";
const DAY_MS = 24 * 60 * 60 * 1000;
const WEEK_MS = 7 * DAY_MS;
const CACHE_HINT = "name another folder with --cache DIR";

/**
 * Entries are folders that appear by a rename, whole. While one is written it is a `.tmp-` folder, named after the
 * process that does it; when that fails with files worth resuming, it becomes a `.part-` folder. The next `put` of the
 * same key takes over such a folder, or one whose process has ended, by a rename that only one process can win.
 *
 * @param verified files that this process has compared with their digests
 */
export function diskStore(directory = defaultCache(), verified: VerifiedFiles = new Map()): Store {
  const root = resolve(directory);
  return {
    name: root,
    async get(key) {
      const path = inside(root, key);
      if (!(await isFolder(path))) return undefined;
      await verifyDigests(path, verified);
      return folder(path);
    },
    async put(key, fill, { replace } = { replace: false }) {
      const target = inside(root, key);
      const temporary = await makeTemporary(root, target);
      const written = new Set<string>();
      const open = new Set<StoreFile>();
      try {
        await fill({
          async write(path, bytes) {
            written.add(inside(temporary, path));
            await writeInto(temporary, path, bytes);
          },
          async file(path) {
            const file = await openPartial(inside(temporary, path), written);
            open.add(file);
            return file;
          },
        });
        await prune(temporary, written);
        await writeDigests(temporary, written);
        await moveInto(temporary, target, replace);
      } catch (error) {
        await Promise.all([...open].map((file) => file.close().catch(() => {})));
        await putAside(temporary, partialOf(target), error);
        throw error;
      } finally {
        await rm(temporary, { recursive: true, force: true });
      }
      return folder(target);
    },
  };
}

/** Where a download of an entry is kept when it is given up. */
export function partialOf(target: string): string {
  return join(dirname(target), `${PARTIAL}${basename(target)}`);
}

/** The folder in which `target` is made: a new one, or one that was left behind half made. */
async function makeTemporary(root: string, target: string): Promise<string> {
  const parent = dirname(target);
  const begin = `${TEMPORARY}${basename(target)}~`;
  const owner = `${begin}${hostname().replace(/[^\w.-]/g, "_")}~${process.pid}~`;
  try {
    await mkdir(parent, { recursive: true });
    await sweep(parent);
    for (const item of await readdir(parent)) {
      const isLeft = item === basename(partialOf(target)) || (item.startsWith(begin) && hasEnded(item));
      if (!isLeft) continue;
      const mine = join(parent, `${owner}${randomUUID().slice(0, 8)}`);
      try {
        await rename(join(parent, item), mine);
        return mine;
      } catch (error) {
        // Another process was quicker.
        if (codeOf(error) !== "ENOENT") throw error;
      }
    }
    return await mkdtemp(join(parent, owner));
  } catch (error) {
    throw new ModelError(
      "cache",
      expectedGot(`cache ${root}`, "a folder that can be written", nameOf(error), CACHE_HINT),
      { subject: root, cause: error },
    );
  }
}

/** Whether the process that a `.tmp-` folder is named after was one of this machine, and has ended. */
function hasEnded(item: string): boolean {
  const [host, pid] = item.split("~").slice(-3, -1);
  return host === hostname().replace(/[^\w.-]/g, "_") && /^[1-9]\d*$/.test(pid ?? "") && !isRunning(Number(pid));
}

/** Removes what was left behind so long ago that nobody will resume it. */
async function sweep(parent: string): Promise<void> {
  for (const item of await readdir(parent)) {
    const limit = item.startsWith(TEMPORARY) ? DAY_MS : item.startsWith(PARTIAL) ? WEEK_MS : Number.POSITIVE_INFINITY;
    const path = join(parent, item);
    const age = Date.now() - (await stat(path).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;
    if (age > limit) await rm(path, { recursive: true, force: true });
  }
}

/** Keeps a failed entry for the next `put`, if it has files to resume and the disk has room. */
async function putAside(temporary: string, partial: string, error: unknown): Promise<void> {
  if (codeOf((error as Error)?.cause) === "ENOSPC") return;
  try {
    const items = await readdir(temporary, { recursive: true });
    if (!items.some((item) => item.endsWith(NOTE))) return;
    const now = new Date();
    await utimes(temporary, now, now);
    await rename(temporary, partial);
  } catch {
    // Another process has put its own aside, or the disk fails: then this one starts from the beginning.
  }
}

/** Removes all but the files written: notes, and what an earlier `put` had begun. */
async function prune(temporary: string, written: ReadonlySet<string>): Promise<void> {
  for (const item of await readdir(temporary, { recursive: true })) {
    const path = join(temporary, item);
    if (!written.has(path) && !(await isFolder(path))) await rm(path);
  }
}

/** A file to append to; what is there already counts only if it has a note. */
async function openPartial(path: string, written: Set<string>): Promise<StoreFile> {
  let note = await readFile(path + NOTE, "utf8").catch(() => undefined);
  let handle: FileHandle | undefined;
  const left = note === undefined ? undefined : await stat(path).catch(() => undefined);
  let size = left?.size ?? 0;
  const opened = async (): Promise<FileHandle> => {
    if (handle === undefined) {
      await mkdir(dirname(path), { recursive: true });
      handle = await open(path, constants.O_RDWR | constants.O_CREAT);
    }
    return handle;
  };
  const writing = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      const message = expectedGot(path, what, nameOf(error), CACHE_HINT);
      throw new ModelError("cache", message, { subject: path, cause: error });
    }
  };
  return {
    get size() {
      return size;
    },
    get note() {
      return note;
    },
    begin: (text, keep = 0) =>
      writing("a file that can be written", async () => {
        written.add(path);
        const file = await opened();
        if ((await file.stat()).size > keep) await file.truncate(keep);
        size = keep;
        if (text === undefined) await rm(path + NOTE, { force: true });
        else await writeFile(path + NOTE, text);
        note = text;
      }),
    append: (bytes) =>
      writing(`${bytes.byteLength} bytes to be written`, async () => {
        const file = await opened();
        for (let at = 0; at < bytes.byteLength; ) {
          const { bytesWritten } = await file.write(bytes, at, bytes.byteLength - at, size);
          at += bytesWritten;
          size += bytesWritten;
        }
      }),
    read: (offset, length) =>
      writing("a file that can be read", async () => {
        const bytes = new Uint8Array(length);
        const { bytesRead } = await (await opened()).read(bytes, 0, length, offset);
        return bytes.subarray(0, bytesRead);
      }),
    async close() {
      const file = handle;
      handle = undefined;
      await file?.close();
    },
  };
}

async function writeInto(directory: string, path: string, bytes: Uint8Array): Promise<void> {
  const file = inside(directory, path);
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, bytes);
  } catch (error) {
    throw new ModelError(
      "cache",
      expectedGot(file, `${bytes.byteLength} bytes to be written`, nameOf(error), CACHE_HINT),
      { subject: file, cause: error },
    );
  }
}

/** Gives a finished entry its name; an entry that another process finished meanwhile is as good, unless it is replaced. */
async function moveInto(temporary: string, target: string, replace: boolean): Promise<void> {
  const old = join(dirname(target), `${TEMPORARY}old-${randomUUID()}`);
  try {
    if (replace) await rename(target, old).catch(ignoreAbsent);
    await rename(temporary, target);
    await syncFolder(dirname(target));
  } catch (error) {
    if (!replace && (await isFolder(target))) return;
    await rename(old, target).catch(() => {});
    const message = expectedGot(target, "the finished download to be moved here", nameOf(error), CACHE_HINT);
    throw new ModelError("cache", message, { subject: target, cause: error });
  } finally {
    await rm(old, { recursive: true, force: true });
  }
}

function ignoreAbsent(error: unknown): void {
  if (codeOf(error) !== "ENOENT") throw error;
}

/** The user's folder for caches, as each system has it. */
function defaultCache(): string {
  const { XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = process.env;
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "resnet-wasm");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "resnet-wasm");
  if (process.platform === "win32" && local !== undefined) return join(local, "resnet-wasm");
  return join(homedir(), ".cache", "resnet-wasm");
}
