/** What a user names as images: files, folders, patterns and stdin. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { glob, isDynamicPattern } from "tinyglobby";
import { brief } from "../decode/address.ts";
import type { ImageInput } from "../decode/input.ts";
import { schemeOf } from "../decode/scheme.ts";
import { expectedGot, ImageError } from "../errors.ts";
import { IMAGE_FILE, isDirectory, isSystemPath } from "./image-folders.ts";

/** One image and what to call it. */
export interface Photo {
  readonly name: string;
  readonly image: ImageInput;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The image files of a folder, and with `recursive` of those in it, by name. */
export async function imagesIn(directory: string, recursive: boolean): Promise<readonly string[]> {
  const files = await readdir(directory, { recursive });
  return files
    .filter((file) => IMAGE_FILE.test(file) && !isSystemPath(file))
    .sort()
    .map((file) => join(directory, file));
}

/**
 * The images that arguments name, in their order: `-` is stdin; a URL, the image there; a folder, the images in it; a pattern that the shell has left
 * alone, the files it fits; anything else, itself.
 *
 * @throws ImageError for a folder or a pattern without images
 */
export async function photosOf(names: readonly string[], recursive: boolean): Promise<readonly Photo[]> {
  const photos: Photo[] = [];
  const take = (files: readonly string[], from: string, wanted: string, hint?: string): void => {
    if (files.length === 0) throw new ImageError("not-found", expectedGot(from, wanted, "none", hint));
    for (const file of files) photos.push({ name: file, image: file });
  };
  for (const name of names) {
    if (name === "-") photos.push({ name: "stdin", image: process.stdin });
    else if (schemeOf(name) !== undefined) photos.push({ name: brief(name), image: name });
    else if (await isDirectory(name)) {
      const hint = recursive ? undefined : "--recursive looks into the folders in it";
      take(await imagesIn(name, recursive), name, "a folder with JPEG, PNG, WebP, GIF, HEIC or AVIF images", hint);
    } else if (isDynamicPattern(name) && !(await exists(name))) {
      take((await glob(name)).sort(), name, "a pattern that some file fits");
    } else photos.push({ name, image: name });
  }
  return photos;
}
