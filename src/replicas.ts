/**
 * Replicas: workers that each run whole images over one shared memory, with the weights in it once. For images a second, where
 * threads are for the time of one. A replica that ends, or is ended because its job takes too long, is replaced by another over
 * the same memory; the others do not notice.
 */
import { withPicture } from "./decode/photo.ts";
import type { Engine, Region } from "./engine.ts";
import { expectedGot, ImageError } from "./errors.ts";
import type { Forward, Job, Packed } from "./forward.ts";
import { fromPortable } from "./portable-error.ts";
import { type FromReplica, portable, type ToReplica } from "./replica.ts";
import type { ModuleName, Runtime, WorkerHandle } from "./runtime.ts";

/** When a job is to be ended before it is done, and its replica with it. */
export interface Bounds {
  readonly signal?: AbortSignal;
  /** From when a replica begins the job. */
  readonly timeoutMs?: number;
}

export interface Replicas {
  readonly count: number;
  /** Bytes of wasm memory beside the shared one. */
  readonly ownBytes: number;
  /**
   * Does a job in the next replica that is free.
   *
   * @throws what the job throws; the signal's reason; DOMException `TimeoutError`; Error when the replica ends by itself
   */
  run(job: Job, bounds: Bounds): Promise<readonly Float32Array[]>;
  dispose(): void;
}

const DISPOSED = expectedGot("replica", "one that works", "one that was disposed");

type Start = (onMessage: (message: unknown) => void, onExit: (reason: string) => void) => WorkerHandle;
type Join = Omit<Extract<ToReplica, { kind: "join" }>, "region">;

/** A replica's place: it outlives the workers in it. */
class Replica {
  readonly #start: Start;
  readonly #join: Join;
  #region: Region;
  #worker: WorkerHandle | undefined;
  #joined: Promise<unknown> | undefined;
  #ended: Promise<void> = Promise.resolve();
  #waiting: { resolve(outputs: readonly Float32Array[]): void; reject(error: unknown): void } | undefined;
  #isDisposed = false;
  ownBytes = 0;

  constructor(start: Start, join: Join, region: Region) {
    this.#start = start;
    this.#join = join;
    this.#region = region;
  }

  /** Starts a worker, unless there is one. */
  join(): Promise<unknown> {
    if (this.#joined !== undefined) return this.#joined;
    const joined = this.#ended.then(() => {
      if (this.#isDisposed) throw new Error(DISPOSED);
      const worker = this.#start(
        (message) => {
          if (this.#worker === worker) this.#answered(message as FromReplica);
        },
        (reason) => {
          if (this.#worker !== worker) return;
          const hint = "another one takes its place: try again";
          this.#end(new Error(expectedGot("replica", "to live as long as the model", reason, hint)));
        },
      );
      this.#worker = worker;
      return this.#ask({ ...this.#join, region: this.#region });
    });
    this.#joined = joined;
    // Whoever has a job for it sees the failure, and the next one tries again.
    joined.catch(() => {
      if (this.#joined === joined) this.#joined = undefined;
    });
    return joined;
  }

  async run(job: Job, { signal, timeoutMs }: Bounds): Promise<readonly Float32Array[]> {
    await this.join();
    signal?.throwIfAborted();
    const onAbort = (): void => this.#end(signal!.reason);
    signal?.addEventListener("abort", onAbort);
    const late = (): void => this.#end(new DOMException(`the image takes longer than ${timeoutMs} ms`, "TimeoutError"));
    const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
    try {
      return await this.#ask({ kind: "job", job });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  dispose(): void {
    this.#isDisposed = true;
    this.#end(new Error(DISPOSED));
  }

  #ask(message: ToReplica): Promise<readonly Float32Array[]> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker!.post(message);
      // Only while it works it keeps the process alive.
      this.#worker!.setBusy(true);
    });
  }

  #answered(message: FromReplica): void {
    this.#worker!.setBusy(false);
    this.#region = message.region;
    this.ownBytes = message.ownBytes;
    const waiting = this.#waiting!;
    this.#waiting = undefined;
    if (message.kind === "done") waiting.resolve(message.outputs);
    else waiting.reject(fromPortable(message.error));
  }

  /** Ends the worker, and starts another one where this one had joined. */
  #end(reason: unknown): void {
    const hadJoined = this.ownBytes > 0;
    // The next one writes to the same region: not before this one has ended.
    this.#ended = this.#worker?.terminate() ?? this.#ended;
    this.#worker = undefined;
    this.#joined = undefined;
    this.ownBytes = 0;
    this.#waiting?.reject(reason);
    this.#waiting = undefined;
    if (hadJoined && !this.#isDisposed) void this.join().catch(() => {});
  }
}

