/** Where a model comes from, in any form that a caller may have it in. */
import { type ByteSource, checkRange, type Folder, fromBytes, fromStream } from "./bytes.ts";
import { ArgumentTypeError, expectedGot, ModelError } from "./errors.ts";
import type { Pretrained } from "./models/pretrained.ts";
import type { DownloadProgress, Located, Runtime } from "./runtime.ts";

/**
 * A weight file as a caller has it: its name (one of `PRETRAINED`, a path, an address, `npm:package@version/path`,
 * `hf:owner/repo` or `owner/repo`), its bytes in memory, as a `File` or in a response, as a stream, or behind a reader of one's own. A stream
 * and the body of a response can be used once.
 */
export type FileSource =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | Blob
  | Response
  | ReadableStream<Uint8Array>
  | ByteSource;

/** What `locate` is called with, besides what is known of a short name. */
export interface DownloadOptions {
  /** Folder for downloads instead of the user's cache folder. */
  readonly cache?: string;
  /** Never touch the network. */
  readonly offline?: boolean;
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
}

/**
 * Finds the weight file of a source.
 *
 * @throws ArgumentTypeError for something that is no source; ModelError when there is no such model
 */
export async function findSource(runtime: Runtime, source: FileSource, options: DownloadOptions): Promise<FoundSource> {
  const from = source instanceof URL ? source.href : source;
  if (typeof from !== "string") return alone(fileOf(from));
  // The parts of an address that hold the file itself, or lead to it in this page only.
  if (/^(?:data|blob):/i.test(from)) return alone(fileOf(await fetch(from), from.slice(0, 5)));
  // Bytes and streams do without the table.
  const { pretrained } = await import("./models/pretrained.ts");
  const known = pretrained(from);
  const located = await runtime.locate(
    known?.source ?? from,
    known === undefined ? options : { ...options, integrity: known.integrity, beside: false },
  );
  return { name: from, located, known };
}

/** A file without others beside it. */
function alone(file: ByteSource): FoundSource {
  const folder: Folder = {
    name: file.name,
    async open(path) {
      if (path === "") return file;
      const message = expectedGot(file.name, path, "nothing but the file itself");
      throw new ModelError("not-found", message, { subject: path });
    },
  };
  return { name: file.name, located: { folder, entry: "" }, known: undefined };
}

function fileOf(source: Exclude<FileSource, string | URL>, name?: string): ByteSource {
  if (source instanceof Uint8Array) return fromBytes("bytes", source);
  if (source instanceof ArrayBuffer) return fromBytes("bytes", new Uint8Array(source));
  if (source instanceof Blob) return fromBlob(source);
  if (source instanceof ReadableStream) return fromStream("stream", source);
  if (source instanceof Response) return fromResponse(source, name);
  if (typeof source === "object" && source !== null && "read" in source && "size" in source) return source;
  const expected = "a name, a URL, bytes, a Blob, a Response, a stream, a ByteSource or a Model";
  const got = source === null ? "null" : typeof source;
  throw new ArgumentTypeError("source", expectedGot("source", expected, got));
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
