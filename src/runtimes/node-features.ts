/**
 * Features on a disk, a file for each network: 16 bytes that say how long a row is, then records of one length, each added when it
 * is known. So what a killed process leaves is whole but for its last record.
 *
 *     record: key, 32 bytes | the first 8 bytes of SHA-256 of key and row | row
 *
 * The files are in the cache and not beside the photos: a folder of photos is its owner's, perhaps not to be written, watched or
 * synchronised, and what the photos are called does not matter here.
 */
import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FeatureStore } from "../train/feature-store.ts";
import { nameOf } from "./node-files.ts";

/** The folder of kept features in a cache. */
export function featuresFolder(cache: string): string {
  return join(cache, "features");
}

/** Bytes of all files together: 60,000 rows of 2,048 numbers. */
const LIMIT_BYTES = 500e6;
/** Added bytes after which the limit is looked at again. */
const LOOK_BYTES = 50e6;
const MAGIC = "features1\n";
const [HEAD_BYTES, KEY_BYTES, SUM_BYTES] = [16, 32, 8] as const;
/** Bytes read at once. */
const READ_BYTES = 1 << 22;
const ENDING = ".rows";

export interface DiskFeatureOptions {
  readonly limitBytes?: number;
  /** Is told what was damaged, and what cannot be written. */
  readonly notice?: (text: string) => void;
}

/** Features that stay, until others take their room: those of the network that was used the longest time ago. */
export interface DiskFeatures extends FeatureStore {
  close(): Promise<void>;
}

/** A file of one network. */
interface Rows {
  readonly handle: FileHandle;
  /** Where each key's record begins. */
  readonly offsets: Map<string, number>;
  /** 0 until the first row is added. */
  recordBytes: number;
}

/** @param folder is made when the first features are kept */
export function diskFeatures(folder: string, options: DiskFeatureOptions = {}): DiskFeatures {
  const { limitBytes = LIMIT_BYTES, notice = () => {} } = options;
  const files = new Map<string, Promise<Rows>>();
  let [added, isOff] = [0, false];
  let last: Promise<unknown> = Promise.resolve();
  const pathOf = (network: string): string => join(folder, `${network}${ENDING}`);
  const fileOf = (network: string): Promise<Rows> => {
    const file = files.get(network) ?? openRows(pathOf(network), notice);
    files.set(network, file);
    return file;
  };
  const add = async (network: string, photo: string, bytes: Uint8Array): Promise<void> => {
    if (isOff) return;
    try {
      if (files.size === 0 || added === 0) await mkdir(folder, { recursive: true });
      const rows = await fileOf(network);
      const record = recordOf(photo, bytes);
      if (rows.recordBytes === 0) {
        rows.recordBytes = record.length;
        await rows.handle.write(headOf(record.length));
      }
      if (record.length !== rows.recordBytes) return;
      const { size } = await rows.handle.stat();
      // In one write, to the end: another process may be adding too.
      await rows.handle.write(record);
      rows.offsets.set(photo, size);
      added += record.length;
      if (added < LOOK_BYTES && added < limitBytes / 10) return;
      added = 1;
      if (!(await makeRoom(folder, limitBytes, pathOf(network)))) return;
      await rows.handle.close();
      files.delete(network);
    } catch (error) {
      isOff = true;
      notice(`features are not kept: ${folder}: ${nameOf(error)}`);
    }
  };
  return {
    async get(key) {
      const [network, photo] = partsOf(key);
      if (!(await isThere(pathOf(network)))) return undefined;
      try {
        return await rowOf(await fileOf(network), photo);
      } catch (error) {
        files.delete(network);
        if (!isOff) notice(`kept features are not read: ${folder}: ${nameOf(error)}`);
        isOff = true;
        return undefined;
      }
    },
    put(key, bytes) {
      const [network, photo] = partsOf(key);
      const next = last.then(() => add(network, photo, bytes));
      last = next;
      return next;
    },
    async close() {
      await last;
      for (const file of files.values()) await file.then(({ handle }) => handle.close()).catch(() => {});
      files.clear();
      if (added > 0) await makeRoom(folder, limitBytes).catch(() => {});
    },
  };
}

