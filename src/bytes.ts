/**
 * Random access to bytes wherever they are: memory, a file, a Blob, several shards end to end.
 * A checkpoint reads one tensor at a time through this, so that loading never holds a file twice.
 */
import { expectedGot, ModelError } from "./errors.ts";

export interface ByteSource {
  /** What to call it in an error: a path or a URL. */
  readonly name: string;
  /** Length in bytes; Infinity where it shows only at the end of a stream. */
  readonly size: number;
  /** Bytes come in their order and once, as from a stream: read in that order. */
  readonly sequential?: boolean;
  /**
   * Bytes `[offset, offset + length)`; the view may share memory with the source. A source that can writes them to `into`,
   * of that length, and returns it. Throws `ModelError` beyond the end.
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /** Of a stream: all of it, for who must read in another order. Only its first kilobyte may have been read. */
  whole?(): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A file that is beside others: a `model.json` finds its shards through this. */
export interface Folder {
  readonly name: string;
  /** Opens `path`, relative to the folder. Throws `ModelError` when it is absent or climbs out of the folder. */
  open(path: string): Promise<ByteSource>;
  /**
   * The files directly in the folder, or in `path` beneath it; `recursive`, also those in its folders, as paths from
   * there with `/` between their parts. Throws `ModelError` when that is not a folder. Absent where folders cannot be
   * listed, as behind HTTP.
   */
  list?(path?: string, options?: { readonly recursive: boolean }): Promise<readonly string[]>;
}

/** Throws unless `[offset, offset + length)` is inside the source. */
export function checkRange(source: ByteSource, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > source.size) {
    throw new ModelError(
      "truncated",
      expectedGot(source.name, `at least ${offset + length} bytes`, `${source.size}`, "the file may be cut short"),
    );
  }
}

/**
 * Frees the memory under a view at once, where the engine can, instead of at the next garbage collection: engines do not
 * collect sooner for memory outside their heap. Every view of it is empty afterwards.
 */
export function release({ buffer }: ArrayBufferView): void {
  if (buffer instanceof ArrayBuffer && "transfer" in buffer) (buffer.transfer as (length: number) => ArrayBuffer)(0);
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

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
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
      return pieces.length === 1 ? pieces[0]! : joined(pieces, length);
    },
    async close() {
      await Promise.all(parts.map((part) => part.close()));
    },
  };
  return source;
}

/** Bytes at the beginning that may be read again: the kind of file is read from them. */
const HEAD_BYTES = 1024;
/** Most bytes a stream keeps because they were passed over. */
const KEPT_BYTES = 16 * 2 ** 20;
/** First allocation for a read whose length is not known to be right. */
const FIRST_BYTES = 2 ** 20;

/**
 * A stream as a source. What is passed over is kept until it is asked for, what has been read is not: a file whose reads
 * follow its order is never held.
 *
 * @param size in bytes, where it is known
 */
