/**
 * HTTP as this library needs it: redirects followed by hand so that a token stays with its origin, statuses and cut
 * bodies as errors that say whether another attempt may help.
 */
import { expectedGot, ModelError } from "../errors.ts";
import { KIND_LABELS, SNIFF_BYTES, sniff } from "../formats/sniff.ts";
import type { DownloadProgress, LocateOptions } from "../runtime.ts";
import { retry, type StallTimeout, TransientError } from "./retry.ts";
import { codeOfStatus } from "./status.ts";

/** Longest wait that a server may ask for (`Retry-After`). */
const MAX_WAIT_MS = 20_000;
const MAX_REDIRECTS = 10;
/** What is allocated at once for a length that a server claims; more grows as the bytes come. */
const MAX_TRUST_BYTES = 1 << 30;

const NETWORK_HINT = "check the connection and the address; once fetched, a model works offline";
/** Said of every body that ends too early. */
export const CUT_HINT = "the download was cut short; try again";

/** One thing to fetch. */
export interface Request {
  readonly url: string;
  /** What to call it in messages and progress. */
  readonly name: string;
  /** An `Authorization` header, for the origin of `url` and no other. */
  readonly authorization?: string | undefined;
  /** What to try when there is no such thing. */
  readonly hint?: string | undefined;
  /** Takes nothing from the browser's own HTTP cache without asking the server whether it is the newest. */
  readonly fresh?: boolean | undefined;
  readonly method?: "HEAD";
}

/** A response that is no redirect. */
export interface Fetched {
  readonly response: Response;
  /** The headers of the redirects that led to it, and its own, in order. */
  readonly headers: readonly Headers[];
}

/** A status that another attempt would meet again. */
export class StatusError extends ModelError {
  readonly status: number;
  readonly headers: Headers;

  constructor(message: string, subject: string, { status, headers }: Response) {
    super(codeOfStatus(status), message, { subject });
    this.status = status;
    this.headers = headers;
  }
}

/** A URL as messages show it: queries may hold secrets, and are long. */
export function displayUrl(url: string): string {
  const { origin, pathname, search } = new URL(url);
  return `${origin}${pathname}${search === "" ? "" : "?…"}`;
}

/** Whether an address is this machine's own. */
export function isLocal({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname.endsWith(".localhost") || /^(127\.[\d.]+|\[::1\])$/.test(hostname);
}

/**
 * All bytes of a URL, at most `limit`, and the headers of the responses, redirects first.
 *
 * @throws StatusError when the server refuses; ModelError when it cannot be reached, in three attempts, or sends too
 * much; the signal's reason when it aborts
 */
export async function fetchBytes(
  request: Request,
  limit: number,
  options: LocateOptions,
  onDownload?: (progress: DownloadProgress) => void,
): Promise<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly headers: readonly Headers[] }> {
  return retry(options, async (timeout) => {
    const { response, headers } = await send(request, {}, timeout, options);
    const total = lengthOf(response);
    const body = bodyOf(request, response, total, 0, timeout);
    let loaded = 0;
    const watched = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        loaded += chunk.byteLength;
        onDownload?.({ name: request.name, loaded, total });
        yield chunk;
      }
    };
    return { bytes: await collect(displayUrl(request.url), watched(), total ?? 0, limit), headers };
  });
}

/**
 * Sends a request and follows its redirects.
 *
 * @throws StatusError, TransientError, or ModelError for redirects that cannot be followed
 */
export async function send(
  request: Request,
  extra: Readonly<Record<string, string>>,
  timeout: StallTimeout,
  options: LocateOptions,
): Promise<Fetched> {
  const headers: Headers[] = [];
  const seen = new Set<string>();
  let { url, authorization } = request;
  while (true) {
    seen.add(url);
    const init: RequestInit = {
      headers: { ...extra, ...(authorization === undefined ? {} : { authorization }) },
      signal: timeout.signal,
      ...(request.fresh === true && { cache: "no-cache" }),
      ...(request.method !== undefined && { method: request.method }),
    };
    let response: Response;
    try {
      response = await timeout.wait(fetch(url, { ...init, redirect: "manual" }));
      // A browser keeps the redirects to itself, and the token from other origins.
      if (response.type === "opaqueredirect") response = await timeout.wait(fetch(url, init));
    } catch (error) {
      const message = expectedGot("hub", `to reach ${displayUrl(url)}`, reasonOf(error), NETWORK_HINT);
      throw new TransientError("network", message, { cause: error });
    }
    headers.push(response.headers);
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) {
      if (!response.ok) throw refusal(request, url, response);
      return { response, headers };
    }
    const next = redirectOf(url, location, options);
    // Once away from its origin, the token stays away.
    if (next.origin !== new URL(url).origin) authorization = undefined;
    if (seen.has(next.href)) throw badRedirect(request, `a redirect loop at ${displayUrl(next.href)}`);
    if (seen.size > MAX_REDIRECTS) throw badRedirect(request, `more than ${MAX_REDIRECTS} redirects`);
    await response.body?.cancel();
    url = next.href;
  }
}

