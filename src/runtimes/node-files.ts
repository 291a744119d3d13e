/** Local files and folders of Node, Deno and Bun, and the system's errors in words. */
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { isAbsolute, join, relative, sep } from "node:path";
import process from "node:process";
import { type ByteSource, checkRange, type Folder } from "../bytes.ts";
import { expectedGot, ModelError, type ModelErrorCode } from "../errors.ts";

/** Most bytes asked of one read; the system's own limit is 2 GiB. */
const MAX_READ_BYTES = 1 << 30;

/** Opens a file for reads at any place. Throws `ModelError` when it is absent, a folder, or not ours to read. */
export async function openFile(path: string): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    const info = await handle.stat();
    if (info.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
    return fileSource(path, handle, info.size);
  } catch (error) {
    await handle?.close();
    throw unreadable(path, "a file", error);
  }
}

function fileSource(name: string, handle: FileHandle, size: number): ByteSource {
  const source: ByteSource = {
    name,
    size,
    async read(offset, length) {
      checkRange(source, offset, length);
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await handle.read(bytes, at, Math.min(length - at, MAX_READ_BYTES), offset + at);
        if (bytesRead === 0) {
          const message = expectedGot(name, `${size} bytes`, `${offset + at}`, "it was cut while being read");
          throw new ModelError("truncated", message, { subject: name });
        }
        at += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
  return source;
}

/** A folder of the disk; nothing is read until a file in it is opened. */
export function folder(name: string): Folder {
  return {
    name,
    open: async (path) => openFile(inside(name, path)),
    async list(path = "", { recursive } = { recursive: false }) {
      const directory = inside(name, path);
      try {
        const items = await readdir(directory, { recursive, withFileTypes: true });
        const files = items.filter((item) => !item.isDirectory());
        if (!recursive) return files.map((item) => item.name);
        const paths = files.map((item) => relative(directory, join(item.parentPath, item.name)));
        return paths.map((file) => file.split(sep).join("/")).sort();
      } catch (error) {
        throw unreadable(directory, "a folder", error);
      }
    },
  };
}

/** `path` beneath `root`. Throws `ModelError` when it would lead out. */
export function inside(root: string, path: string): string {
  const whole = join(root, path);
  const inner = relative(root, whole);
  if (isAbsolute(path) || isAbsolute(inner) || inner === ".." || inner.startsWith(`..${sep}`)) {
    throw new ModelError("malformed", expectedGot(root, "a path inside the folder", path), { subject: path });
  }
  return whole;
}

/** Whether there is a folder at `path`. */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return false;
    throw unreadable(path, "a folder", error);
  }
}

function unreadable(path: string, expected: string, error: unknown): ModelError {
  const isAbsent = ["ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG"].includes(codeOf(error) ?? "");
  const code: ModelErrorCode = isAbsent ? "not-found" : "denied";
  return new ModelError(code, expectedGot(path, expected, nameOf(error)), { subject: path, cause: error });
}

/** A system error in words. */
export function nameOf(error: unknown): string {
  switch (codeOf(error)) {
    case "ENOENT":
      return "no such file or folder";
    case "EISDIR":
      return "a folder";
    case "ENOTDIR":
    case "EEXIST":
      return "a file in its way";
    case "EACCES":
    case "EPERM":
      return "no permission";
    case "EROFS":
      return "a read-only disk";
    case "ENOSPC":
      return "a full disk";
    default:
      return (error as Error).message;
  }
}

/** The code of a system error, such as `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  return (error as { code?: string } | undefined)?.code;
}

/** Puts a folder's list of files on the disk, where the system can (Windows cannot). */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r").catch(() => undefined);
  try {
    await handle?.sync();
  } catch {
    // The rename holds in any case; only a loss of power right now could undo it.
  } finally {
    await handle?.close();
  }
}

/** Whether a process of this machine is running, whichever user's it is. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH";
  }
}
