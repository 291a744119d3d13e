/** Files that a browser keeps in several parts. */
import { type ByteSource, checkRange } from "../bytes.ts";

/** A file of several blobs, which the browser may keep on its disk; only what is read is in memory. */
export function fromBlobs(name: string, blobs: readonly Blob[]): ByteSource {
  const all = new Blob([...blobs]);
  const source: ByteSource = {
    name,
    size: all.size,
    async read(offset, length) {
      checkRange(source, offset, length);
      return new Uint8Array(await all.slice(offset, offset + length).arrayBuffer());
    },
    async close() {},
  };
  return source;
}
