/** Photos by class as a zip, a folder a class, and back. */
import { unzipSync, zipSync } from "fflate";
import type { Lesson } from "./lesson.ts";

const JPEG = /\.(jpe?g|png|webp|gif)$/i;

/** A name that is a folder's everywhere. */
const folderOf = (label: string): string => encodeURIComponent(label).replaceAll("%20", " ");
const labelOf = (folder: string): string => {
  try {
    return decodeURIComponent(folder);
  } catch {
    return folder;
  }
};

export async function zipOf(lesson: Lesson, tell: (done: number, total: number) => void): Promise<Blob> {
  const { photos } = lesson;
  const files: Record<string, Uint8Array> = {};
  for (const [i, { id, label }] of photos.entries()) {
    const picture = await lesson.picture(id);
    if (picture !== undefined) files[`${folderOf(label)}/${id}.jpg`] = new Uint8Array(await picture.arrayBuffer());
    tell(i + 1, photos.length);
  }
  return new Blob([zipSync(files, { level: 0 }) as Uint8Array<ArrayBuffer>], { type: "application/zip" });
}

/** @throws RangeError when there are no photos in folders */
export async function unzipInto(
  lesson: Lesson,
  file: Blob,
  tell: (done: number, total: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const files = unzipSync(new Uint8Array(await file.arrayBuffer()), { filter: ({ name }) => JPEG.test(name) });
  const entries = Object.entries(files).filter(([name]) => name.includes("/") && !name.startsWith("__MACOSX"));
  if (entries.length === 0) throw new RangeError("zip: expected photos in folders, one a class, got none");
  for (const [i, [name, bytes]] of entries.entries()) {
    signal.throwIfAborted();
    const folder = name.split("/").at(-2)!;
    await lesson.add(new Blob([bytes as Uint8Array<ArrayBuffer>]), labelOf(folder));
    tell(i + 1, entries.length);
  }
}
