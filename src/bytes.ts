/**
 * Random access to bytes wherever they are: memory, a file, a Blob, several shards end to end.
 * A checkpoint reads one tensor at a time through this, so that loading never holds a file twice.
 */
import { complaint, ModelError } from "./tensor.ts";

export interface ByteSource {
  /** What to call it in an error: a path or a URL. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Bytes `[offset, offset + length)`; the view may share memory with the source. Throws `ModelError` beyond the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A file that is beside others: a `model.json` finds its shards through this. */
export interface Folder {
  readonly name: string;
  /** Opens `path`, relative to the folder. Throws `ModelError` when it is absent or climbs out of the folder. */
  open(path: string): Promise<ByteSource>;
  /**
   * The files directly in the folder, or in `path` beneath it. Throws `ModelError` when that is not a folder.
   * Absent where folders cannot be listed, as behind HTTP.
   */
  list?(path?: string): Promise<readonly string[]>;
}

/** Throws unless `[offset, offset + length)` lies inside the source. */
export function checkRange(source: ByteSource, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > source.size) {
    throw new ModelError(
      complaint(source.name, `at least ${offset + length} bytes`, `${source.size}`, "the file may be cut short"),
    );
  }
}

/** A view of bytes that are already in memory. */
export function fromBytes(name: string, given: Uint8Array): ByteSource {
  // A Buffer of Node's is a Uint8Array whose `slice` copies nothing.
  const bytes = new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  const source: ByteSource = {
    name,
    size: bytes.byteLength,
    async read(offset, length) {
      checkRange(source, offset, length);
      return bytes.subarray(offset, offset + length);
    },
    async close() {},
  };
  return source;
}

/** Several sources as one, end to end, as the shards of a TensorFlow.js model are. */
export function concat(name: string, parts: readonly ByteSource[]): ByteSource {
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const source: ByteSource = {
    name,
    size,
    async read(offset, length) {
      checkRange(source, offset, length);
      let start = 0;
      const pieces: Uint8Array[] = [];
      for (const part of parts) {
        const from = Math.max(offset, start);
        const to = Math.min(offset + length, start + part.size);
        if (from < to) pieces.push(await part.read(from - start, to - from));
        start += part.size;
      }
      if (pieces.length === 1) return pieces[0]!;
      const whole = new Uint8Array(length);
      let at = 0;
      for (const piece of pieces) {
        whole.set(piece, at);
        at += piece.byteLength;
      }
      return whole;
    },
    async close() {
      await Promise.all(parts.map((part) => part.close()));
    },
  };
  return source;
}
