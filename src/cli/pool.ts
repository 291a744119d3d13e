/**
 * Copies of a model, each in a worker of its own: the thread that answers requests neither decodes nor computes, a photo that
 * takes long delays only its own worker, and one that takes too long ends with it. Copies, not threads of one: they share
 * nothing, and on two cores they classify more photos a second.
 */
import { Worker } from "node:worker_threads";
import type { LoadOptions, Prediction } from "../classifier.ts";
import { expectedGot } from "../errors.ts";
import type { PhotoClassifier } from "../server/handler.ts";
import { HttpError } from "../server/refusal.ts";
import { fromPortable } from "./portable-error.ts";
import type { FromReplica, ToReplica } from "./replica.ts";

export interface PoolOptions {
  readonly workers: number;
  /** Milliseconds that one photo may take; after that its worker is ended and another one started. */
  readonly photoTimeoutMs: number;
}

export interface Pool extends PhotoClassifier {
  /** Workers that were ended, or ended by themselves. */
  readonly ended: number;
  dispose(): Promise<void>;
}

type Loaded = Extract<FromReplica, { readonly kind: "loaded" }>;

interface Replica {
  readonly worker: Worker;
  readonly loaded: Promise<Loaded>;
  memoryBytes: number;
  busy: boolean;
  /** Sends a message and waits for its answer. Rejects when the worker ends before. */
  ask(message: ToReplica, transfer?: readonly ArrayBuffer[]): Promise<FromReplica>;
}

function startReplica(source: string, options: LoadOptions, onEnd: () => void): Replica {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`./replica.${extension}`, import.meta.url));
  let waiting: { readonly resolve: (answer: FromReplica) => void; readonly reject: (error: Error) => void } | undefined;
  const end = (reason: string): void => {
    waiting?.reject(new Error(expectedGot("worker", "one that runs until the service stops", reason)));
    waiting = undefined;
    onEnd();
  };
  worker.on("message", (answer: FromReplica) => {
    waiting?.resolve(answer);
    waiting = undefined;
  });
  worker.on("error", (error) => end(String(error)));
  worker.on("exit", (code) => end(`an exit with code ${code}`));
  const ask: Replica["ask"] = (message, transfer = []) =>
    new Promise((resolve, reject) => {
      waiting = { resolve, reject };
      worker.postMessage(message, transfer);
    });
  const loaded = ask({ kind: "load", source, options }).then((answer) => {
    if (answer.kind === "failed") {
      void worker.terminate();
      throw fromPortable(answer.error);
    }
    replica.memoryBytes = (answer as Loaded).memoryBytes;
    return answer as Loaded;
  });
  // Whoever asks for it sees the failure.
  loaded.catch(() => {});
  const replica: Replica = { worker, loaded, memoryBytes: 0, busy: false, ask };
  return replica;
}

/**
 * Starts the workers and waits until each has loaded the model.
 *
 * @param options that can be posted: no signal, no functions
 * @throws what `load` throws
 */
export async function startPool(source: string, options: LoadOptions, pool: PoolOptions): Promise<Pool> {
  let ended = 0;
  let disposed = false;
  const replicas = new Set<Replica>();
  const start = (): Replica => {
    const replica = startReplica(source, options, () => {
      if (!replicas.delete(replica) || disposed) return;
      ended += 1;
      // One that could not load would fail again: it is tried when the next photo needs it.
      if (replica.memoryBytes > 0) start();
    });
    replicas.add(replica);
    return replica;
  };
  const dispose = async (): Promise<void> => {
    disposed = true;
    await Promise.all([...replicas].map(({ worker }) => worker.terminate()));
  };
  let first: Loaded;
  try {
    first = await start().loaded;
    for (let i = 1; i < pool.workers; ++i) await start().loaded;
  } catch (error) {
    await dispose();
    throw error;
  }
  const classifyIn = async (
    replica: Replica,
    photo: Uint8Array,
    options: { readonly topK: number; readonly maxPixels: number; readonly signal: AbortSignal },
  ): Promise<readonly Prediction[]> => {
    await replica.loaded;
    const { topK, maxPixels, signal } = options;
    signal.throwIfAborted();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      void replica.worker.terminate();
    }, pool.photoTimeoutMs);
    try {
      const answer = await replica.ask({ kind: "classify", photo, topK, maxPixels }, [photo.buffer as ArrayBuffer]);
      if (answer.kind === "failed") throw fromPortable(answer.error);
      const { predictions, memoryBytes } = answer as Extract<FromReplica, { kind: "classified" }>;
      replica.memoryBytes = memoryBytes;
      return predictions;
    } catch (error) {
      if (!isLate) throw error;
      throw new HttpError(422, "work", `the photo takes longer than ${pool.photoTimeoutMs / 1000} s to decode`);
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    model: { arch: first.arch },
    build: first.build,
    get memoryBytes() {
      return [...replicas].reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
    },
    get ended() {
      return ended;
    },
    async classify(photo, options) {
      // The caller has no more photos in progress than there are workers, so one is free.
      const idle = [...replicas].filter(({ busy }) => !busy);
      const replica = idle.find(({ memoryBytes }) => memoryBytes > 0) ?? idle[0] ?? start();
      replica.busy = true;
      try {
        return await classifyIn(replica, photo, options);
      } finally {
        replica.busy = false;
      }
    },
    dispose,
  };
}
