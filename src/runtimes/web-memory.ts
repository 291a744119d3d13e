/** Where a page may keep nothing: what is downloaded lives as long as the model's reader needs it. */
import type { ByteSource } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";
import type { EntryFolder, KnownChecksum, Store, StoreFile } from "../runtime.ts";
import { fromBlobs } from "./web-blobs.ts";

/** A store that has nothing, and gives what is put to whoever puts it. */
export function memoryStore(name: string, denial: string): Store {
  return {
    name,
    get: async () => undefined,
    async put(key, fill) {
      const files = new Map<string, Blob[]>();
      const known = new Map<string, readonly KnownChecksum[]>();
      await fill({
        async write(path, bytes) {
          files.set(path, [new Blob([bytes as Uint8Array<ArrayBuffer>])]);
        },
        file: async (path) => fileInMemory(path, files, known),
      });
      return folderOf(`${name}/${key}`, files, known);
    },
    alone: (_, work) => work(),
    denial: async () => denial,
    list: async () => [],
    remove: async () => false,
  };
}

function fileInMemory(
  path: string,
  files: Map<string, Blob[]>,
  known: Map<string, readonly KnownChecksum[]>,
): StoreFile {
  let parts: Blob[] = [];
  let note: string | undefined;
  const size = (): number => parts.reduce((sum, part) => sum + part.size, 0);
  return {
    get size() {
      return size();
    },
    get note() {
      return note;
    },
    async begin(text, keep = 0) {
      if (keep !== size()) parts = keep === 0 ? [] : [new Blob(parts).slice(0, keep)];
      files.set(path, parts);
      note = text;
    },
    async append(bytes) {
      parts.push(new Blob([bytes as Uint8Array<ArrayBuffer>]));
    },
    read: async (offset, length) => new Uint8Array(await new Blob(parts).slice(offset, offset + length).arrayBuffer()),
    async close(checksums = []) {
      known.set(path, checksums);
    },
  };
}

function folderOf(
  name: string,
  files: ReadonlyMap<string, readonly Blob[]>,
  known: ReadonlyMap<string, readonly KnownChecksum[]>,
): EntryFolder {
  return {
    name,
    async open(path): Promise<ByteSource> {
      const parts = files.get(path);
      if (parts !== undefined) return fromBlobs(`${name}/${path}`, parts);
      throw new ModelError("not-found", expectedGot(name, path, "no such file"), { subject: path });
    },
    async list(folder = "") {
      const prefix = folder === "" ? "" : `${folder}/`;
      const inside = [...files.keys()].filter((path) => path.startsWith(prefix));
      if (inside.length > 0) return inside.map((path) => path.slice(prefix.length)).sort();
      throw new ModelError("not-found", expectedGot(name, "a folder", folder), { subject: folder });
    },
    checksums: async (path) => known.get(path) ?? [],
  };
}
