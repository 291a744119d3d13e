/**
 * Zip archives by random access: the directory is read when the archive is opened, a file's bytes when they are asked for.
 * @zip.js/zip.js reads the format: of the libraries that take a custom reader only it checks local headers and names, and
 * its reader bundles for every runtime, without wasm and with workers off (22 kB gzipped).
 */
import { type FileEntry, ZipReader } from "@zip.js/zip.js/lib/zip-core-reader.js";
import type { ByteSource } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";

/** Longest directory accepted, in bytes, and the most files: zip.js needs some kB for each. */
const MAX_DIRECTORY_BYTES = 1 << 23;
const MAX_FILES = 1 << 15;
/** Inflated bytes for each compressed one beyond which a file is taken for a bomb; small files may have more. */
const MAX_RATIO = 200;
const SMALL_BYTES = 1 << 20;
const CHUNK_BYTES = 1 << 16;
/** Read around a local header at once: the header, its name and its padding (PyTorch aligns to 64 bytes). */
const HEADER_BYTES = 256;
/** As strict as PyTorch's archives allow: they have a zip64 end of directory where none is needed, which "strict" refuses. */
const OPTIONS = {
  strictness: "balanced",
  filenameValidation: "strict",
  checkLocalDirectory: true,
  checkLocalFilename: true,
  maxAppendedDataSize: 0,
  useWebWorkers: false,
} as const;
const STORE = 0;
const DEFLATE = 8;

interface Member {
  readonly entry: FileEntry;
  /** Where the next file, or the directory, begins. */
  readonly limit: number;
}

/** An archive whose directory has been checked. */
export interface Zip {
  /** Every file's length in bytes, by name; folders are left out. */
  readonly files: ReadonlyMap<string, number>;
  /**
   * Bytes `[offset, offset + length)` of a file, the whole of it by default. A stored file is read in place; a compressed
   * one is inflated as a whole, to the length that `files` tells and no further.
   * Throws `ModelError` when there is no such file, or its local header or its data disagree with the directory.
   */
  read(name: string, offset?: number, length?: number): Promise<Uint8Array>;
}

/**
 * Opens a zip archive; no file in it is read.
 * Throws `ModelError` for a directory that is cut short, and by name for a file that is there twice, whose name is absolute
 * or climbs out, that overlaps another, that is encrypted, or whose compression is unknown or beyond 1 : 200.
 */
export async function openZip(source: ByteSource): Promise<Zip> {
  const where = source.name;
  /** What the source itself threw, to be passed on as it is: a lost connection does not make a bad archive. */
  const failures = new Set<unknown>();
  const members = await readDirectory(where, source, failures);
  /** Where the data of each stored file that was read begins. */
  const begins = new Map<string, number>();
  /** The last file inflated: several tensors may share it. */
  let inflated: { name: string; bytes: Uint8Array } | undefined;
  return {
    files: new Map([...members].map(([name, { entry }]) => [name, entry.uncompressedSize])),
    async read(name, offset = 0, length) {
      const member = members.get(name);
      if (member === undefined) {
        throw new ModelError(
          "malformed",
          expectedGot(where, `a file ${JSON.stringify(name)} in the archive`, "none of that name"),
          { subject: name },
        );
      }
      const culprit = inArchive(where, name);
      const size = member.entry.uncompressedSize;
      const bytes = length ?? size - offset;
      if (offset < 0 || bytes < 0 || offset + bytes > size) {
        throw new ModelError("malformed", expectedGot(culprit, `at least ${offset + bytes} bytes`, `${size}`));
      }
      if (member.entry.compressionMethod === STORE) {
        const begin = begins.get(name) ?? (await dataBegin(culprit, member, failures));
        begins.set(name, begin);
        return source.read(begin + offset, bytes);
      }
      if (inflated?.name !== name) {
        await dataBegin(culprit, member, failures);
        inflated = { name, bytes: await inflate(culprit, member.entry, failures) };
      }
      return inflated.bytes.subarray(offset, offset + bytes);
    },
  };
}

async function readDirectory(
  where: string,
  source: ByteSource,
  failures: Set<unknown>,
): Promise<ReadonlyMap<string, Member>> {
  const reader = new ZipReader<unknown>(readerOf(source, failures), OPTIONS);
  const files: FileEntry[] = [];
  const names = new Set<string>();
  try {
    for await (const entry of reader.getEntriesGenerator()) {
      if (names.has(entry.filename)) {
        throw new ModelError(
          "malformed",
          expectedGot(where, `one file ${JSON.stringify(entry.filename)} in the archive`, "two"),
          { subject: entry.filename },
        );
      }
      names.add(entry.filename);
      if (names.size > MAX_FILES) {
        throw new ModelError("unsupported", expectedGot(where, `at most ${MAX_FILES} files in the archive`, "more"));
      }
      if (entry.directory) continue;
      checkEntry(inArchive(where, entry.filename), entry);
      files.push(entry);
    }
  } catch (error) {
    throw asModelError(where, error, failures);
  }
  const sorted = [...files].sort((a, b) => a.offset - b.offset);
  const members = new Map<string, Member>();
  for (const [i, entry] of sorted.entries()) {
    const next = sorted[i + 1];
    const limit = next?.offset ?? source.size;
    // Its local header has at least 30 bytes.
    if (entry.offset + 30 + entry.rawFilename.byteLength + entry.compressedSize > limit) {
      const what = next === undefined ? "an end beyond it" : `an overlap with ${JSON.stringify(next.filename)}`;
      throw new ModelError(
        "malformed",
        expectedGot(inArchive(where, entry.filename), "a place of its own in the archive", what),
        { subject: entry.filename },
      );
    }
    members.set(entry.filename, { entry, limit });
  }
  return members;
}

