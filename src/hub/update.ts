/** Whether what the cache has of an address is what its server has now. */
import type { Guess } from "../checkpoint.ts";
import { expectedGot, ModelError, OptionError } from "../errors.ts";
import type { LocateOptions } from "../runtime.ts";
import { type Request, send } from "./fetch.ts";
import { type Origin, originOf } from "./origin.ts";
import { retry } from "./retry.ts";

/** Milliseconds that a server may be silent when it is asked; there is a copy to take. */
const STALL_MS = 5000;

/** What was found out. */
export interface Freshness {
  /** The server has another version. */
  readonly isOld?: boolean;
  /** Why it is not known. */
  readonly guesses?: readonly Guess[];
}

/** Throws `OptionError` for an `update` that is none. */
export function checkUpdate({ update }: Pick<LocateOptions, "update">): void {
  if (update === undefined || update === "check" || update === "never") return;
  throw new OptionError("update", expectedGot("update", '"check" or "never"', JSON.stringify(update)));
}

/**
 * Asks the server by HEAD, which a page may send anywhere without asking beforehand. Without an answer, what is kept is as good as
 * it was.
 */
export async function freshness(
  request: Request,
  kept: Origin | undefined,
  options: LocateOptions,
): Promise<Freshness> {
  try {
    if (options.offline === true) throw new ModelError("offline", "offline was asked for");
    const { headers } = await retry(
      { ...options, stallMs: Math.min(options.stallMs ?? STALL_MS, STALL_MS) },
      (timeout) => send({ ...request, method: "HEAD" }, {}, timeout, options),
    );
    const now = originOf(request.url, headers.at(-1));
    const isSame = kept === undefined ? false : compare(kept, now);
    if (isSame !== undefined) return { isOld: !isSame };
    return unknown(request.name, "the server gives no ETag and no Last-Modified that can be read here");
  } catch (error) {
    return unanswered(request.name, error, options);
  }
}

/** What an attempt to ask has come to: the copy in the cache is taken, and it is said. Throws what is no answer of a server. */
export function unanswered(name: string, error: unknown, { signal }: LocateOptions): Freshness {
  signal?.throwIfAborted();
  if (error instanceof ModelError) return unknown(name, error.message.split("\n")[0]!);
  throw error;
}

/** What is said of a copy that is taken. */
export function guessesOf({ guesses }: Freshness): Pick<Freshness, "guesses"> {
  return guesses === undefined ? {} : { guesses };
}

/** Whether two notes are of one version, as far as they tell. */
export function sameVersion(a: Origin | undefined, b: Origin | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function unknown(name: string, why: string): Freshness {
  return { guesses: [{ key: "cache", message: `${name} is the copy in the cache, perhaps not the newest: ${why}` }] };
}

/** Whether both are of one version; `undefined` when nothing tells. A weak ETag is enough, as for If-None-Match (RFC 9110, 13.1.2). */
function compare(kept: Origin, now: Origin): boolean | undefined {
  if (kept.etag !== undefined && now.etag !== undefined) {
    return kept.etag.replace(/^W\//, "") === now.etag.replace(/^W\//, "");
  }
  if (kept.modified !== undefined && now.modified !== undefined) return kept.modified === now.modified;
  return kept.length !== undefined && now.length !== undefined && kept.length !== now.length ? false : undefined;
}
