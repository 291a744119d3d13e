/**
 * What an environment gives the core. One object per file of `runtimes/`; nothing else in the core knows where it runs.
 */
import type { ByteSource, Folder } from "./bytes.ts";
import type { Guess } from "./checkpoint.ts";
import type { Format } from "./formats/open.ts";
import type { ModelHints } from "./models/metadata.ts";
import type { Build } from "./tape.ts";
import type { Dots, Vectors } from "./variants.ts";

/** The compiled modules a runtime can hand out: two kernel builds, their shared-memory twins, the image codecs, and what heads are solved with. */
export type ModuleName = "baseline" | "relaxed" | "baseline.shared" | "relaxed.shared" | "jpeg" | "webp" | "solve";

export type WorkerJob = "worker" | "replica" | "preparer";

/** A worker that has been started. */
export interface WorkerHandle {
  post(message: unknown): void;
  /** While `busy`, the worker keeps the process alive. */
  setBusy(busy: boolean): void;
  /** Ends it. Resolves when it runs no more, as far as the runtime tells. */
  terminate(): Promise<void>;
}

export interface Runtime {
  /** Weight formats that models are read in unless the caller names others. */
  readonly formats: readonly Format[];
  /** Bytes of images that are decoded at once; the limit of `decode/turn.ts` when absent. */
  readonly imageBytes?: number;
  /** Most memory that decoding one image may take, where the caller does not say; no limit when absent. */
  readonly maxDecodeBytes?: number;
  /** `node`, `deno`, `bun`, `browser` or `workerd`: for messages and reports only, never for decisions. */
  readonly name: string;
  /**
   * What a choice depends on, measured at the first call. Absent where the clock stands still while code runs (Workers): vectors are
   * then of 128 bits and int8 products the usual ones.
   */
  readonly measure?: {
    vectors(build: Build): Promise<Vectors>;
    dots(build: Build): Promise<Dots>;
  };
  /** A compiled module that ships with the package. */
  module(name: ModuleName): Promise<WebAssembly.Module>;
  /**
   * Decodes a HEIC or AVIF, turned as it is shown, by a decoder that is not part of this package. Absent where there is none.
   *
   * @throws Fault "unsupported" when the decoder is not installed
   */
  readonly decodeHeif?: (codec: "HEIC" | "AVIF", bytes: Uint8Array, header: HeifSize) => Promise<RgbaPixels>;
  /**
   * Makes a JPEG of a HEIC or AVIF, turned as it is shown, by a service beside this program, which takes the place of `decodeHeif`.
   *
   * @param size of the JPEG: all that the network sees of it
   * @throws Fault "unsupported" when there is no such service here
   */
  readonly transcodeHeif?: (
    codec: "HEIC" | "AVIF",
    bytes: Uint8Array,
    size: { readonly width: number; readonly height: number },
  ) => Promise<Uint8Array>;
  /**
   * The pixels of what the platform draws, or a canvas of a library; `undefined` for anything else. What a canvas or a video shows is
   * read before it returns. Absent where nothing is drawn: Workers do without the code.
   */
  readonly drawn?: (image: unknown, maxPixels: number) => Promise<RgbaPixels> | undefined;
  /** Opens a local file. Throws when there is none, or when the runtime has no files. */
  openFile(path: string, signal?: AbortSignal): Promise<ByteSource>;
  /** The same address for a worker, whose own address may be another. Absent where paths mean the same there. */
  readonly absolute?: (path: string) => string;
  /** A local folder; opening is lazy. */
  folder(path: string, signal?: AbortSignal): Folder;
  /** Finds a model by its name: `locate` of `hub/locate.ts`, where there is anywhere to look. */
  locate(source: string, options: LocateOptions): Promise<Located>;
  /** Where downloads are kept. `directory` overrides the user's cache folder. */
  store(directory?: string): Store;
  /**
   * Starts a worker.
   *
   * @param onMessage gets its messages
   * @param onExit gets the reason when it ends without having been terminated
   * @param job what it does: its share of a team's tapes (`serve` of `worker.ts`), whole images (`replica.ts`), or inputs of a training (`preparer.ts`)
   * @throws Error where the runtime has no workers
   */
  startWorker(onMessage: (message: unknown) => void, onExit: (reason: string) => void, job: WorkerJob): WorkerHandle;
  /** The npm registry's address, as the user configured it, ending in a slash. */
  registry(): Promise<string>;
  /** The Hugging Face hub, as the user configured it. */
  huggingFace(): Promise<HuggingFace>;
  /** What a page keeps besides models, for when there is no network. Absent where modules are files of the package, or in the script. */
  readonly pageStorage?: () => Promise<PageStorage>;
  /** Begins a checksum. */
  hash(algorithm: "sha1" | "sha256" | "sha512"): Hash | Promise<Hash>;
}

/** What the header of a HEIC or AVIF says: the size that is shown, and how the stored pixels are turned for it, as EXIF says it. */
export interface HeifSize {
  readonly width: number;
  readonly height: number;
  readonly orientation: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;
}

/** Decoded pixels, `[height, width, 4]`. */
export interface RgbaPixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** How far a download is. */
export interface DownloadProgress {
  /** What is being fetched: `package@version`, `owner/repo/file`, or the name of a file. */
  readonly name: string;
  /** Bytes so far, those of an earlier, interrupted download included. */
  readonly loaded: number;
  /** Bytes in all, when the server says. */
  readonly total: number | undefined;
}