/** What zip.js reads through. A window is kept: local headers are asked for in several small pieces. */
function readerOf(source: ByteSource, failures: Set<unknown>) {
  const read = async (offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> => {
    try {
      return new Uint8Array(await source.read(offset, length));
    } catch (error) {
      failures.add(error);
      throw error;
    }
  };
  let window = new Uint8Array();
  let start = 0;
  const reader = {
    size: source.size,
    /** Only a reader that cannot seek is read through this. */
    readable: new ReadableStream(),
    async readUint8Array(offset: number, length: number): Promise<Uint8Array> {
      const from = Math.min(Math.max(offset, 0), source.size);
      const to = Math.min(from + length, source.size);
      if (to - from > MAX_DIRECTORY_BYTES) {
        throw new ModelError(
          "unsupported",
          expectedGot(source.name, `a zip directory of at most ${MAX_DIRECTORY_BYTES} bytes`, `${length}`),
        );
      }
      if (from < start || to > start + window.byteLength) {
        const bytes = Math.min(Math.max(to - from, HEADER_BYTES), source.size - from);
        window = await read(from, bytes);
        start = from;
      }
      return window.slice(from - start, to - start);
    },
    createReadable({ offset, size }: { readonly offset: number; readonly size: number }): ReadableStream<Uint8Array> {
      let at = offset;
      return new ReadableStream({
        async pull(controller) {
          const bytes = Math.min(CHUNK_BYTES, offset + size - at);
          if (bytes > 0) controller.enqueue(await read(at, bytes));
          at += bytes;
          if (at >= offset + size) controller.close();
        },
      });
    },
  };
  return reader;
}

function checkEntry(where: string, entry: FileEntry): void {
  const { compressedSize, uncompressedSize, compressionMethod } = entry;
  if (entry.encrypted)
    throw new ModelError("unsupported", expectedGot(where, "a file that is not encrypted", "an encrypted one"));
  if (compressionMethod === STORE) {
    if (compressedSize === uncompressedSize) return;
    throw new ModelError(
      "malformed",
      expectedGot(where, `${uncompressedSize} bytes, as it is not compressed`, `${compressedSize}`),
    );
  }
  if (compressionMethod !== DEFLATE) {
    throw new ModelError(
      "unsupported",
      expectedGot(where, "a file stored or deflated", `zip's compression ${compressionMethod}`),
    );
  }
  if (uncompressedSize > SMALL_BYTES && uncompressedSize > MAX_RATIO * compressedSize) {
    const got = `${uncompressedSize} from ${compressedSize}`;
    throw new ModelError(
      "unsupported",
      expectedGot(where, `at most ${MAX_RATIO} bytes for each compressed one`, got, "a zip bomb?"),
    );
  }
}

/** Checks the local header against the directory; where the file's data begins. */
async function dataBegin(where: string, { entry, limit }: Member, failures: Set<unknown>): Promise<number> {
  try {
    await entry.getData(new WritableStream(), { checkOverlappingEntryOnly: true });
  } catch (error) {
    throw asModelError(where, error, failures);
  }
  const begin = entry.localDirectory?.dataOffset ?? Number.NaN;
  if (begin + entry.compressedSize <= limit) return begin;
  throw new ModelError(
    "malformed",
    expectedGot(where, "a place of its own in the archive", "an overlap with the file after it"),
  );
}

async function inflate(where: string, entry: FileEntry, failures: Set<unknown>): Promise<Uint8Array> {
  const whole = new Uint8Array(entry.uncompressedSize);
  let at = 0;
  const sink = new WritableStream<Uint8Array>({
    write(chunk) {
      if (at + chunk.byteLength > whole.byteLength) {
        throw new ModelError("malformed", expectedGot(where, `${whole.byteLength} bytes when inflated`, "more"));
      }
      whole.set(chunk, at);
      at += chunk.byteLength;
    },
  });
  try {
    await entry.getData(sink, { checkCrc32: true });
  } catch (error) {
    throw asModelError(where, error, failures);
  }
  return whole;
}

/** zip.js's errors are texts, some with a file's name and a reason. */
function asModelError(where: string, error: unknown, failures: ReadonlySet<unknown>): unknown {
  if (error instanceof ModelError || failures.has(error)) return error;
  const { message, reason, filename } = error as Error & { reason?: string; filename?: string };
  if (filename !== undefined) {
    return new ModelError(
      "malformed",
      expectedGot(where, "file names that stay inside the archive", JSON.stringify(filename)),
    );
  }
  const got = reason === undefined ? message : `${message} (${reason})`;
  return new ModelError(
    "malformed",
    expectedGot(where, "a sound zip archive", got, "the file may be damaged; fetch it again"),
  );
}

function inArchive(where: string, name: string): string {
  return `${where}: ${JSON.stringify(name)}`;
}
