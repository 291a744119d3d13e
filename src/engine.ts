/**
 * One wasm instance and everything with its lifetime: memory, threads, the queue of calls, cached plans, disposal.
 * `Classifier` and `Trainer` both stand on it.
 */
import { letPageRun } from "./abort.ts";
import { COLLECTED_BYTES } from "./collect.ts";
import { expectedGot, OptionError, StateError } from "./errors.ts";
import { BUILDS, type Build, type Kernels, loadKernels, pickBuild } from "./kernels.ts";
import type { Runtime } from "./runtime.ts";
import { run, runStep, type Tape } from "./tape.ts";
import type { Team } from "./threads.ts";
import type { Vectors } from "./variants.ts";
import { ensureMemory, extendMemory } from "./weights.ts";

/** Which kernels compute, and on how many threads. */
export interface EngineOptions {
  /** Which kernels; `auto`, the default, takes relaxed SIMD where the engine has it and computes it correctly. */
  readonly build?: Build | "auto";
  /** 128 keeps to narrow tiles, even where the engine packs pairs of vectors; `auto`, the default, measures. Results are the same. */
  readonly vectors?: 128 | "auto";
  /** Workers that share the computing; 1, the default, needs no workers and no shared memory. */
  readonly threads?: number;
}

/** `EngineOptions`, checked and decided. */
export interface EngineTarget {
  readonly build: Build;
  readonly threads: number;
  /** Which tiles; to be measured when absent. */
  readonly vectors?: Vectors | undefined;
}

/** The part of a shared memory that an engine has to itself, where several share one: bytes from `base` to `end`. */
export interface Region {
  readonly base: number;
  readonly end: number;
}

/** What an engine caches: tapes, and the memory they need. */
export interface Runnable {
  readonly tapes: readonly Tape[];
  /** Bytes from one thread's scratch to the next. */
  readonly scratchBytes: number;
  /** First byte after everything the tapes touch. */
  readonly end: number;
}

const PAGE_BYTES = 65536;
/** Pages of a 32-bit address space. */
const MAX_PAGES = 65536;

/**
 * Checks the options, before anything is opened or downloaded.
 *
 * @throws OptionError for an unknown build or kind of vectors, or threads that are no whole number or cannot be had here
 */
export function engineTarget({ build = "auto", vectors = "auto", threads = 1 }: EngineOptions): EngineTarget {
  if (vectors !== "auto" && vectors !== 128) {
    throw new OptionError("vectors", expectedGot("vectors", "128 or auto", JSON.stringify(vectors)));
  }
  if (build !== "auto" && !BUILDS.includes(build)) {
    throw new OptionError("build", expectedGot("build", `${BUILDS.join(", ")} or auto`, JSON.stringify(build)));
  }
  if (!Number.isInteger(threads) || threads < 1) {
    throw new OptionError("threads", expectedGot("threads", "a whole number from 1", `${threads}`));
  }
  if (threads > 1 && typeof SharedArrayBuffer === "undefined") {
    const hint = "a page must be cross-origin isolated (COOP and COEP headers) for more than one thread";
    throw new OptionError("threads", expectedGot("threads", "1 where there is no shared memory", `${threads}`, hint));
  }
  return { build: pickBuild(build), threads, ...(vectors === 128 ? { vectors } : {}) };
}

/**
 * Loads the kernels over a memory of their own. Threads start later, by `Engine.start`: packing weights needs none.
 *
 * @param name for messages: what the engine runs
 * @param bytes that the memory must be able to hold; a shared memory, which needs a limit, can grow no further
 * @param plans how many are cached
 * @param shared whether other threads see the memory
 */
export async function createEngine<P extends Runnable>(
  runtime: Runtime,
  name: string,
  target: EngineTarget,
  {
    bytes,
    plans,
    shared = target.threads > 1,
  }: { readonly bytes: number; readonly plans: number; readonly shared?: boolean },
): Promise<Engine<P>> {
  const maximum = Math.min(MAX_PAGES, Math.ceil(bytes / PAGE_BYTES));
  const kind = shared ? { maximum, shared } : {};
  const kernels = await loadKernels(runtime, target.build, new WebAssembly.Memory({ initial: 1, ...kind }));
  return new Engine(name, target, kernels, plans, undefined, runtime.collect);
}

/** See `createEngine`. */
export class Engine<P extends Runnable> {
  readonly target: EngineTarget;
  readonly #name: string;
  readonly #capacity: number;
  readonly #collect: Runtime["collect"];
  /** Least recently used first. */
  readonly #plans = new Map<string, P>();
  /** Numbers of the cached tapes in the team. */
  readonly #ids = new Map<Tape, number>();
  /** Calls that have begun and not ended. */
  readonly #calls = new Set<Promise<unknown>>();
  #kernels: Kernels | undefined;
  #team: Team | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #disposal: Promise<void> | undefined;
  #region: Region | undefined;

