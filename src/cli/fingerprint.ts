/** What a long run depends on, by the bytes: files of models and photos. */
import { createHash } from "node:crypto";
import type { ByteSource, Folder } from "../bytes.ts";
import { locate } from "../hub/locate.ts";
import type { Runtime, Store } from "../runtime.ts";

const READ_BYTES = 1 << 20;

/** A runtime that remembers which files are opened through it. */
export interface Recorder {
  readonly runtime: Runtime;
  /** SHA-256 over the files that were opened since the last call, as hexadecimal digits; their names do not count. */
  digest(): Promise<string>;
}

/** Begins to remember what is opened: weights, their shards, configurations beside them, from a disk or a cache. */
export function recordFiles(inner: Runtime): Recorder {
  const opened = new Map<string, () => Promise<ByteSource>>();
  const recordFolder = (folder: Folder): Folder => ({
    ...folder,
    async open(path) {
      const file = await folder.open(path);
      opened.set(`${folder.name}/${path}`, () => folder.open(path));
      return file;
    },
  });
  const recordStore = (store: Store): Store => ({
    name: store.name,
    async get(key) {
      const entry = await store.get(key);
      return entry && recordFolder(entry);
    },
    put: async (...args) => recordFolder(await store.put(...args)),
  });
  const runtime: Runtime = {
    ...inner,
    folder: (path) => recordFolder(inner.folder(path)),
    store: (directory) => recordStore(inner.store(directory)),
    locate: (source, options) => locate(source, runtime, options),
  };
  return {
    runtime,
    async digest() {
      const all = createHash("sha256");
      for (const name of [...opened.keys()].sort()) all.update(await digestOf(await opened.get(name)!()));
      opened.clear();
      return all.digest("hex");
    },
  };
}

/** The SHA-256 of a file, which it closes, as hexadecimal digits. */
export async function digestOf(file: ByteSource): Promise<string> {
  const hash = createHash("sha256");
  try {
    for (let at = 0; at < file.size; at += READ_BYTES) {
      hash.update(await file.read(at, Math.min(READ_BYTES, file.size - at)));
    }
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}