/** Bytes that all kept features take. */
export async function featureBytes(folder: string): Promise<number> {
  return (await rowFiles(folder)).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Removes all kept features. */
export function removeFeatures(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}

function partsOf(key: string): readonly [network: string, photo: string] {
  const [network, photo] = key.split("/");
  return [network!, photo!];
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function headOf(recordBytes: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(MAGIC);
  head.writeUInt32LE(recordBytes, HEAD_BYTES - 4);
  return head;
}

function recordOf(photo: string, bytes: Uint8Array): Buffer {
  const key = Buffer.from(photo, "hex");
  return Buffer.concat([key, sumOf(key, bytes), bytes]);
}

function sumOf(key: Uint8Array, bytes: Uint8Array): Buffer {
  return createHash("sha256").update(key).update(bytes).digest().subarray(0, SUM_BYTES);
}

/** The row of a record; undefined where it is damaged. */
function rowIn(record: Buffer): Buffer | undefined {
  const [key, row] = [record.subarray(0, KEY_BYTES), record.subarray(KEY_BYTES + SUM_BYTES)];
  return sumOf(key, row).equals(record.subarray(KEY_BYTES, KEY_BYTES + SUM_BYTES)) ? row : undefined;
}

async function rowOf({ handle, offsets, recordBytes }: Rows, photo: string): Promise<Uint8Array | undefined> {
  const offset = offsets.get(photo);
  if (offset === undefined) return undefined;
  const record = Buffer.alloc(recordBytes);
  await handle.read(record, 0, recordBytes, offset);
  // Where another process has added at the same time, it may be another photo's.
  return record.toString("hex", 0, KEY_BYTES) === photo ? rowIn(record) : undefined;
}

/** Opens a file, or begins one. Damaged records are left out; a record that was being written when a process ended is no damage. */
async function openRows(path: string, notice: (text: string) => void): Promise<Rows> {
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  const handle = await open(path, "a+");
  const offsets = new Map<string, number>();
  if (size === 0) return { handle, offsets, recordBytes: 0 };
  const head = Buffer.alloc(HEAD_BYTES);
  await handle.read(head, 0, HEAD_BYTES, 0);
  const recordBytes = head.readUInt32LE(HEAD_BYTES - 4);
  const isOurs = head.equals(headOf(recordBytes)) && recordBytes > KEY_BYTES + SUM_BYTES;
  let damaged = 0;
  const count = isOurs ? Math.floor((size - HEAD_BYTES) / recordBytes) : 0;
  for await (const record of recordsOf(handle, recordBytes, 0, count)) {
    if (rowIn(record.bytes) === undefined) damaged += 1;
    else offsets.set(record.bytes.toString("hex", 0, KEY_BYTES), record.offset);
  }
  const end = HEAD_BYTES + count * recordBytes;
  if (isOurs && damaged === 0) {
    if (size > end) await handle.truncate(end);
    const now = new Date();
    await utimes(path, now, now);
    return { handle, offsets, recordBytes };
  }
  notice(
    `${path}: ${isOurs ? `${damaged} of ${count} kept features are damaged` : "no kept features"}: computing them again`,
  );
  const good = async function* (): AsyncGenerator<Buffer> {
    if (!isOurs) return;
    yield head;
    for await (const { bytes } of recordsOf(handle, recordBytes, 0, count)) if (rowIn(bytes) !== undefined) yield bytes;
  };
  await replace(path, good());
  await handle.close();
  return openRows(path, notice);
}

/** Records `[from, to)`, which share memory with those read before. */
async function* recordsOf(
  handle: FileHandle,
  recordBytes: number,
  from: number,
  to: number,
): AsyncGenerator<{ readonly offset: number; readonly bytes: Buffer }> {
  const most = Math.max(1, Math.floor(READ_BYTES / recordBytes));
  for (let first = from; first < to; first += most) {
    const some = Math.min(most, to - first);
    const start = HEAD_BYTES + first * recordBytes;
    const bytes = Buffer.alloc(some * recordBytes);
    await handle.read(bytes, 0, bytes.length, start);
    for (let i = 0; i < some; ++i) {
      yield { offset: start + i * recordBytes, bytes: bytes.subarray(i * recordBytes, (i + 1) * recordBytes) };
    }
  }
}

async function replace(path: string, pieces: AsyncIterable<Buffer>): Promise<void> {
  const temporary = `${path}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    await writeFile(temporary, pieces);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

interface RowFile {
  readonly path: string;
  readonly bytes: number;
  readonly used: number;
}

async function rowFiles(folder: string): Promise<readonly RowFile[]> {
  const names = await readdir(folder).catch(() => []);
  const files = names.map(async (name) => {
    const path = join(folder, name);
    const { size, mtimeMs } = await stat(path).catch(() => ({ size: 0, mtimeMs: 0 }));
    return { path, bytes: size, used: mtimeMs };
  });
  return Promise.all(files);
}

/**
 * Removes files until all together are below the limit, those used the longest time ago first; of one that is above it alone, the
 * older half of the limit's rows.
 *
 * @param current the file in use, which is the last to go
 * @returns whether that has been written again
 */
async function makeRoom(folder: string, limitBytes: number, current?: string): Promise<boolean> {
  const files = [...(await rowFiles(folder))].sort((a, b) => a.used - b.used);
  let total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const newest = current ?? files.at(-1)?.path;
  for (const { path, bytes } of files) {
    if (total <= limitBytes) return false;
    if (path === newest) continue;
    await unlink(path);
    total -= bytes;
  }
  if (total <= limitBytes || newest === undefined) return false;
  const handle = await open(newest, "r");
  const newer = async function* (): AsyncGenerator<Buffer> {
    const head = Buffer.alloc(HEAD_BYTES);
    await handle.read(head, 0, HEAD_BYTES, 0);
    yield head;
    const recordBytes = head.readUInt32LE(HEAD_BYTES - 4);
    const count = Math.floor(((await handle.stat()).size - HEAD_BYTES) / recordBytes);
    const most = Math.floor(limitBytes / 2 / recordBytes);
    for await (const { bytes } of recordsOf(handle, recordBytes, Math.max(0, count - most), count)) yield bytes;
  };
  try {
    await replace(newest, newer());
  } finally {
    await handle.close();
  }
  return true;
}
