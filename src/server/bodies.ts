/**
 * Bodies while they are received: their number, their memory and their rate are bounded together, and a slow client holds
 * nothing that another one needs.
 */
import { pullFrom, release } from "../bytes.ts";
import type { Limits } from "./limits.ts";
import { HttpError, unavailable } from "./refusal.ts";

/** A complete body. `free` gives its memory back, and must be called. */
export interface Body {
  readonly bytes: Bytes;
  free(): void;
}

export interface Bodies {
  /** Bodies that are being received. */
  readonly count: number;
  /** Bytes of memory that bodies hold, those that are complete and not freed among them. */
  readonly memory: number;
  /**
   * Receives a body.
   *
   * @param maxBytes its limit
   * @param signal its reason is thrown when it aborts
   * @throws HttpError 413 above `maxBytes`, 408 when it is too slow, 400 when it breaks off, 503 when there is no memory
   */
  receive(message: Request | Response, maxBytes: number, signal: AbortSignal): Promise<Body>;
}

/** A body of over `maxBytes` is read this many times as far: most clients read no answer before they have sent everything. */
const DRAIN = 4;
/** A rate says nothing before. */
const GRACE_MS = 5_000;
/** A body younger than this is not stopped for another. */
const YOUNG_MS = 1_000;
const CHECK_MS = 500;
/** Memory for a body that has not begun: what a slow client can hold is what it has sent. */
const FIRST_BYTES = 2 ** 14;

type Bytes = Uint8Array<ArrayBuffer>;

interface Receiving {
  readonly since: number;
  received: number;
  /** Bytes of memory. */
  held: number;
  complete: boolean;
  /** Why it was stopped. */
  stopped: { readonly reason: unknown } | undefined;
  /** Rejects the read that is waited for. */
  wake: (reason: unknown) => void;
}

/** Ends the receiving. */
function stop(body: Receiving, reason: unknown): void {
  body.stopped ??= { reason };
  body.wake(reason);
}

type BodyLimits = Pick<Limits, "maxBodies" | "maxBodyMemory" | "bodyTimeoutMs" | "minBytesPerSecond" | "timeoutMs">;

export function createBodies(limits: BodyLimits): Bodies {
  const { maxBodies, maxBodyMemory, bodyTimeoutMs, minBytesPerSecond, timeoutMs } = limits;
  const all = new Set<Receiving>();
  const count = (): number => [...all].filter(({ complete }) => !complete).length;
  const memory = (): number => [...all].reduce((sum, { held }) => sum + held, 0);

  /** Where a Worker stops with its client, nothing is freed: what is too old to be there is not counted. */
  const forget = (now: number): void => {
    for (const body of all) if (now - body.since > bodyTimeoutMs + 2 * timeoutMs) all.delete(body);
  };

  /** Ends the slowest body other than `mine` that is not complete; whether there was one. */
  const evict = (now: number, mine?: Receiving): boolean => {
    let slowest: Receiving | undefined;
    const rate = ({ received, since }: Receiving): number => received / (now - since);
    for (const body of all) {
      if (body === mine || body.complete || now - body.since < YOUNG_MS) continue;
      if (slowest === undefined || rate(body) < rate(slowest)) slowest = body;
    }
    if (slowest === undefined) return false;
    all.delete(slowest);
    stop(slowest, slow("others wait, and this body was the slowest"));
    return true;
  };

  /** Memory for at least `least` bytes, up to `wanted` where there is room, with what has been received copied. */
  const grow = (body: Receiving, bytes: Bytes, least: number, wanted: number): Bytes => {
    const room = (): number => maxBodyMemory - memory() + body.held;
    while (room() < least) {
      if (!evict(Date.now(), body)) throw unavailable("busy", "there is no memory for another photo; try again");
    }
    const longer = new Uint8Array(Math.max(least, Math.min(wanted, room())));
    longer.set(bytes.subarray(0, body.received));
    release(bytes);
    body.held = longer.byteLength;
    return longer;
  };

  return {
    get count() {
      return count();
    },
    get memory() {
      return memory();
    },
    async receive(message, maxBytes, signal) {
      signal.throwIfAborted();
      const declared = Number(message.headers.get("Content-Length") ?? 0);
      if (declared > DRAIN * maxBytes) throw tooLarge(maxBytes);
      const since = Date.now();
      forget(since);
      if (count() >= maxBodies && !evict(since)) throw unavailable("busy", "too many photos arrive; try again");
      const body: Receiving = { since, received: 0, held: 0, complete: false, stopped: undefined, wake: () => {} };
      all.add(body);
      const onAbort = (): void => stop(body, signal.reason);
      signal.addEventListener("abort", onAbort);
      const timer = setInterval(() => {
        const ms = Date.now() - since;
        if (ms > bodyTimeoutMs) stop(body, slow(`the body was not complete after ${bodyTimeoutMs / 1000} s`));
        else if (ms > GRACE_MS && (1000 * body.received) / ms < minBytesPerSecond) {
          stop(body, slow(`the body came at less than ${minBytesPerSecond} bytes a second`));
        }
      }, CHECK_MS);
      let bytes: Bytes = new Uint8Array(0);
      try {
        if (message.body !== null) {
          const pull = pullFrom(message.body);
          for (;;) {
            const part = await next(body, pull);
            if (part === undefined) break;
            const end = body.received + part.byteLength;
            if (end <= maxBytes) {
              if (end > bytes.byteLength) {
                const wanted = Math.max(end, 2 * bytes.byteLength, Math.min(declared, FIRST_BYTES));
                bytes = grow(body, bytes, end, Math.min(maxBytes, wanted));
              }
              bytes.set(part, body.received);
            } else {
              if (end > DRAIN * maxBytes) throw tooLarge(maxBytes);
              release(bytes);
              bytes = new Uint8Array(0);
              body.held = 0;
            }
            body.received = end;
          }
        }
        if (body.received > maxBytes) throw tooLarge(maxBytes);
        body.complete = true;
        const free = (): void => {
          all.delete(body);
          // Whoever computes may have taken the memory.
          if (bytes.byteLength > 0) release(bytes);
        };
        return { bytes: bytes.subarray(0, body.received), free };
      } catch (error) {
        all.delete(body);
        release(bytes);
        throw error;
      } finally {
        clearInterval(timer);
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
}

/** The next part. A stopped body's stream is left where it is: to cancel it would close the connection before the answer. */
function next(body: Receiving, pull: ReturnType<typeof pullFrom>): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    if (body.stopped !== undefined) throw body.stopped.reason;
    body.wake = reject;
    pull.next().then(resolve, () => reject(new HttpError(400, "body", "the body broke off")));
  });
}

/** The rest of the body is not waited for: the connection ends with the answer. */
function slow(message: string): HttpError {
  return new HttpError(408, "slow", message, { Connection: "close" });
}

export function tooLarge(maxBytes: number): HttpError {
  const limit = maxBytes < 1e6 ? `${maxBytes} bytes` : `${Number((maxBytes / 1e6).toFixed(1))} MB`;
  return new HttpError(413, "size", `the photo is larger than ${limit}`, { Connection: "close" });
}
