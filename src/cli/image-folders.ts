/** Folders of images: which entries are classes and images, which the operating system or a tool has left there. */
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { DatasetError, expectedGot } from "../errors.ts";
import type { Example } from "../train/dataset.ts";
import { systemReason } from "./terminal.ts";

/** File names that are taken for images where a folder is named; a file that is named itself may have any. */
export const IMAGE_FILE = /\.(jpe?g|jfif|png|webp|gif|heic|avif)$/i;

/** What macOS, Windows, NAS systems and notebooks put beside photos; a leading dot covers `._x.jpg`, `.git` and their like. */
const SYSTEM_NAME =
  /^(\..*|__MACOSX|__pycache__|Thumbs\.db|ehthumbs\.db|desktop\.ini|@eaDir|\$RECYCLE\.BIN|System Volume Information)$/i;

/** Whether a path, or a folder on its way, is never a class or an image. */
export function isSystemPath(path: string): boolean {
  return path.split(/[\\/]/).some((name) => SYSTEM_NAME.test(name));
}

export async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

/** The entries of one folder, by name, without the system's. */
export interface Listing {
  readonly folders: readonly string[];
  readonly files: readonly string[];
}

/** Lists a folder; a link counts as what it points to. */
export async function listFolder(directory: string): Promise<Listing> {
  let entries: Dirent[];
  try {
    entries = await readdir(directory, { withFileTypes: true });
  } catch (error) {
    const got = systemReason(error);
    throw new DatasetError("not-found", expectedGot(directory, "a folder that can be read", got), { cause: error });
  }
  const folders: string[] = [];
  const files: string[] = [];
  for (const entry of entries) {
    if (isSystemPath(entry.name)) continue;
    const isFolder = entry.isSymbolicLink() ? await isDirectory(join(directory, entry.name)) : entry.isDirectory();
    (isFolder ? folders : files).push(entry.name);
  }
  return { folders: folders.sort(), files: files.sort() };
}

/** Images and what else there is. */
export interface Found {
  /** Paths from the folder that was searched, `/` between names. */
  readonly images: readonly string[];
  /** Files that are no images by their names. */
  readonly others: readonly string[];
}

/** Everything in a folder and in those below it. */
export async function filesBelow(directory: string): Promise<Found> {
  const paths = (await readdir(directory, { recursive: true, withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(directory, sep).length))
    .filter((path) => !isSystemPath(path))
    .map((path) => path.split(sep).join("/"))
    .sort();
  return {
    images: paths.filter((path) => IMAGE_FILE.test(path)),
    others: paths.filter((path) => !IMAGE_FILE.test(path)),
  };
}

/** Images of a folder with one folder a class; like torchvision's `ImageFolder`, folders inside a class belong to it. */
export async function classFolders(
  directory: string,
  classes: readonly string[],
): Promise<{ readonly examples: readonly Example[]; readonly skipped: readonly string[] }> {
  const examples: Example[] = [];
  const skipped = [...(await listFolder(directory)).files];
  for (const [label, name] of classes.entries()) {
    const { images, others } = await filesBelow(join(directory, name));
    for (const file of images)
      examples.push({ name: `${name}/${file}`, label, image: () => join(directory, name, file) });
    skipped.push(...others.map((file) => `${name}/${file}`));
  }
  return { examples, skipped };
}