/** How a model is found by its name. */
export interface LocateOptions {
  /** Folder of the cache, instead of the user's. */
  readonly cache?: string | undefined;
  /** Uses the cache only. */
  readonly offline?: boolean | undefined;
  /**
   * `check` asks the server whether what is in the cache is still what it has, by `ETag` or `Last-Modified`, and of a branch of the
   * Hugging Face hub by its commit; the old copy stays until the new one is whole. Without an answer the old copy is taken, and a
   * guess says so. `never`, the default, asks nothing for what is there.
   */
  readonly update?: "check" | "never" | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
  /**
   * A checksum known beforehand, as in Subresource Integrity: nothing else is accepted, whatever the server says. Of an
   * npm package `sha512-…`, of any other source's weight file `sha256-…` or `sha512-…`.
   */
  readonly integrity?: string | undefined;
  /** `false` takes the weight file alone, where the caller knows what the files beside it would say: they are not asked for. */
  readonly beside?: boolean | undefined;
  /** Takes plain `http:` from any host, not from this machine only. */
  readonly insecure?: boolean | undefined;
  /** Milliseconds without a byte after which a connection is cut and tried again; 30,000. */
  readonly stallMs?: number | undefined;
}

/** A file, and the folder in which it finds the files beside it. */
export interface Located {
  readonly folder: Folder;
  /** The file's path in `folder`. */
  readonly entry: string;
  /** What the source was taken for, when it could have been another; what is not known of a copy in the cache, or that none is kept. */
  readonly guesses?: readonly Guess[];
  /** Reads what the files beside it say of the model, as `readConfig`. */
  readonly hints?: (wanted: { readonly preprocess?: boolean }) => Promise<ModelHints>;
}

/** A checksum of bytes that come one after the other. */
export interface Hash {
  update(bytes: Uint8Array): unknown;
  digest(): Uint8Array;
}

/** How to reach the Hugging Face hub. */
export interface HuggingFace {
  /** Its address, without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** The folder in which the hub's own programs keep models; absent where there is none. */
  readonly cache: string | undefined;
  /**
   * Asks the hub's API what files a repository has, instead of asking for each: where a file that is not there is an error in the
   * user's console, and headers of redirects, with their checksums, are hidden.
   */
  readonly lists?: boolean;
}

/** A cache of downloaded files that a broken download never poisons. */
export interface Store {
  /** For messages. */
  readonly name: string;
  /**
   * The entry, when it is there. The first time that a process asks for it, and whenever a file has changed since, each
   * file's SHA-256 is compared with the one it was written with. Throws `ModelError` with the code `integrity` and the
   * file's name when one is damaged or gone.
   */
  get(key: string): Promise<EntryFolder | undefined>;
  /**
   * Fills an entry. `fill` writes files one after the other; only when it returns does the entry exist, whole.
   * When it throws, or the process ends, nothing remains that `get` would return; but files that have a note are kept
   * aside for the next `put` of the same key, where the runtime can. An entry that exists already stays, unless
   * `replace` asks for its place: then it stays until the new one is whole.
   */
  put(
    key: string,
    fill: (writer: StoreWriter) => Promise<void>,
    options?: { readonly replace: boolean },
  ): Promise<EntryFolder>;
  /** Runs `work` while no other page runs some for this key. Absent where nobody else waits for it. */
  alone?<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** Why nothing is kept here, where the platform denies it. */
  denial?(): Promise<string | undefined>;
  /** The whole entries. */
  list?(): Promise<readonly StoredEntry[]>;
  /** Removes an entry, and what an interrupted download of it left. False when there was none. */
  remove?(key: string): Promise<boolean>;
}

/** The files of a cache entry. */
export interface EntryFolder extends Folder {
  /** Checksums that a file has been found to have, so that it need not be read again for them. */
  checksums?(path: string): Promise<readonly KnownChecksum[]>;
  /** Notes some more of them. */
  remember?(path: string, checksums: readonly KnownChecksum[]): Promise<void>;
}

/** A checksum of a whole file: all its hexadecimal digits, or the first of them. */
export interface KnownChecksum {
  readonly algorithm: "sha256" | "sha512" | "git";
  readonly hex: string;
}

/** A whole entry of a cache. */
export interface StoredEntry {
  readonly key: string;
  readonly bytes: number;
  /** What the entry's `.origin.json` says of where it came from. */
  readonly origin?: string | undefined;
}

/** What a page keeps besides models. */
export interface PageStorage {
  /** Fetches and compiles modules, and keeps them. Resolves to their bytes. */
  keep(
    names: readonly ModuleName[],
    options: Pick<LocateOptions, "signal" | "onDownload">,
  ): Promise<readonly { readonly name: string; readonly bytes: number }[]>;
  /** Bytes of the modules that are kept. */
  moduleBytes(): Promise<number>;
  /** What the browser says of the whole origin's storage. */
  estimate(): Promise<{ readonly used?: number | undefined; readonly quota?: number | undefined }>;
  /** Asks the browser not to remove it when room is short. */
  persist(): Promise<{ readonly persisted: boolean; readonly reason: string }>;
}

export interface StoreWriter {
  /** Writes one file at `path`, relative to the entry. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** A file to be written bit by bit. It becomes part of the entry when it is begun. */
  file(path: string): Promise<StoreFile>;
}

/** A file of a cache entry that is being written, perhaps where an earlier, interrupted `put` left off. */
export interface StoreFile {
  /** Bytes that are there. */
  readonly size: number;
  /** The note that `begin` was given for them, in this `put` or an earlier one. Bytes without a note do not outlive a failure. */
  readonly note: string | undefined;
  /** Keeps the first `keep` bytes, or none, and the note for what will follow. */
  begin(note: string | undefined, keep?: number): Promise<void>;
  /** Adds bytes at the end. */
  append(bytes: Uint8Array): Promise<void>;
  /** Bytes `[offset, offset + length)` of those that are there. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Ends the file: it is whole, and has these checksums. */
  close(checksums?: readonly KnownChecksum[]): Promise<void>;
}
