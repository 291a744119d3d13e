/**
 * Bodies while they are received: their number, their memory and their rate are bounded together. A body waits until there is memory for all
 * of it, and is not read before: what the client has not sent yet is held by the client. So none stops half-way, and no two wait for
 * each other's memory. One that would not be complete in time makes room for those that wait.
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
   * @throws HttpError 413 above `maxBytes`, 408 when it is too slow, 400 when it breaks off, 503 when there are too many
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
/** What a body has before it has memory for all of it: clients that send nothing hold no more. */
const FIRST_BYTES = 2 ** 14;
/** Bodies of up to this much pass those that wait for more. */
const PASSING_BYTES = 1e6;
/** Those who wait look this often, and are given up when they have not looked for a second: a Worker may stop with its client. */
const LOOK_MS = 16;
const GONE_MS = 1_000;

type Bytes = Uint8Array<ArrayBuffer>;

interface Receiving {
  /** When it began; what it has waited for memory is not counted. */
  since: number;
  /** How long it is, or may be. */
  readonly length: number;
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
  /** Those that wait for memory, in their order, and when they last looked. */
  const line = new Map<Receiving, number>();
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

  /** Ends the body that is furthest behind what it should have sent to be complete in time; whether there was one. */
  const evictLate = (now: number, mine: Receiving): boolean => {
    let [latest, part] = [undefined as Receiving | undefined, 1];
    for (const body of all) {
      const ms = now - body.since;
      if (body === mine || body.complete || line.has(body) || ms < YOUNG_MS) continue;
      const share = (body.received * bodyTimeoutMs) / (body.length * ms);
      if (share < part) [latest, part] = [body, share];
    }
    if (latest === undefined) return false;
    all.delete(latest);
    stop(latest, slow("others wait, and this body would not have been complete in time"));
    return true;
  };

  /** Whether there is room for `bytes` of a body that waits. */
  const mayHave = (body: Receiving, bytes: number): boolean => {
    const now = Date.now();
    line.set(body, now);
    for (const [other, seen] of line) if (now - seen > GONE_MS) line.delete(other);
    const room = (): number => maxBodyMemory - memory() + body.held;
    const isFirst = line.keys().next().value === body;
    if (!isFirst && bytes > PASSING_BYTES) return false;
    while (room() < bytes && evictLate(now, body));
    if (room() >= bytes) return true;
    // Bodies that are complete, or on their way, will make room.
    if ([...all].every((other) => other.held === 0 || line.has(other))) {
      throw unavailable("busy", "there is no memory for another photo; try again");
    }
    return false;
  };

  /** Memory for `bytes` of a body, when there is room. */
  const grown = async (body: Receiving, bytes: Bytes, size: number): Promise<Bytes> => {
    if (size > FIRST_BYTES) {
      const began = Date.now();
      try {
        while (!mayHave(body, size)) {
          await new Promise((done) => setTimeout(done, LOOK_MS));
          if (body.stopped !== undefined) throw body.stopped.reason;
        }
      } finally {
        line.delete(body);
        body.since += Date.now() - began;
      }
    }
    body.held = size;
    const longer = new Uint8Array(size);
    longer.set(bytes.subarray(0, body.received));
    release(bytes);
    return longer;
  };

  return {
    get count() {
      return count();
    },
    get memory() {
      return memory();
    },
    async receive(message, limit, signal) {
      signal.throwIfAborted();
      const maxBytes = Math.min(limit, maxBodyMemory);
      const declared = Number(message.headers.get("Content-Length") ?? 0);
      if (declared > DRAIN * maxBytes) throw tooLarge(maxBytes);
      const length = declared > 0 && declared <= maxBytes ? declared : maxBytes;
      const since = Date.now();
      forget(since);
      if (count() >= maxBodies && !evict(since)) throw unavailable("busy", "too many photos arrive; try again");
      const body: Receiving = {
        ...{ since, length, received: 0, held: 0, complete: false, stopped: undefined, wake: () => {} },
      };
      all.add(body);
      const onAbort = (): void => stop(body, signal.reason);
      signal.addEventListener("abort", onAbort);
      const timer = setInterval(() => {
        if (line.has(body)) return;
        const ms = Date.now() - body.since;
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
                bytes = await grown(body, bytes, end <= FIRST_BYTES ? FIRST_BYTES : end <= length ? length : maxBytes);
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
        if (length > body.received + FIRST_BYTES) bytes = shortened(bytes, body.received);
        body.held = bytes.byteLength;
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

/** Memory without its end, where the engine can cut it off. */
function shortened(bytes: Bytes, length: number): Bytes {
  return "transfer" in bytes.buffer ? new Uint8Array(bytes.buffer.transfer(length)) : bytes.slice(0, length);
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
