/**
 * One worker of a pool: the loop that every thread of every runtime runs.
 */
import { COLLECTED_BYTES, requestCollection } from "./collect.ts";
import { instantiateKernels } from "./kernels.ts";
import { type KernelExports, runShare, type Tape } from "./tape.ts";
import { CONTROL, type FromWorker, type ToWorker } from "./threads.ts";

/**
 * Looks at the barrier before sleeping, about 0.2 ms. Long on purpose: a system that has put two workers on one core moves
 * one away only while it sees both awake. With 4,000 looks ResNet-18 after a pause ran no faster on two cores than on one
 * (41.5 against 41.7 ms); with 50,000 it takes 22.3 ms.
 */
const SPINS = 50_000;

/** A team that this worker is in. */
interface Membership {
  readonly exports: KernelExports;
  readonly memory: WebAssembly.Memory;
  readonly control: Int32Array;
  readonly index: number;
  readonly size: number;
  readonly tapes: Map<number, Tape>;
}

/** Waits until all workers are here. Returns false when one of them has failed in this step, counted from 1, or before. */
function meet({ control, size }: Membership, step: number): boolean {
  const passed = Atomics.load(control, CONTROL.passed);
  if (Atomics.add(control, CONTROL.arrived, 1) === size - 1) {
    Atomics.store(control, CONTROL.arrived, 0);
    Atomics.add(control, CONTROL.passed, 1);
    Atomics.notify(control, CONTROL.passed);
  } else {
    for (let i = 0; i < SPINS && Atomics.load(control, CONTROL.passed) === passed; ++i);
    while (Atomics.load(control, CONTROL.passed) === passed) Atomics.wait(control, CONTROL.passed, passed);
  }
  // A worker that is quick may have failed in the next step already: it waits there.
  const failed = Atomics.load(control, CONTROL.failed);
  return failed === 0 || failed > step;
}

/**
 * Serves a pool, and the teams in it.
 *
 * @param answer posts to the pool's owner
 * @returns what to call with each message from it
 */
export function serve(answer: (message: FromWorker) => void): (message: unknown) => Promise<void> {
  const teams = new Map<number, Membership>();
  const runTape = (team: number, member: Membership, tape: Tape): void => {
    for (const [i, step] of tape.entries()) {
      try {
        runShare(member.exports, step, member.index, member.size);
      } catch (error) {
        Atomics.store(member.control, CONTROL.failed, i + 1);
        answer({ team, kind: "failed", message: `${step.label}: ${String(error)}` });
      }
      if (!meet(member, i + 1)) return;
    }
    if (member.index === 0) answer({ team, kind: "done" });
  };
  return async (message) => {
    const order = message as ToWorker;
    const { team } = order;
    if (order.kind === "join") {
      const { module, memory, control, index, size } = order;
      try {
        teams.set(team, {
          exports: instantiateKernels(module, memory),
          memory,
          control,
          index,
          size,
          tapes: new Map(),
        });
        answer({ team, kind: "joined" });
      } catch (error) {
        answer({ team, kind: "failed", message: `worker ${index}: ${String(error)}` });
      }
      return;
    }
    // One that could not join gets no more orders, but those that were on their way.
    const member = teams.get(team);
    if (member === undefined) return;
    if (order.kind === "tape") member.tapes.set(order.id, order.tape);
    else if (order.kind === "forget") member.tapes.delete(order.id);
    else if (order.kind === "leave") {
      teams.delete(team);
      // Without work, this worker would not collect before the next model comes. Not waited for: this frame has the memory.
      if (member.memory.buffer.byteLength >= COLLECTED_BYTES) void requestCollection();
    } else runTape(team, member, member.tapes.get(order.id)!);
  };
}