  /**
   * @param region what it has of the memory; all of it when absent
   * @param collect the runtime's
   */
  constructor(
    name: string,
    target: EngineTarget,
    kernels: Kernels,
    capacity: number,
    region?: Region,
    collect?: Runtime["collect"],
  ) {
    this.#name = name;
    this.target = target;
    this.#kernels = kernels;
    this.#capacity = capacity;
    this.#region = region;
    this.#collect = collect;
  }

  /** What it has of a memory that it shares; it may be another after `plan`. */
  get region(): Region | undefined {
    return this.#region;
  }

  /** Starts the threads, where there are more than one. */
  async start(runtime: Runtime): Promise<void> {
    const { threads } = this.target;
    const { module, memory } = this.kernels;
    if (threads === 1) return;
    const { startTeam } = await import("./threads.ts");
    this.#team = await startTeam(runtime, module, memory, threads);
  }

  /** The instance. Throws `StateError` after `dispose`. */
  get kernels(): Kernels {
    if (this.#kernels !== undefined) return this.#kernels;
    throw new StateError(expectedGot(this.#name, "a loaded model", "one that was disposed", "load it again"));
  }

  /** Runs a public call from start to end: refused after `dispose`, which waits for those that came before it. */
  async call<T>(work: () => Promise<T>): Promise<T> {
    if (this.#disposal !== undefined) {
      throw new StateError(expectedGot(this.#name, "a loaded model", "one that was disposed", "load it again"));
    }
    const result = work();
    this.#calls.add(result);
    try {
      return await result;
    } finally {
      this.#calls.delete(result);
    }
  }

  /** Runs `work` when all work queued before it is done: it has the memory to itself. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }

  /**
   * The cached plan of this key, or a new one in place of the least recently used, with memory for it. `make` plans from the
   * start of the region, where there is one, and is called again when that has moved.
   */
  plan(key: string, make: () => P): P {
    let plan = this.#plans.get(key) ?? make();
    if (!this.#plans.delete(key)) {
      if (this.#region === undefined) this.reserve(plan.end);
      else if (plan.end > this.#region.end) {
        this.#move(plan.end - this.#region.base);
        plan = make();
      }
      for (const tape of this.#team === undefined ? [] : plan.tapes) {
        if (tape.length > 0) this.#ids.set(tape, this.#team!.add(tape, plan.scratchBytes));
      }
      if (this.#plans.size === this.#capacity) this.#forget(this.#plans.keys().next().value!);
    }
    this.#plans.set(key, plan);
    return plan;
  }

  /** Leaves its region for one of at least `bytes`: others are behind it. Half as much again bounds what is left behind. */
  #move(bytes: number): void {
    const length = Math.ceil((1.5 * bytes) / PAGE_BYTES) * PAGE_BYTES;
    const base = extendMemory(this.kernels.memory, length);
    this.#region = { base, end: base + length };
    this.#plans.clear();
  }

  #forget(key: string): void {
    for (const tape of this.#plans.get(key)!.tapes) {
      const id = this.#ids.get(tape);
      if (id !== undefined) this.#team!.forget(id);
      this.#ids.delete(tape);
    }
    this.#plans.delete(key);
  }

  /** Runs a tape of a cached plan; on a page with pauses between its steps. */
  async run(tape: Tape): Promise<void> {
    const id = this.#ids.get(tape);
    if (id !== undefined) await this.#team!.run(id);
    else if (typeof document === "undefined") run(this.kernels.exports, tape);
    else {
      const { exports } = this.kernels;
      for (const step of tape) {
        runStep(exports, step);
        await letPageRun();
      }
    }
  }

  /** Makes the memory at least `bytes` long. Views that were made before may be empty afterwards. */
  reserve(bytes: number): void {
    ensureMemory(this.kernels.memory, bytes);
  }

  /** A view of f32 numbers. It lasts until the memory grows. */
  floats(address: number, length: number): Float32Array {
    return new Float32Array(this.kernels.memory.buffer, address, length);
  }

  /** A view of bytes. It lasts until the memory grows. */
  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.kernels.memory.buffer, address, length);
  }

  /** Waits for the calls made before it, then gives back the instance, its memory and its share of the threads. */
  dispose(): Promise<void> {
    this.#disposal ??= (async () => {
      await Promise.allSettled(this.#calls);
      this.#team?.dispose();
      this.#team = undefined;
      const bytes = this.#kernels!.memory.buffer.byteLength;
      this.#kernels = undefined;
      this.#plans.clear();
      this.#ids.clear();
      if (bytes >= COLLECTED_BYTES) await this.#collect?.();
    })();
    return this.#disposal;
  }
}
