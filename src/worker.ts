/**
 * One worker of a team: the loop that every thread of every runtime runs.
 */
import { instantiateKernels } from "./kernels.ts";
import { type KernelExports, runShare, type Tape } from "./tape.ts";
import { CONTROL, type FromWorker, type ToWorker } from "./threads.ts";

/**
 * Looks at the barrier before sleeping, about 0.2 ms. Long on purpose: a system that has put two workers on one core moves
 * one away only while it sees both awake. With 4,000 looks ResNet-18 after a pause ran no faster on two cores than on one
 * (41.5 against 41.7 ms); with 50,000 it takes 22.3 ms.
 */
const SPINS = 50_000;

/** Waits until all `size` workers are here. Returns false when one of them has failed. */
function meet(control: Int32Array, size: number): boolean {
  const passed = Atomics.load(control, CONTROL.passed);
  if (Atomics.add(control, CONTROL.arrived, 1) === size - 1) {
    Atomics.store(control, CONTROL.arrived, 0);
    Atomics.add(control, CONTROL.passed, 1);
    Atomics.notify(control, CONTROL.passed);
  } else {
    for (let i = 0; i < SPINS && Atomics.load(control, CONTROL.passed) === passed; ++i);
    while (Atomics.load(control, CONTROL.passed) === passed) Atomics.wait(control, CONTROL.passed, passed);
  }
  return Atomics.load(control, CONTROL.failed) === 0;
}

/**
 * Serves a team.
 *
 * @param answer posts to the team's owner
 * @returns what to call with each message from it
 */
export function serve(answer: (message: FromWorker) => void): (message: unknown) => Promise<void> {
  const tapes = new Map<number, Tape>();
  let joined: { exports: KernelExports; control: Int32Array; index: number; size: number } | undefined;
  return async (message) => {
    const order = message as ToWorker;
    if (order.kind === "join") {
      const { module, memory, control, index, size } = order;
      joined = { exports: instantiateKernels(module, memory), control, index, size };
      answer({ kind: "joined" });
    } else if (order.kind === "tape") tapes.set(order.id, order.tape);
    else if (order.kind === "forget") tapes.delete(order.id);
    else {
      const { exports, control, index, size } = joined!;
      for (const step of tapes.get(order.id)!) {
        try {
          runShare(exports, step, index, size);
        } catch (error) {
          Atomics.store(control, CONTROL.failed, 1);
          answer({ kind: "failed", message: `${step.label}: ${String(error)}` });
        }
        if (!meet(control, size)) return;
      }
      if (index === 0) answer({ kind: "done" });
    }
  };
}
