/**
 * The workers that compute, one pool for each page, worker or process: started when a team needs them, shared by all teams, kept
 * when teams are disposed. So a second model starts without waiting for workers; and Firefox, whose `new Worker` hangs inside a
 * worker after some terminations, has none to count.
 */
import { expectedGot } from "./errors.ts";
import type { Runtime, WorkerHandle } from "./runtime.ts";

/** What every answer of a worker has. */
interface Answer {
  readonly team: number;
}

/** A team as its pool knows it. It has the first `size` workers. */
export interface Member {
  readonly size: number;
  /** Its workers may be waiting for each other. */
  readonly isRunning: boolean;
  onAnswer(answer: unknown): void;
  /** It is of no use any more. */
  onLost(error: Error): void;
}

/** By how workers are started, which is one function for each runtime. */
const pools = new WeakMap<Runtime["startWorker"], Pool>();

/** The pool of a runtime. */
export function poolOf({ startWorker }: Runtime): Pool {
  const pool = pools.get(startWorker) ?? new Pool(startWorker);
  pools.set(startWorker, pool);
  return pool;
}

export class Pool {
  readonly #start: Runtime["startWorker"];
  readonly #workers: WorkerHandle[] = [];
  /** By their numbers. */
  readonly #members = new Map<number, Member>();
  /** What keeps the process alive. */
  #holds = 0;
  #next = 0;

  constructor(start: Runtime["startWorker"]) {
    this.#start = start;
  }

  /**
   * Lets a team in, and starts the workers that it lacks.
   *
   * @returns its number
   * @throws Error when a worker cannot start: those there were before stay
   */
  enter(member: Member): number {
    const before = this.#workers.length;
    try {
      while (this.#workers.length < member.size) this.#workers.push(this.#startOne());
    } catch (error) {
      for (const worker of this.#workers.splice(before)) void worker.terminate();
      throw error;
    }
    this.#members.set(this.#next, member);
    return this.#next++;
  }

  #startOne(): WorkerHandle {
    const worker: WorkerHandle = this.#start(
      (message) => {
        this.#members.get((message as Answer).team)?.onAnswer(message);
      },
      (reason) => this.#lose(worker, reason),
      "worker",
    );
    return worker;
  }

  /** A worker has ended. Those that may be waiting for it at a barrier cannot be told, and end too. */
  #lose(worker: WorkerHandle, reason: string): void {
    const index = this.#workers.indexOf(worker);
    if (index < 0) return;
    const isAwaited = [...this.#members.values()].some(({ isRunning, size }) => isRunning && size > index);
    const first = isAwaited ? 0 : index;
    for (const ended of this.#workers.splice(first)) void ended.terminate();
    const where = `worker ${index}`;
    const error = new Error(expectedGot(where, "to live as long as the model", reason, "load the model again"));
    for (const [team, member] of this.#members) {
      if (member.size <= first) continue;
      this.#members.delete(team);
      member.onLost(error);
    }
  }

  /** Posts to all workers of a team that is still in, in one go: so all of them run the tapes of all teams in the same order. */
  post(team: number, message: (index: number) => unknown): void {
    const size = this.#members.get(team)?.size ?? 0;
    for (let index = 0; index < size; ++index) this.#workers[index]!.post(message(index));
  }

  /** The team goes; its workers forget it, and with it its memory. */
  leave(team: number): void {
    this.post(team, () => ({ kind: "leave", team }));
    this.#members.delete(team);
  }

  /** Keeps the process alive during `work`. */
  async holding<T>(work: Promise<T>): Promise<T> {
    if (this.#holds++ === 0) this.#setBusy(true);
    try {
      return await work;
    } finally {
      if (--this.#holds === 0) this.#setBusy(false);
    }
  }

  #setBusy(isBusy: boolean): void {
    for (const worker of this.#workers) worker.setBusy(isBusy);
  }
}
