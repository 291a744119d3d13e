/** Files that commands write: whole or not at all. */
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { FileFormat } from "../convert.ts";
import { expectedGot, OptionError } from "../errors.ts";
import { isRunning, syncFolder } from "../runtimes/node-files.ts";

/** Endings of formats that are read here and not written. */
const FOREIGN = /\.(?:pth?|bin|ckpt|h5|keras|tflite|pb|json|npz|gguf|zip)$/i;

/**
 * The format that a model's file is written in, by its name's ending.
 *
 * @throws OptionError for the ending of a format that is not written
 */
export function formatOf(path: string): FileFormat {
  if (/\.onnx$/i.test(path)) return "onnx";
  const ending = FOREIGN.exec(path)?.[0];
  if (ending === undefined) return "safetensors";
  throw new OptionError("out", expectedGot("--out", "a name that ends in .safetensors or .onnx", ending));
}

/** Throws unless a file of this name is one of safetensors: what these commands write. */
export function checkSafetensorsName(path: string): void {
  if (formatOf(path) === "safetensors") return;
  const hint = `write a .safetensors file, then: resnet-wasm convert FILE --out ${basename(path)}`;
  throw new OptionError("out", expectedGot("--out", "a name that ends in .safetensors", ".onnx", hint));
}

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
