/** Files that commands write: whole or not at all. */
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { expectedGot } from "../errors.ts";
import { isRunning, syncFolder } from "../runtimes/node-files.ts";

/** Throws now what `writeAtomically` would throw after hours: the Error that names a file which cannot be written. */
export async function checkWritable(path: string): Promise<void> {
  const temporary = `${path}.tmp-${process.pid}`;
  if ((await stat(path).catch(() => undefined))?.isDirectory()) {
    throw new Error(expectedGot(path, "a file that can be written", REASONS.EISDIR!));
  }
  await sweep(path);
  await (await named(path, open(temporary, "w"))).close();
  await rm(temporary, { force: true });
}

/**
 * Writes pieces to a file beside `path` and gives it its name when it is whole.
 *
 * @returns bytes written
 * @throws the signal's reason, or an Error naming the file when it cannot be written
 */
export async function writeAtomically(
  path: string,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<number> {
  const temporary = `${path}.tmp-${process.pid}`;
  let bytes = 0;
  await sweep(path);
  try {
    const file = await named(path, open(temporary, "w"));
    try {
      for await (const piece of pieces) {
        signal?.throwIfAborted();
        await named(path, file.writeFile(piece));
        bytes += piece.byteLength;
      }
      await named(path, file.sync());
    } finally {
      await file.close();
    }
    await named(path, rename(temporary, path));
    await syncFolder(dirname(path));
    return bytes;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Removes what runs that were killed had written of the same file. */
async function sweep(path: string): Promise<void> {
  const begin = `${basename(path)}.tmp-`;
  for (const item of await readdir(dirname(path)).catch(() => [])) {
    const pid = item.startsWith(begin) ? item.slice(begin.length) : "";
    if (/^[1-9]\d*$/.test(pid) && !isRunning(Number(pid))) await rm(join(dirname(path), item), { force: true });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such folder",
  ENOSPC: "a full disk",
  EACCES: "no permission",
  EISDIR: "a folder",
};

/** The same, failing in words that name the file. */
async function named<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(expectedGot(path, "a file that can be written", REASONS[code ?? ""] ?? message), { cause: error });
  }
}
