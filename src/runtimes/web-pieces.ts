/** A file that streams into a browser's cache in pieces, and can be continued by a later page. */
import type { KnownChecksum, StoreFile } from "../runtime.ts";

/** Bytes that are lost at most when a page is closed. */
const PIECE_BYTES = 4 << 20;

/** A file in pieces. */
export interface PieceFile extends StoreFile {
  readonly isBegun: boolean;
  /** Bytes of the pieces that are stored. */
  readonly pieces: readonly number[];
  /** That it was closed with. */
  readonly checksums: readonly KnownChecksum[];
  /** Gives the file up. True when a later page can continue it. */
  keep(): Promise<boolean>;
}

/** The path of piece `i` of a file. */
export function pieceName(path: string, i: number): string {
  return `${path}~${i}`;
}

/**
 * The file at an address, with what an earlier page has left of it.
 *
 * @param writing says in words what is wrong when the cache cannot be written
 */
export async function pieceFile(
  cache: Cache,
  address: string,
  writing: (work: Promise<void>) => Promise<void>,
): Promise<PieceFile> {
  const noteAddress = `${address}~note`;
  /** Of the pieces. */
  const sizes: number[] = [];
  let note: string | undefined;
  /** What is not stored yet. */
  let tail: Uint8Array<ArrayBuffer>[] = [];
  let tailBytes = 0;
  let isBegun = false;
  let known: readonly KnownChecksum[] = [];
  const stored = (): number => sizes.reduce((sum, size) => sum + size, 0);
  const blobOf = async (i: number): Promise<Blob> => {
    const found = await cache.match(pieceName(address, i));
    return found === undefined ? new Blob() : found.blob();
  };
  const flush = async (): Promise<void> => {
    if (tailBytes === 0) return;
    await writing(cache.put(pieceName(address, sizes.length), new Response(new Blob(tail))));
    sizes.push(tailBytes);
    [tail, tailBytes] = [[], 0];
  };
  /** Keeps the first `keep` bytes of what is stored. */
  const cutTo = async (keep: number): Promise<void> => {
    while (sizes.length > 0 && stored() > keep) {
      const i = sizes.length - 1;
      const rest = keep - (stored() - sizes[i]!);
      if (rest > 0) tail = [new Uint8Array(await (await blobOf(i)).slice(0, rest).arrayBuffer())];
      tailBytes = Math.max(0, rest);
      await cache.delete(pieceName(address, i));
      sizes.pop();
    }
  };
  const left = await cache.match(noteAddress);
  if (left !== undefined) {
    note = await left.text();
    for (let { size } = await blobOf(0); size > 0; { size } = await blobOf(sizes.length)) sizes.push(size);
  }
  return {
    get size() {
      return stored() + tailBytes;
    },
    get note() {
      return note;
    },
    get isBegun() {
      return isBegun;
    },
    get pieces() {
      return sizes;
    },
    get checksums() {
      return known;
    },
    async begin(text, keep = 0) {
      isBegun = true;
      await flush();
      await cutTo(keep);
      if (text !== note) {
        if (text === undefined) await cache.delete(noteAddress);
        else await writing(cache.put(noteAddress, new Response(text)));
      }
      note = text;
    },
    async append(bytes) {
      tail.push(bytes.slice() as Uint8Array<ArrayBuffer>);
      tailBytes += bytes.byteLength;
      if (tailBytes >= PIECE_BYTES) await flush();
    },
    async read(offset, length) {
      await flush();
      const parts: Blob[] = [];
      let start = 0;
      for (const [i, size] of sizes.entries()) {
        const [from, to] = [Math.max(0, offset - start), Math.min(size, offset + length - start)];
        if (from < to) parts.push((await blobOf(i)).slice(from, to));
        start += size;
      }
      return new Uint8Array(await new Blob(parts).arrayBuffer());
    },
    async close(checksums = []) {
      await flush();
      known = checksums;
    },
    async keep() {
      if (note === undefined) return false;
      await flush();
      return sizes.length > 0;
    },
  };
}
