/** What the cache on a disk holds, for people who want to see it and to have the room back. */
import { readdir, readFile, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { ORIGIN_FILE } from "../hub/origin.ts";
import type { StoredEntry } from "../runtime.ts";
import { DIGESTS_FILE } from "./node-digests.ts";
import { codeOf, inside, isFolder } from "./node-files.ts";
import { partialOf } from "./node-store.ts";

/** The whole entries of a cache, in the order of their keys. */
export async function cachedEntries(root: string): Promise<readonly StoredEntry[]> {
  const entries: StoredEntry[] = [];
  const walk = async (folder: string): Promise<void> => {
    const items = await readdir(folder, { withFileTypes: true }).catch(ignoreAbsent);
    if (items.some(({ name }) => name === DIGESTS_FILE)) {
      const key = relative(root, folder).split(sep).join("/");
      const origin = await readFile(join(folder, ORIGIN_FILE), "utf8").catch(() => undefined);
      entries.push({ key, bytes: await bytesOf(folder), origin });
      return;
    }
    // Entries that are being written, or were given up, begin with a dot.
    for (const item of items) {
      if (item.isDirectory() && !item.name.startsWith(".")) await walk(join(folder, item.name));
    }
  };
  await walk(root);
  return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Bytes of an entry's files, as they were when it was written. */
async function bytesOf(folder: string): Promise<number> {
  const digests: Readonly<Record<string, { readonly size?: unknown }>> = JSON.parse(
    await readFile(join(folder, DIGESTS_FILE), "utf8").catch(() => "{}"),
  );
  return Object.values(digests).reduce((sum, { size }) => sum + (Number(size) || 0), 0);
}

/** Removes an entry, and what an interrupted download of it left. False when there is none. */
export async function removeEntry(root: string, key: string): Promise<boolean> {
  const target = inside(root, key);
  const wasThere = await isFolder(target);
  for (const path of [target, partialOf(target)]) await rm(path, { recursive: true, force: true });
  // Folders above that hold nothing any more.
  for (let folder = dirname(target); folder !== root && basename(folder) !== ""; folder = dirname(folder)) {
    try {
      await rmdir(folder);
    } catch {
      break;
    }
  }
  return wasThere;
}

function ignoreAbsent(error: unknown): [] {
  if (["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) return [];
  throw error;
}
