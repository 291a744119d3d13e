/** What is asked for several times at once is fetched once: by one call of this program, and by one page of several. */
import { untilAborted } from "../abort.ts";
import type { DownloadProgress, LocateOptions, Store } from "../runtime.ts";

interface Running {
  readonly done: Promise<unknown>;
  readonly signal: AbortSignal | undefined;
  /** Whoever waits hears of the one download. */
  readonly listeners: Set<(progress: DownloadProgress) => void>;
}

/** By cache and key. */
const running = new Map<string, Running>();

/**
 * Runs `work` when no other call for the same entry runs. `work` looks into the cache first: another may have filled it meanwhile.
 * Calls that wait hear of the progress of the one that runs, and fail as it does unless it was aborted.
 *
 * @throws what `work` throws; the signal's reason when it aborts
 */
export async function once<T>(
  store: Store,
  key: string,
  options: LocateOptions,
  work: (options: LocateOptions) => Promise<T>,
): Promise<T> {
  const { signal, onDownload } = options;
  const id = `${store.name}\n${key}`;
  for (let other = running.get(id); other !== undefined; other = running.get(id)) {
    if (onDownload !== undefined) other.listeners.add(onDownload);
    try {
      await untilAborted(other.done, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (other.signal?.aborted !== true) throw error;
    } finally {
      if (onDownload !== undefined) other.listeners.delete(onDownload);
    }
  }
  signal?.throwIfAborted();
  const listeners = new Set(onDownload === undefined ? [] : [onDownload]);
  const heard: LocateOptions = {
    ...options,
    onDownload: (progress) => {
      for (const listener of listeners) listener(progress);
    },
  };
  const done = store.alone === undefined ? work(heard) : store.alone(key, () => work(heard), signal);
  running.set(id, { done, signal, listeners });
  try {
    return await done;
  } finally {
    running.delete(id);
  }
}
