/** Calls that a caller may give up: they reject at once with the signal's reason, whatever they wait for. */

/**
 * What `promise` comes to, or a rejection with the signal's reason as soon as it aborts. The work behind the promise goes on.
 *
 * @param late gets what the promise comes to after the abort, to give it back
 */
export function untilAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  late?: (value: T) => unknown,
): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(
      (value) => {
        signal.removeEventListener("abort", onAbort);
        if (signal.aborted) late?.(value);
        resolve(value);
      },
      (error) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
      },
    );
  });
}

/** The same items; when the signal aborts, also while one is waited for, its reason is thrown. */
export async function* untilAbortedEach<T>(
  items: Iterable<T> | AsyncIterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let isDone = false;
  try {
    for (;;) {
      await letEventsRun(signal);
      const { done, value } = await untilAborted(Promise.resolve(iterator.next()), signal);
      if (done === true) break;
      yield value;
    }
    isDone = true;
  } finally {
    // Not waited for: it may be what never comes.
    if (!isDone) void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

/** With a signal, lets the event loop go round, so that a timer or a click can abort it; then throws its reason. */
export async function letEventsRun(signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return;
  await nextTurn();
  signal.throwIfAborted();
}

/** How long a page may be kept from its reader between two steps. */
const PAGE_MS = 30;
let left = 0;

/** On a page, lets it paint and hear its reader, where it has not for a while. Whatever else computes has no reader to wait for it. */
export async function letPageRun(): Promise<void> {
  if (typeof document === "undefined" || performance.now() - left < PAGE_MS) return;
  await nextTurn();
  left = performance.now();
}

/** Lets the event loop go round. */
function nextTurn(): Promise<void> {
  return new Promise<void>((resolve) => {
    // Not everywhere at the edge.
    if (typeof MessageChannel === "undefined") {
      setTimeout(resolve);
      return;
    }
    // A timer of 0 would take up to 4 ms in a browser.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
