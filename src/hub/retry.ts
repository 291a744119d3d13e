/** Attempts at something over a network: a transient failure is tried again, a silent connection is cut. */
import { ModelError, type ModelErrorCode } from "../errors.ts";

/** Failed attempts in a row, none of which brought anything new, after which we give up. */
const ATTEMPTS = 3;
const BACKOFF_MS = 200;
export const STALL_MS = 30_000;

export interface RetryOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without a byte after which a connection is cut; 30,000. */
  readonly stallMs?: number | undefined;
}

/** A failure that another attempt may not meet. */
export class TransientError extends Error {
  /** Of the `ModelError` that it becomes after the last attempt. */
  readonly code: ModelErrorCode;
  /** How long the server asks to wait. */
  readonly waitMs: number | undefined;

  constructor(code: ModelErrorCode, message: string, details: { waitMs?: number; cause?: unknown } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.waitMs = details.waitMs;
  }
}

/** Ends one attempt's connection when nothing comes for too long, or when the caller aborts. */
export interface StallTimeout {
  /** For the requests of the attempt. */
  readonly signal: AbortSignal;
  /** Waits for the next thing from the network; aborts the signal when it takes too long. */
  wait<T>(promise: Promise<T>): Promise<T>;
}

/**
 * Calls `attempt` until it succeeds, fails with anything but a `TransientError`, or has failed three times in a row.
 *
 * @param progressed whether an attempt that failed brought something new; then it does not count
 * @throws ModelError with the code and message of the last TransientError; the signal's reason when it aborts
 */
export async function retry<T>(
  { signal, stallMs = STALL_MS }: RetryOptions,
  attempt: (timeout: StallTimeout) => Promise<T>,
  progressed: () => boolean = () => false,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    signal?.throwIfAborted();
    const controller = new AbortController();
    const abort = (): void => controller.abort(signal!.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await attempt({ signal: controller.signal, wait: (promise) => within(stallMs, promise, controller) });
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof TransientError)) throw error;
      if (progressed()) failures = 1;
      if (failures === ATTEMPTS) throw new ModelError(error.code, error.message, { cause: error.cause });
      await pause(error.waitMs ?? BACKOFF_MS * 4 ** (failures - 1), signal);
    } finally {
      signal?.removeEventListener("abort", abort);
      // Closes the connection of a body that was not read to its end.
      controller.abort();
    }
  }
}

async function within<T>(ms: number, promise: Promise<T>, controller: AbortController): Promise<T> {
  const timer = setTimeout(() => controller.abort(new Error(`no byte for ${ms / 1000} s`)), ms);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
