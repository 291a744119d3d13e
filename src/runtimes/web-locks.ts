/**
 * Locks that pages of one origin share. A browser may freeze a page that was left together with its workers, which then keep their locks
 * for ever (WebKitGTK 2.50): so a holder answers when it is asked, and of one that does not answer the lock is taken.
 */
import { untilAborted } from "../abort.ts";

/** A holder that runs answers within this; it only waits for the network and for the disk. */
const ANSWER_MS = 2000;
/** How long one waits before the holder is asked again. */
const TURN_MS = 5000;

const NOT_GRANTED = Symbol();

interface LockOptions {
  /** Whether to wait for the lock; else `work` is told that another has it. */
  readonly wait: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `work` with whether the lock is its own: it is not where a platform has no locks, or where another has it and `wait` is false.
 *
 * @throws what `work` throws; the signal's reason when it aborts while it waits
 */
export async function locked<T>(
  name: string,
  { wait, signal }: LockOptions,
  work: (isMine: boolean) => Promise<T>,
): Promise<T> {
  const { locks } = (globalThis.navigator ?? {}) as { readonly locks?: LockManager };
  if (locks === undefined) return work(false);
  const attempt = async (how: globalThis.LockOptions): Promise<T | typeof NOT_GRANTED> => {
    let running: Promise<T> | undefined;
    try {
      return await locks.request(name, how, async (lock) => {
        if (lock === null) return NOT_GRANTED;
        running = answering(name, () => work(true));
        return running;
      });
    } catch (error) {
      // A lock that is taken from this page ends the request, not the work.
      if (running !== undefined) return running;
      signal?.throwIfAborted();
      if (how.signal?.aborted === true) return NOT_GRANTED;
      throw error;
    }
  };
  let result = await attempt({ ifAvailable: true });
  while (result === NOT_GRANTED) {
    if (!(await untilAborted(isAnswered(name), signal))) result = await attempt({ steal: true });
    else if (!wait) return work(false);
    else result = await attempt({ signal: turn(signal) });
  }
  return result;
}

/** Aborts with the signal, or when it is time to ask again. */
function turn(signal: AbortSignal | undefined): AbortSignal {
  const time = AbortSignal.timeout(TURN_MS);
  return signal === undefined ? time : AbortSignal.any([signal, time]);
}

/** Runs `work`, and meanwhile answers those who ask for the lock. */
async function answering<T>(name: string, work: () => Promise<T>): Promise<T> {
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }) => {
    if (data === "who has it?") channel.postMessage("I");
  };
  try {
    return await work();
  } finally {
    channel.close();
  }
}

/** Whether who has the lock runs. */
function isAnswered(name: string): Promise<boolean> {
  const channel = new BroadcastChannel(name);
  return new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), ANSWER_MS);
    channel.onmessage = ({ data }) => {
      if (data !== "I") return;
      clearTimeout(timer);
      resolve(true);
    };
    channel.postMessage("who has it?");
  }).finally(() => channel.close());
}