function badRedirect({ url, name }: Request, got: string): ModelError {
  return new ModelError("network", expectedGot("hub", `to reach ${displayUrl(url)}`, got), { subject: name });
}

function redirectOf(from: string, location: string, { insecure = false }: LocateOptions): URL {
  const next = URL.canParse(location, from) ? new URL(location, from) : undefined;
  const isDowngrade = next?.protocol === "http:" && from.startsWith("https:") && !insecure && !isLocal(next);
  if (next !== undefined && /^https?:$/.test(next.protocol) && !isDowngrade) return next;
  const got = isDowngrade ? displayUrl(next.href) : location.slice(0, 80);
  throw new ModelError("network", expectedGot(displayUrl(from), "a redirect to an https: address", got));
}

function refusal(request: Request, url: string, response: Response): Error {
  const got = `${response.status} ${response.statusText}`.trim();
  if (codeOfStatus(response.status) === "not-found") {
    const hint = request.hint ?? "check the name and the version";
    return new StatusError(
      expectedGot("hub", `${request.name} at ${displayUrl(url)}`, got, hint),
      request.name,
      response,
    );
  }
  const message = expectedGot("hub", `to reach ${displayUrl(url)}`, got, NETWORK_HINT);
  if (response.status < 500 && ![408, 425, 429].includes(response.status)) {
    return new StatusError(message, request.name, response);
  }
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new TransientError("network", message, seconds >= 0 ? { waitMs: Math.min(1000 * seconds, MAX_WAIT_MS) } : {});
}

/** The chunks of a body, which must be as many bytes as was said: `total` in all, those from `start` on. */
export async function* bodyOf(
  request: Request,
  response: Response,
  total: number | undefined,
  start: number,
  timeout: StallTimeout,
): AsyncGenerator<Uint8Array> {
  const where = displayUrl(request.url);
  const expected = total === undefined ? "the whole file" : `${total} bytes`;
  const reader = response.body?.getReader();
  let loaded = start;
  while (reader !== undefined) {
    let value: Uint8Array | undefined;
    try {
      ({ value } = await timeout.wait(reader.read()));
    } catch (error) {
      const got = `${loaded}, then ${reasonOf(error)}`;
      throw new TransientError("truncated", expectedGot(where, expected, got, CUT_HINT), { cause: error });
    }
    if (value === undefined) break;
    loaded += value.byteLength;
    if (total !== undefined && loaded > total) break;
    yield value;
  }
  if (total === undefined || loaded === total) return;
  throw new TransientError("truncated", expectedGot(where, expected, `${loaded}`, CUT_HINT));
}

/** The length of the file; that of the body on the wire says nothing about one that fetch has decompressed. */
export function lengthOf(response: Response): number | undefined {
  const length = isEncoded(response) ? null : response.headers.get("content-length");
  return length === null ? undefined : Number(length);
}

export function isEncoded({ headers }: Response): boolean {
  return (headers.get("content-encoding") ?? "identity") !== "identity";
}

/** Throws when a file begins as none does that anyone wants: with a web page, an error in JSON, an LFS pointer, nothing. */
export function checkKind(request: Request, response: Response, head: Uint8Array): void {
  const kind = sniff(head.subarray(0, SNIFF_BYTES));
  const isPage = kind === "html" || /^text\/html\b/i.test(response.headers.get("content-type") ?? "");
  const isError = kind === "json" && !/\.json$/i.test(new URL(request.url).pathname);
  if (!isPage && !isError && kind !== "lfs" && kind !== "empty") return;
  const got = isPage && head.byteLength > 0 ? KIND_LABELS.html : KIND_LABELS[kind];
  throw new ModelError(
    kind === "empty" ? "truncated" : "not-a-model",
    expectedGot(displayUrl(request.url), `the file ${request.name}`, got, "open the address in a browser"),
    { subject: request.name },
  );
}

/** fetch says only "fetch failed"; the reason is in its cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  if (!(cause instanceof Error)) return message;
  const code = (cause as { code?: unknown }).code;
  return cause.message || (typeof code === "string" ? code : message);
}

/**
 * All bytes of a stream. With the right `expected` length they are written once, where they stay.
 *
 * @throws ModelError when they are more than `limit`
 */
export async function collect(
  where: string,
  chunks: AsyncIterable<Uint8Array>,
  expected: number,
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes = new Uint8Array(Math.min(expected, MAX_TRUST_BYTES, limit));
  let length = 0;
  for await (const chunk of chunks) {
    if (length + chunk.byteLength > limit) {
      throw new ModelError("memory", expectedGot(where, `at most ${limit} bytes`, "more"));
    }
    if (length + chunk.byteLength > bytes.byteLength) {
      const grown = new Uint8Array(Math.min(limit, Math.max(2 * bytes.byteLength, length + chunk.byteLength)));
      grown.set(bytes.subarray(0, length));
      bytes = grown;
    }
    bytes.set(chunk, length);
    length += chunk.byteLength;
  }
  return length === bytes.byteLength ? bytes : bytes.slice(0, length);
}