/** The same without the rest of the buffers that its parts are views of, which posting would copy too. */
function compact(job: Job): Job {
  const isWhole = ({ byteLength, buffer }: ArrayBufferView): boolean => byteLength === buffer.byteLength;
  if (job.kind === "batch") return isWhole(job.data) ? job : { ...job, data: job.data.slice() };
  const { photo } = job;
  // A Buffer's `slice` would copy nothing.
  if ("encoded" in photo) {
    return isWhole(photo.encoded) ? job : { ...job, photo: { ...photo, encoded: new Uint8Array(photo.encoded) } };
  }
  const { pixels } = photo;
  if (isWhole(pixels.data)) return job;
  return { ...job, photo: { ...photo, pixels: { ...pixels, data: new Uint8Array(pixels.data) } } };
}

/** Modules that a replica decodes with. */
const DECODERS: readonly ModuleName[] = ["jpeg", "webp"];

/**
 * Starts replicas.
 *
 * @param engine whose shared memory has the weights
 * @param regions what each has of the memory to write to
 * @throws Error when a worker cannot start
 */
export async function startReplicas(
  runtime: Runtime,
  packed: Packed,
  { target, kernels: { build, module, memory } }: Engine<Forward>,
  regions: readonly Region[],
): Promise<Replicas> {
  const names = [build, ...DECODERS];
  const others = await Promise.all(names.map(async (each) => [each, await runtime.module(each)] as const));
  const modules = { ...Object.fromEntries(others), [`${build}.shared`]: module };
  const { name, imageBytes } = runtime;
  const join = { kind: "join", packed: portable(packed), target, memory, modules, name, imageBytes } as const;
  const start: Start = (onMessage, onExit) => runtime.startWorker(onMessage, onExit, "replica");
  const replicas = regions.map((region) => new Replica(start, join, region));
  const dispose = (): void => {
    for (const replica of replicas) replica.dispose();
  };
  try {
    await Promise.all(replicas.map((replica) => replica.join()));
  } catch (error) {
    dispose();
    throw error;
  }
  const idle = [...replicas];
  const waiting = new Set<(replica: Replica) => void>();
  /** The next replica that is free, in the order of asking. */
  const next = (signal: AbortSignal | undefined): Replica | Promise<Replica> =>
    idle.shift() ??
    new Promise<Replica>((resolve, reject) => {
      const take = (replica: Replica): void => {
        signal?.removeEventListener("abort", leave);
        resolve(replica);
      };
      const leave = (): void => {
        waiting.delete(take);
        reject(signal!.reason);
      };
      waiting.add(take);
      signal?.addEventListener("abort", leave, { once: true });
    });
  const runIn = async (job: Job, bounds: Bounds): Promise<readonly Float32Array[]> => {
    bounds.signal?.throwIfAborted();
    const replica = await next(bounds.signal);
    try {
      return await replica.run(compact(job), bounds);
    } finally {
      const [take] = waiting;
      if (take === undefined) idle.push(replica);
      else {
        waiting.delete(take);
        take(replica);
      }
    }
  };
  return {
    count: replicas.length,
    get ownBytes() {
      return replicas.reduce((sum, { ownBytes }) => sum + ownBytes, 0);
    },
    async run(job, bounds) {
      try {
        return await runIn(job, bounds);
      } catch (error) {
        // A decoder that a page has been given by a function cannot be posted: photos that need it are decoded here.
        if (!isUnsupported(error) || job.kind === "batch" || "pixels" in job.photo) throw error;
        const { maxPixels } = job.reading;
        return withPicture(job.photo, runtime, { maxPixels }, ({ pixels }) =>
          runIn({ ...job, photo: { pixels, isOwned: false } }, bounds),
        );
      }
    },
    dispose,
  };
}

function isUnsupported(error: unknown): boolean {
  return error instanceof ImageError && error.code === "unsupported";
}
