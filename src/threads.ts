/**
 * A team of workers that run one tape over one shared memory. Steps run in order; inside a step each worker does its share
 * of the units. Between steps they meet at a barrier: spin a little, then sleep.
 *
 * The caller's own thread computes nothing and never blocks, so the same team serves a page, where blocking is forbidden.
 */

import { expectedGot } from "./errors.ts";
import type { Runtime, WorkerHandle } from "./runtime.ts";
import { type Tape, withScratchAt } from "./tape.ts";

/** What a worker receives. */
export type ToWorker =
  | {
      readonly kind: "join";
      readonly module: WebAssembly.Module;
      readonly memory: WebAssembly.Memory;
      readonly control: Int32Array;
      readonly index: number;
      readonly size: number;
    }
  | { readonly kind: "tape"; readonly id: number; readonly tape: Tape }
  | { readonly kind: "forget"; readonly id: number }
  | { readonly kind: "run"; readonly id: number };

/** What a worker answers: it has joined, the last worker is through, or a step failed. */
export type FromWorker = { readonly kind: "joined" | "done" } | { readonly kind: "failed"; readonly message: string };

/** Slots of the control words: workers that have arrived at the barrier, barriers passed, whether a step has failed. */
export const CONTROL = { arrived: 0, passed: 1, failed: 2, words: 3 } as const;

/** A team that is ready to run. */
export interface Team {
  readonly size: number;
  /** Gives every worker a tape; `scratchBytes` apart, each has its own scratch. Returns the tape's number. */
  add(tape: Tape, scratchBytes: number): number;
  forget(id: number): void;
  /** Runs a tape to its end. Rejects when a worker dies or a step fails; the team is of no use after that. */
  run(id: number): Promise<void>;
  dispose(): void;
}

/** The tape as worker `index` runs it: its own scratch in place of the first worker's. */
function tapeOf(tape: Tape, index: number, scratchBytes: number): Tape {
  return tape.map((step) => withScratchAt(step, index * scratchBytes));
}

/**
 * Starts a team.
 *
 * @param module a shared build of the kernels
 * @param memory shared
 * @throws Error when a worker cannot start
 */
export async function startTeam(
  runtime: Runtime,
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  size: number,
): Promise<Team> {
  const control = new Int32Array(new SharedArrayBuffer(4 * CONTROL.words));
  const workers: WorkerHandle[] = [];
  let waiting: { resolve(): void; reject(error: Error): void; left: number } | undefined;
  let broken: Error | undefined;
  const fail = (error: Error): void => {
    broken ??= error;
    for (const worker of workers) worker.terminate();
    waiting?.reject(broken);
    waiting = undefined;
  };
  /** Resolves after `messages` good answers; meanwhile, and only then, the workers keep the process alive. */
  const answers = async (messages: number): Promise<void> => {
    if (broken !== undefined) throw broken;
    for (const worker of workers) worker.setBusy(true);
    await new Promise<void>((resolve, reject) => {
      waiting = { resolve, reject, left: messages };
    });
    for (const worker of workers) worker.setBusy(false);
  };
  const onMessage = (message: unknown): void => {
    const answer = message as FromWorker;
    if (answer.kind === "failed") fail(new Error(answer.message));
    else if (waiting !== undefined && --waiting.left === 0) {
      waiting.resolve();
      waiting = undefined;
    }
  };
  const tell = (message: ToWorker): void => {
    for (const worker of workers) worker.post(message);
  };
  try {
    for (let index = 0; index < size; ++index) {
      const worker = runtime.startWorker(
        onMessage,
        (reason) => {
          fail(
            new Error(expectedGot(`worker ${index}`, "to live as long as the model", reason, "load the model again")),
          );
        },
        "worker",
      );
      workers.push(worker);
    }
    const joined = answers(size);
    for (const [index, worker] of workers.entries()) {
      worker.post({ kind: "join", module, memory, control, index, size } satisfies ToWorker);
    }
    await joined;
  } catch (error) {
    fail(error as Error);
    throw error;
  }
  let next = 0;
  return {
    size,
    add(tape, scratchBytes) {
      const id = next++;
      workers.forEach((worker, index) => {
        worker.post({ kind: "tape", id, tape: tapeOf(tape, index, scratchBytes) } satisfies ToWorker);
      });
      return id;
    },
    forget: (id) => tell({ kind: "forget", id }),
    run(id) {
      const done = answers(1);
      if (broken === undefined) tell({ kind: "run", id });
      return done;
    },
    dispose() {
      broken ??= new Error(expectedGot("team", "one that works", "one that was disposed"));
      for (const worker of workers) worker.terminate();
    },
  };
}
