/**
 * A team: the workers of a pool that run tapes over one shared memory. Steps run in order; inside a step each worker does its share
 * of the units. Between steps they meet at a barrier: spin a little, then sleep. Tapes of several teams run one after the other, in
 * the order in which they were asked for.
 *
 * The caller's own thread computes nothing and never blocks, so the same team serves a page, where blocking is forbidden.
 */

import { expectedGot } from "./errors.ts";
import { poolOf } from "./pool.ts";
import type { Runtime } from "./runtime.ts";
import { type Tape, withScratchAt } from "./tape.ts";

/** What a worker receives, always about one team, by its number. */
export type ToWorker = { readonly team: number } & (
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
  | { readonly kind: "run"; readonly id: number }
  /** Of the pool. */
  | { readonly kind: "leave" }
);

/** What a worker answers: it has joined, the last worker is through, or something failed. */
export type FromWorker = { readonly team: number } & (
  | { readonly kind: "joined" | "done" }
  | { readonly kind: "failed"; readonly message: string }
);

/** Slots of the control words: workers that have arrived at the barrier, barriers passed, the step that failed, counted from 1. */
export const CONTROL = { arrived: 0, passed: 1, failed: 2, words: 3 } as const;

/** A team that is ready to run. */
export interface Team {
  readonly size: number;
  /** Gives every worker a tape; `scratchBytes` apart, each has its own scratch. Returns the tape's number. */
  add(tape: Tape, scratchBytes: number): number;
  forget(id: number): void;
  /** Runs a tape to its end. Rejects when a worker dies or a step fails; the team is of no use after that. */
  run(id: number): Promise<void>;
  /** Leaves the workers to other teams. */
  dispose(): void;
}

/** The tape as worker `index` runs it: its own scratch in place of the first worker's. */
function tapeOf(tape: Tape, index: number, scratchBytes: number): Tape {
  return tape.map((step) => withScratchAt(step, index * scratchBytes));
}

/**
 * Makes a team of the runtime's workers, and starts those that are missing.
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
  const pool = poolOf(runtime);
  const control = new Int32Array(new SharedArrayBuffer(4 * CONTROL.words));
  let waiting: { resolve(): void; reject(error: Error): void; left: number; isRun: boolean } | undefined;
  let broken: Error | undefined;
  const fail = (error: Error): void => {
    if (broken === undefined) pool.leave(team);
    broken ??= error;
    waiting?.reject(broken);
    waiting = undefined;
  };
  /** Resolves after `left` good answers; meanwhile, and only then, the workers keep the process alive. */
  const answers = async (left: number, isRun: boolean): Promise<void> => {
    if (broken !== undefined) throw broken;
    const answered = new Promise<void>((resolve, reject) => {
      waiting = { resolve, reject, left, isRun };
    });
    await pool.holding(answered);
  };
  const team = pool.enter({
    size,
    get isRunning() {
      return waiting?.isRun === true;
    },
    onAnswer(message) {
      const answer = message as FromWorker;
      if (answer.kind === "failed") fail(new Error(answer.message));
      else if (waiting !== undefined && --waiting.left === 0) {
        waiting.resolve();
        waiting = undefined;
      }
    },
    onLost: fail,
  });
  const joined = answers(size, false);
  pool.post(team, (index) => ({ kind: "join", team, module, memory, control, index, size }) satisfies ToWorker);
  await joined;
  let next = 0;
  return {
    size,
    add(tape, scratchBytes) {
      const id = next++;
      pool.post(
        team,
        (index) => ({ kind: "tape", team, id, tape: tapeOf(tape, index, scratchBytes) }) satisfies ToWorker,
      );
      return id;
    },
    forget: (id) => pool.post(team, () => ({ kind: "forget", team, id }) satisfies ToWorker),
    run(id) {
      const done = answers(1, true);
      if (broken === undefined) pool.post(team, () => ({ kind: "run", team, id }) satisfies ToWorker);
      return done;
    },
    dispose: () => fail(new Error(expectedGot("team", "one that works", "one that was disposed"))),
  };
}