export function fromStream(
  name: string,
  stream: ReadableStream<Uint8Array>,
  size = Number.POSITIVE_INFINITY,
): ByteSource {
  const pull = pullFrom(stream, WEIGHT_CHUNK_BYTES);
  let head: Uint8Array = new Uint8Array(0);
  /** Parts that were passed over, by where they begin. */
  const kept = new Map<number, Uint8Array>();
  let keptBytes = 0;
  let at = 0;
  let chunk: Uint8Array = new Uint8Array(0);
  let queue: Promise<unknown> = Promise.resolve();

  const keep = (offset: number, bytes: Uint8Array): void => {
    if (bytes.byteLength === 0) return;
    kept.set(offset, bytes);
    keptBytes += bytes.byteLength;
    if (keptBytes > KEPT_BYTES) throw tooFar();
  };
  const tooFar = (): ModelError => {
    const hint = "convert the file with this package, or load it whole";
    return new ModelError(
      "unsupported",
      expectedGot(name, "tensors that can be read in the order of the stream", "others", hint),
    );
  };
  /** The next `length` bytes of the stream, or all that are left, in `into` or in memory of their own. */
  const next = async (length: number, into?: Uint8Array): Promise<Uint8Array> => {
    // Where the length may be wrong, memory grows with what has come.
    let bytes = into ?? new Uint8Array(Number.isFinite(size) ? length : Math.min(length, FIRST_BYTES));
    let filled = 0;
    while (filled < length) {
      if (chunk.byteLength === 0) {
        const pulled = await pull.next();
        if (pulled === undefined) break;
        if (!(pulled instanceof Uint8Array)) throw new TypeError(expectedGot(name, "a stream of bytes", typeof pulled));
        chunk = pulled;
      }
      if (filled === bytes.byteLength) {
        const longer = new Uint8Array(Math.min(length, 2 * filled));
        longer.set(bytes);
        bytes = longer;
      }
      const part = chunk.subarray(0, bytes.byteLength - filled);
      bytes.set(part, filled);
      chunk = chunk.subarray(part.byteLength);
      filled += part.byteLength;
    }
    at += filled;
    return filled === bytes.byteLength ? bytes : bytes.subarray(0, filled);
  };
  const exactly = async (length: number, into?: Uint8Array): Promise<Uint8Array> => {
    const wanted = at + length;
    const bytes = await next(length, into);
    if (bytes.byteLength === length) return bytes;
    throw new ModelError("truncated", expectedGot(name, `at least ${wanted} bytes`, `${at}`, "the stream ended early"));
  };
  /** Removes the bytes at `offset` from what was kept, as far as `length`; nothing when it is not there. */
  const take = (offset: number, length: number): Uint8Array | undefined => {
    for (const [start, bytes] of kept) {
      const from = offset - start;
      if (from < 0 || from >= bytes.byteLength) continue;
      const to = Math.min(bytes.byteLength, from + length);
      kept.delete(start);
      keptBytes -= bytes.byteLength;
      keep(start, bytes.subarray(0, from));
      keep(offset + to - from, bytes.subarray(to));
      return bytes.subarray(from, to);
    }
    return undefined;
  };
  const read = async (offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> => {
    if (at === 0) head = await next(Math.min(HEAD_BYTES, size));
    const parts: Uint8Array[] = [];
    for (let place = offset; place < offset + length; ) {
      const rest = offset + length - place;
      let part: Uint8Array | undefined;
      if (place < head.byteLength) part = head.subarray(place, place + rest);
      else if (place < at) part = take(place, rest);
      else {
        if (place - at > KEPT_BYTES) throw tooFar();
        if (place > at) keep(at, await exactly(place - at));
        part = await exactly(rest, rest === length ? into : undefined);
      }
      if (part === undefined)
        throw new ModelError("unsupported", expectedGot(name, "bytes that were not read yet", `${place} again`));
      parts.push(part);
      place += part.byteLength;
    }
    return parts.length === 1 ? parts[0]! : joined(parts, length);
  };
  const source: ByteSource = {
    name,
    size,
    sequential: true,
    read(offset, length, into) {
      checkRange(source, offset, length);
      const result = queue.then(() => read(offset, length, into));
      queue = result.catch(() => {});
      return result;
    },
    whole() {
      const result = queue.then(async () => {
        const rest = await next(size - at);
        if (Number.isFinite(size) && at < size) await exactly(size - at);
        return joined([head, rest], at);
      });
      queue = result.catch(() => {});
      return result;
    },
    close: () => pull.cancel(),
  };
  return source;
}

/** Memory that a stream of bytes is read through. */
const CHUNK_BYTES = 2 ** 16;
/** The same of weights, of which few streams are read at once: 26 MB take 8 ms in workerd, in chunks of 64 KB 24. */
const WEIGHT_CHUNK_BYTES = 2 ** 18;

/** Chunk after chunk of a stream: through one buffer, where the stream can fill it, or else as they come. */
export function pullFrom(
  stream: ReadableStream<Uint8Array>,
  chunkBytes: number = CHUNK_BYTES,
): {
  /** The next chunk, valid until the next call; `undefined` at the end. */
  next(): Promise<Uint8Array | undefined>;
  cancel(): Promise<void>;
} {
  let filling: ReadableStreamBYOBReader;
  try {
    filling = stream.getReader({ mode: "byob" });
  } catch {
    const reader = stream.getReader();
    return {
      next: async () => (await reader.read()).value,
      cancel: () => reader.cancel().catch(() => {}),
    };
  }
  /** Gone once the stream has ended: it does not come back from there. */
  let buffer: ArrayBuffer | undefined = new ArrayBuffer(chunkBytes);
  return {
    async next() {
      if (buffer === undefined) return undefined;
      const { done, value }: ReadableStreamReadResult<Uint8Array<ArrayBuffer>> = await filling.read(
        new Uint8Array(buffer),
      );
      buffer = done ? undefined : value.buffer;
      return done ? undefined : value;
    },
    cancel: () => filling.cancel().catch(() => {}),
  };
}
