/**
 * What an environment gives the core. One object per file of `runtimes/`; nothing else in the core knows where it runs.
 */
import type { ByteSource, Folder } from "./bytes.ts";
import type { Format } from "./formats/open.ts";
import type { Located, LocateOptions } from "./hub/locate.ts";

/** The compiled modules a runtime can hand out: two kernel builds, their shared-memory twins, and the image codecs. */
export type ModuleName = "baseline" | "relaxed" | "baseline.shared" | "relaxed.shared" | "jpeg" | "png" | "webp";

export type WorkerJob = "worker" | "preparer";

/** A worker that has been started. */
export interface WorkerHandle {
  post(message: unknown): void;
  /** While `busy`, the worker keeps the process alive. */
  hold(busy: boolean): void;
  terminate(): void;
}

export interface Runtime {
  /** Weight formats that models are read in unless the caller names others. */
  readonly formats: readonly Format[];
  /** `node`, `deno`, `bun`, `browser` or `workerd`: for messages and reports only, never for decisions. */
  readonly name: string;
  /** A compiled module that ships with the package. */
  module(name: ModuleName): Promise<WebAssembly.Module>;
  /** Opens a local file. Throws when there is none, or when the runtime has no files. */
  openFile(path: string): Promise<ByteSource>;
  /** A local folder; opening is lazy. */
  folder(path: string): Folder;
  /** Finds a model by its name: `locate` of `hub.ts`, where there is anywhere to look. */
  locate(source: string, options: LocateOptions): Promise<Located>;
  /** Where downloads are kept. `directory` overrides the user's cache folder. */
  store(directory?: string): Store;
  /**
   * Starts a worker.
   *
   * @param hear gets its messages
   * @param died gets the reason when it ends without having been terminated
   * @param job what it does: its share of a team's tapes (`serve` of `worker.ts`), or images (`preparer.ts`)
   * @throws Error where the runtime has no workers
   */
  startWorker(hear: (message: unknown) => void, died: (reason: string) => void, job: WorkerJob): WorkerHandle;
  /** The npm registry's address, as the user configured it, ending in a slash. */
  registry(): Promise<string>;
  /** The Hugging Face hub, as the user configured it. */
  huggingFace(): Promise<HuggingFace>;
  /** Begins a checksum. */
  hash(algorithm: "sha1" | "sha256" | "sha512"): Hash;
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
}

/** A cache of downloaded files that a broken download never poisons. */
export interface Store {
  /** For messages. */
  readonly name: string;
  /** The entry, when it is there and complete. */
  get(key: string): Promise<Folder | undefined>;
  /**
   * Fills an entry. `fill` writes files one after the other; only when it returns does the entry exist, whole.
   * When it throws, or the process dies, nothing remains that `get` would return; but files that have a note are kept
   * aside for the next `put` of the same key, where the runtime can.
   */
  put(key: string, fill: (writer: StoreWriter) => Promise<void>): Promise<Folder>;
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
  /** Ends the file: it is whole. */
  close(): Promise<void>;
}
