/** Where a model comes from, in any form that a caller may have it in. */
import { untilAborted } from "./abort.ts";
import { type ByteSource, checkRange, type Folder, fromBytes, fromStream } from "./bytes.ts";
import { ArgumentTypeError, expectedGot, ModelError } from "./errors.ts";
import type { Pretrained } from "./models/pretrained.ts";
import type { DownloadProgress, Located, Runtime } from "./runtime.ts";

/**
 * A weight file as a caller has it: its name (one of `PRETRAINED`, a path, an address, `npm:package@version/path`,
 * `hf:owner/repo` or `owner/repo`), its bytes in memory, as a `File` or in a response, as a stream (of the Web's or of Node's), or
 * behind a reader of one's own. A stream and the body of a response can be used once.
 */
export type FileSource =
  | string
  | URL
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | Response
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | ByteSource;

/** What `locate` is called with, besides what is known of a short name. */
export interface DownloadOptions {
  /** Folder for downloads instead of the user's cache folder. */
  readonly cache?: string;
  /** Never touch the network. */
  readonly offline?: boolean;
  /** `check` asks the server whether a copy in the cache is still the newest; `never` is the default. */
  readonly update?: "check" | "never";
  /** When it aborts, the call rejects with its reason. */
  readonly signal?: AbortSignal;
  readonly onDownload?: (progress: DownloadProgress) => void;
}

/** A weight file that was found. */
export interface FoundSource {
  /** The source as messages name it. */
  readonly name: string;
  readonly located: Located;
  /** What is known of a short name. */
  readonly known: Pretrained | undefined;
  /** Ends what the signal means to the file: the call that it was given to has opened it. */
  readonly opened?: () => void;
}

/**
 * Finds the weight file of a source.
 *
 * @throws ArgumentTypeError for something that is no source; ModelError when there is no such model
 */
export async function findSource(runtime: Runtime, source: FileSource, options: DownloadOptions): Promise<FoundSource> {
  const from = source instanceof URL ? source.href : source;
  const { signal } = options;
  if (typeof from !== "string") return alone(fileOf(from), signal);
  // The parts of an address that hold the file itself, or lead to it in this page only.
  if (/^(?:data|blob):/i.test(from)) return alone(fileOf(await fetch(from), from.slice(0, 5)), signal);
  // Bytes and streams do without the table.
  const { pretrained } = await import("./models/pretrained.ts");
  const known = pretrained(from);
  const located = await runtime.locate(
    known?.source ?? from,
    known === undefined ? options : { ...options, integrity: known.integrity, beside: false },
  );
  return { name: from, located, known };
}

/** A file without others beside it. While it is being opened, an abort ends a read that waits. */
function alone(file: ByteSource, signal: AbortSignal | undefined): FoundSource {
  let during = signal;
  const { name, size, sequential } = file;
  const guarded: ByteSource = {
    ...{ name, size, ...(sequential !== undefined && { sequential }) },
    ...(file.whole !== undefined && { whole: () => untilAborted(file.whole!(), during) }),
    read: (...range) => untilAborted(file.read(...range), during),
    close: () => file.close(),
  };
  const folder: Folder = {
    name: file.name,
    async open(path) {
      if (path === "") return signal === undefined ? file : guarded;
      const message = expectedGot(file.name, path, "nothing but the file itself");
      throw new ModelError("not-found", message, { subject: path });
    },
  };
  const opened = (): void => {
    during = undefined;
  };
  return { name: file.name, located: { folder, entry: "" }, known: undefined, opened };
}

function fileOf(source: Exclude<FileSource, string | URL>, name?: string): ByteSource {
  if (source instanceof ArrayBuffer) return fromBytes("bytes", new Uint8Array(source));
  if (ArrayBuffer.isView(source)) {
    return fromBytes("bytes", new Uint8Array(source.buffer, source.byteOffset, source.byteLength));
  }
  if (source instanceof Blob) return fromBlob(source);
  if (source instanceof ReadableStream) return fromStream("stream", source);
  if (source instanceof Response) return fromResponse(source, name);
  if (typeof source === "object" && source !== null && "read" in source && "size" in source) return source;
  if (typeof source === "object" && source !== null && Symbol.asyncIterator in source) {
    return fromStream("stream", streamOf(source));
  }
  const expected = "a name, a URL, bytes, a Blob, a Response, a stream, a ByteSource or a Model";
  const got = source === null ? "null" : typeof source;
  throw new ArgumentTypeError("source", expectedGot("source", expected, got));
}

/** Pieces of bytes as a stream; not `ReadableStream.from`, which Chromium and Safari lack. */
function streamOf(pieces: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}

/** A Blob or File, of which only what is needed is read. */
function fromBlob(blob: Blob): ByteSource {
  const name = "name" in blob && typeof blob.name === "string" ? blob.name : "blob";
  const source: ByteSource = {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(source, offset, length);
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
    async close() {},
  };
  return source;
}

function fromResponse(response: Response, given?: string): ByteSource {
  const name = given ?? (response.url || "response");
  if (!response.ok || response.body === null) {
    const code = response.status === 404 ? "not-found" : "network";
    throw new ModelError(code, expectedGot(name, "a response with weights", `status ${response.status}`));
  }
  // Of a compressed body the length is another.
  const isPlain = response.headers.get("Content-Encoding") === null;
  const length = isPlain ? Number(response.headers.get("Content-Length") ?? Number.NaN) : Number.NaN;
  return fromStream(name, response.body, Number.isSafeInteger(length) ? length : undefined);
}
