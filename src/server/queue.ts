/** Work in the order in which it came, as much at once as there is something to do it with. */
import { unavailable } from "./refusal.ts";

export interface Queue {
  readonly waiting: number;
  readonly running: number;
  /**
   * Does `work` when its turn comes; never, when `signal` aborts before that.
   *
   * @throws the signal's reason; HttpError 503 when too many wait
   */
  run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

/**
 * Makes a queue.
 *
 * @param lanes how much is done at once
 * @param limit how much may run or wait
 * @param leaseMs after which work that has not ended is not waited for: a Worker's, whose client has disconnected
 */
export function createQueue(lanes: number, limit: number, leaseMs: number): Queue {
  const running = new Map<symbol, number>();
  const waiting = new Set<() => void>();
  const start = (): void => {
    for (const begin of waiting) {
      if (running.size >= lanes) return;
      waiting.delete(begin);
      begin();
    }
  };
  return {
    get waiting() {
      return waiting.size;
    },
    get running() {
      return running.size;
    },
    async run(work, signal) {
      signal.throwIfAborted();
      const now = Date.now();
      for (const [id, since] of running) if (now - since > leaseMs) running.delete(id);
      start();
      if (running.size + waiting.size >= limit) {
        throw unavailable("busy", "too many photos are waiting; try again");
      }
      const id = Symbol();
      if (running.size >= lanes || waiting.size > 0) {
        await new Promise<void>((resolve, reject) => {
          const begin = (): void => {
            signal.removeEventListener("abort", onAbort);
            running.set(id, Date.now());
            resolve();
          };
          const onAbort = (): void => {
            waiting.delete(begin);
            reject(signal.reason);
          };
          waiting.add(begin);
          signal.addEventListener("abort", onAbort, { once: true });
        });
      } else running.set(id, now);
      try {
        return await work();
      } finally {
        running.delete(id);
        start();
      }
    },
  };
}
