/**
 * Downloads that end well or end: silence is cut, a passing failure is tried again, redirects are followed by hand so
 * that a token stays with its origin, and a file goes on where it was cut, for as long as it is the same file.
 */

import { expectedGot, ModelError } from "../errors.ts";
import { KIND_LABELS, SNIFF_BYTES, sniff } from "../formats/sniff.ts";
import type { Hash, Runtime, StoreFile } from "../runtime.ts";
import type { LocateOptions, Progress } from "./locate.ts";

/** Attempts that bring nothing new before a download is given up. */
const ATTEMPTS = 3;
const BACKOFF_MS = 200;
/** Longest wait that a server may ask for (`Retry-After`). */
const MAX_WAIT_MS = 20_000;
const STALL_MS = 30_000;
const MAX_REDIRECTS = 10;
/** Bytes that make an attempt count as one that brought something. */
const ADVANCE_BYTES = 1 << 20;
/** Longest file accepted; no ResNet comes near it. */
const MAX_FILE_BYTES = 2 ** 34;
/** What is set aside at once for a length that someone claims; more grows as the bytes come. */
const MAX_TRUST_BYTES = 1 << 30;
/** Bytes read at once to hash what is already there. */
const HASH_BYTES = 1 << 20;

const NETWORK_HINT = "check the connection and the address; once fetched, a model works offline";
const CUT_HINT = "the download was cut short; try again";

/** One thing to fetch. */
export interface Request {
  readonly url: string;
  /** What to call it in messages and progress. */
  readonly name: string;
  /** An `Authorization` header, for the origin of `url` and no other. */
  readonly authorization?: string | undefined;
  /** What to try when there is no such thing. */
  readonly hint?: string | undefined;
}

/** A checksum that a file must have. */
export interface Checksum {
  /** `git` is the SHA-1 that git gives a file, of its length and its bytes. */
  readonly algorithm: "sha256" | "sha512" | "git";
  /** Its first digits, or all. */
  readonly hex: string;
}

/** What the answers' headers say about a file. */
export interface Facts {
  readonly checksums: readonly Checksum[];
  /** Bytes. */
  readonly size?: number | undefined;
}

/** A server's refusal, which another attempt would meet again. */
export class Refused extends ModelError {
  readonly status: number;
  readonly headers: Headers;
  constructor(message: string, status: number, headers: Headers) {
    super("network", message);
    this.status = status;
    this.headers = headers;
  }
}

/** A failure that another attempt may not meet. */
class Passing extends Error {
  waitMs: number | undefined;
}

/** Cuts a connection that is silent, or whose caller gives up. */
interface Patience {
  readonly signal: AbortSignal;
  /** Waits for something from the network, not longer than the network may be silent. */
  wait<T>(promise: Promise<T>): Promise<T>;
  end(): void;
}

/** An answer that is not a redirect. */
interface Answer {
  readonly response: Response;
  /** The headers of the redirects that led to it, and its own, in order. */
  readonly headers: readonly Headers[];
}

/** A URL as messages show it: queries may hold secrets, and are long. */
export function shown(url: string): string {
  const { origin, pathname, search } = new URL(url);
  return `${origin}${pathname}${search === "" ? "" : "?…"}`;
}

/** Whether an address is this machine's own. */
export function isLocal({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname.endsWith(".localhost") || /^(127\.[\d.]+|\[::1\])$/.test(hostname);
}

/**
 * All bytes of a URL, at most `limit`, and the headers of the answers, redirects first.
 *
 * @throws Refused when the server says no; ModelError when it cannot be reached, in three attempts, or sends too much;
 * the signal's reason when it aborts
 */
export async function fetchBytes(
  request: Request,
  limit: number,
  options: LocateOptions,
  onProgress?: (progress: Progress) => void,
): Promise<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly headers: readonly Headers[] }> {
  return insist(options, async (patience) => {
    const { response, headers } = await ask(request, {}, patience, options);
    const total = lengthOf(response);
    const body = bodyOf(request, response, total, 0, patience);
    let loaded = 0;
    const watched = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        loaded += chunk.byteLength;
        onProgress?.({ name: request.name, loaded, total });
        yield chunk;
      }
    };
    return { bytes: await gather(shown(request.url), watched(), total ?? 0, limit), headers };
  });
}

/**
 * Fetches a file into `file`, and closes it. What an interrupted download left there is kept if the server still has
 * the same file. What fails with a checksum is removed; what is only cut stays, for a later download.
 *
 * @param facts reads the checksums off the headers of the answers, redirects first
 * @throws Refused when the server says no; ModelError when it cannot be reached, keeps cutting the connection, or sends
 * something else; the signal's reason when it aborts
 */
export async function download(
  request: Request,
  file: StoreFile,
  facts: (headers: readonly Headers[]) => Facts,
  runtime: Runtime,
  options: LocateOptions,
): Promise<void> {
  let best = file.size;
  const advanced = (): boolean => {
    const more = file.size - best;
    best = Math.max(best, file.size);
    return more >= ADVANCE_BYTES;
  };
  await insist(options, (patience) => downloadOnce(request, file, facts, runtime, options, patience), advanced);
  await file.close();
}

/** What is remembered of a file that is not whole yet. */
interface Note {
  /** An `ETag` or a `Last-Modified` date, for `If-Range`. */
  readonly validator?: string | undefined;
  readonly total?: number | undefined;
  readonly checksums: readonly Checksum[];
}

async function downloadOnce(
  request: Request,
  file: StoreFile,
  facts: (headers: readonly Headers[]) => Facts,
  runtime: Runtime,
  options: LocateOptions,
  patience: Patience,
): Promise<void> {
  const where = shown(request.url);
  const kept = readNote(file.note);
  // Of a file that is all there, the last byte is asked for again: the answer tells whether it is still the same file.
  const from = kept === undefined ? 0 : Math.max(0, Math.min(file.size, (kept.total ?? file.size + 1) - 1));
  const range = { range: `bytes=${from}-`, ...(kept?.validator === undefined ? {} : { "if-range": kept.validator }) };
  const { response, headers } = await ask(request, from === 0 ? {} : range, patience, options).catch(async (error) => {
    if (from === 0 || !(error instanceof Refused) || error.status !== 416) throw error;
    await file.begin(undefined);
    throw new Passing(error.message, { cause: error });
  });
  const { checksums, size } = facts(headers);
  const goesOn = response.status === 206;
  const total = goesOn ? rangeOf(response)?.total : (lengthOf(response) ?? size);
  const isOther =
    goesOn &&
    (from === 0 || rangeOf(response)?.from !== from || JSON.stringify(checksums) !== JSON.stringify(kept!.checksums));
  if (isOther || (goesOn && kept!.total !== undefined && total !== undefined && total !== kept!.total)) {
    await file.begin(undefined);
    const got = response.headers.get("content-range") ?? "others";
    throw new Passing(expectedGot(where, `bytes ${from} on, of the same file`, got, CUT_HINT));
  }
  if (size !== undefined && total !== undefined && size !== total) {
    throw new ModelError(
      "network",
      expectedGot(where, `${size} bytes`, `${total}`, "the file is not the one that was promised"),
    );
  }
  checkLength(where, total ?? 0);

  const hashes = checksums.flatMap((checksum) => hashOf(runtime, checksum, total) ?? []);
  const start = goesOn ? from : 0;
  for (let at = 0; at < start && hashes.length > 0; at += HASH_BYTES) {
    const bytes = await file.read(at, Math.min(HASH_BYTES, start - at));
    for (const { hash } of hashes) hash.update(bytes);
  }
  const note: Note = { validator: validatorOf(response), total, checksums };
  const canGoOn = note.validator !== undefined || checksums.some(({ hex }) => hex.length >= 40);
  const text = canGoOn && !isEncoded(response) ? JSON.stringify(note) : undefined;
  let isBegun = goesOn;
  if (goesOn) await file.begin(file.note, from);
  for await (const chunk of bodyOf(request, response, total, start, patience)) {
    if (!isBegun) {
      checkKind(request, response, chunk);
      await file.begin(text);
      isBegun = true;
    }
    await file.append(chunk);
    checkLength(where, file.size);
    for (const { hash } of hashes) hash.update(chunk);
    options.onProgress?.({ name: request.name, loaded: file.size, total });
  }
  if (!isBegun) checkKind(request, response, new Uint8Array(0));
  for (const { algorithm, hex, hash } of hashes) {
    const digest = toHex(hash.digest());
    if (digest.startsWith(hex)) continue;
    await file.begin(undefined);
    const hint = "the download is damaged or not the file it should be";
    const message = expectedGot(where, `${algorithm} ${hex}`, `${algorithm} ${digest}`, hint);
    // What an earlier download left may be to blame.
    throw start > 0 ? new Passing(message) : new ModelError("network", message);
  }
  if (total === undefined) options.onProgress?.({ name: request.name, loaded: file.size, total: file.size });
}

function hashOf(
  runtime: Runtime,
  checksum: Checksum,
  total: number | undefined,
): (Checksum & { hash: Hash }) | undefined {
  if (checksum.algorithm !== "git") return { ...checksum, hash: runtime.hash(checksum.algorithm) };
  if (total === undefined) return undefined;
  const hash = runtime.hash("sha1");
  hash.update(new TextEncoder().encode(`blob ${total}\0`));
  return { ...checksum, hash };
}

/** The digest of bytes in memory, as hexadecimal digits. */
export function digestOf(runtime: Runtime, algorithm: Checksum["algorithm"], bytes: Uint8Array): string {
  const { hash } = hashOf(runtime, { algorithm, hex: "" }, bytes.byteLength)!;
  hash.update(bytes);
  return toHex(hash.digest());
}

/** Bytes as hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function readNote(text: string | undefined): Note | undefined {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function checkLength(where: string, bytes: number): void {
  if (bytes <= MAX_FILE_BYTES) return;
  throw new ModelError("network", expectedGot(where, `a file of at most ${MAX_FILE_BYTES} bytes`, `${bytes} or more`));
}

/** Throws when the file begins as none does that anyone wants. */
function checkKind(request: Request, response: Response, head: Uint8Array): void {
  const kind = sniff(head.subarray(0, SNIFF_BYTES));
  const isPage = kind === "html" || /^text\/html\b/i.test(response.headers.get("content-type") ?? "");
  const isError = kind === "json" && !/\.json$/i.test(new URL(request.url).pathname);
  if (!isPage && !isError && kind !== "lfs" && kind !== "empty") return;
  const got = isPage && head.byteLength > 0 ? KIND_LABELS.html : KIND_LABELS[kind];
  throw new ModelError(
    "network",
    expectedGot(shown(request.url), `the file ${request.name}`, got, "open the address in a browser"),
  );
}

/** Tries until it works, gives up when nothing new comes. */
async function insist<T>(
  options: LocateOptions,
  attempt: (patience: Patience) => Promise<T>,
  advanced: () => boolean = () => false,
): Promise<T> {
  const { signal } = options;
  for (let failures = 1; ; failures++) {
    signal?.throwIfAborted();
    const patience = startPatience(options);
    try {
      return await attempt(patience);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Passing)) throw error;
      if (advanced()) failures = 1;
      if (failures === ATTEMPTS) throw new ModelError("network", error.message, { cause: error.cause });
      await pause(error.waitMs ?? BACKOFF_MS * 4 ** (failures - 1), signal);
    } finally {
      patience.end();
    }
  }
}

function startPatience({ signal, stallMs = STALL_MS }: LocateOptions): Patience {
  const controller = new AbortController();
  const stop = (): void => controller.abort(signal!.reason);
  signal?.addEventListener("abort", stop, { once: true });
  return {
    signal: controller.signal,
    async wait(promise) {
      const timer = setTimeout(() => controller.abort(new Error(`no byte for ${stallMs / 1000} s`)), stallMs);
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
      }
    },
    end() {
      signal?.removeEventListener("abort", stop);
      // Lets go of what was not read to its end.
      controller.abort();
    },
  };
}

/** Sends a request and follows its redirects. */
async function ask(
  request: Request,
  extra: Readonly<Record<string, string>>,
  patience: Patience,
  options: LocateOptions,
): Promise<Answer> {
  const headers: Headers[] = [];
  const seen = new Set<string>();
  let { url, authorization } = request;
  while (true) {
    seen.add(url);
    const init = {
      headers: { ...extra, ...(authorization === undefined ? {} : { authorization }) },
      signal: patience.signal,
    };
    let response: Response;
    try {
      response = await patience.wait(fetch(url, { ...init, redirect: "manual" }));
      // A browser keeps the redirects to itself, and the token from other origins.
      if (response.type === "opaqueredirect") response = await patience.wait(fetch(url, init));
    } catch (error) {
      const message = expectedGot("hub", `to reach ${shown(url)}`, reasonOf(error), NETWORK_HINT);
      throw new Passing(message, { cause: error });
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
    if (seen.has(next.href)) {
      throw new ModelError(
        "network",
        expectedGot("hub", `to reach ${shown(request.url)}`, `a redirect loop at ${shown(next.href)}`),
      );
    }
    if (seen.size > MAX_REDIRECTS) {
      throw new ModelError(
        "network",
        expectedGot("hub", `to reach ${shown(request.url)}`, `more than ${MAX_REDIRECTS} redirects`),
      );
    }
    await response.body?.cancel();
    url = next.href;
  }
}

function redirectOf(from: string, location: string, { insecure = false }: LocateOptions): URL {
  const next = URL.canParse(location, from) ? new URL(location, from) : undefined;
  const isDowngrade = next?.protocol === "http:" && from.startsWith("https:") && !insecure && !isLocal(next);
  if (next !== undefined && /^https?:$/.test(next.protocol) && !isDowngrade) return next;
  const got = isDowngrade ? shown(next.href) : location.slice(0, 80);
  throw new ModelError("network", expectedGot(shown(from), "a redirect to an https: address", got));
}

function refusal(request: Request, url: string, response: Response): Error {
  const got = `${response.status} ${response.statusText}`.trim();
  if (response.status === 404 || response.status === 410) {
    const hint = request.hint ?? "check the name and the version";
    return new Refused(
      expectedGot("hub", `${request.name} at ${shown(url)}`, got, hint),
      response.status,
      response.headers,
    );
  }
  const message = expectedGot("hub", `to reach ${shown(url)}`, got, NETWORK_HINT);
  if (response.status < 500 && ![408, 425, 429].includes(response.status)) {
    return new Refused(message, response.status, response.headers);
  }
  const passing = new Passing(message);
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  if (seconds >= 0) passing.waitMs = Math.min(1000 * seconds, MAX_WAIT_MS);
  return passing;
}

/** The chunks of a body, which must be as many bytes as was said: `total` in all, those from `start` on. */
async function* bodyOf(
  request: Request,
  response: Response,
  total: number | undefined,
  start: number,
  patience: Patience,
): AsyncGenerator<Uint8Array> {
  const where = shown(request.url);
  const expected = total === undefined ? "the whole file" : `${total} bytes`;
  const reader = response.body?.getReader();
  let loaded = start;
  while (reader !== undefined) {
    let value: Uint8Array | undefined;
    try {
      ({ value } = await patience.wait(reader.read()));
    } catch (error) {
      const got = `${loaded}, then ${reasonOf(error)}`;
      throw new Passing(expectedGot(where, expected, got, CUT_HINT), { cause: error });
    }
    if (value === undefined) break;
    loaded += value.byteLength;
    if (total !== undefined && loaded > total) break;
    yield value;
  }
  if (total !== undefined && loaded !== total) throw new Passing(expectedGot(where, expected, `${loaded}`, CUT_HINT));
}

/** The length of the file; that of the body on the wire says nothing about one that fetch has decompressed. */
function lengthOf(response: Response): number | undefined {
  const length = isEncoded(response) ? null : response.headers.get("content-length");
  return length === null ? undefined : Number(length);
}

function isEncoded({ headers }: Response): boolean {
  return (headers.get("content-encoding") ?? "identity") !== "identity";
}

function rangeOf({ headers }: Response): { readonly from: number; readonly total: number | undefined } | undefined {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
  if (range === null) return undefined;
  return { from: Number(range[1]), total: range[2] === "*" ? undefined : Number(range[2]) };
}

/** What `If-Range` may be asked with: a strong ETag, or a date too long past to be ambiguous (RFC 9110, 8.8.2.2). */
function validatorOf({ headers }: Response): string | undefined {
  const etag = headers.get("etag");
  if (etag !== null && !etag.startsWith("W/")) return etag;
  const modified = headers.get("last-modified");
  const age = Date.parse(headers.get("date") ?? "") - Date.parse(modified ?? "");
  return modified !== null && age >= 1000 ? modified : undefined;
}

/** fetch says only "fetch failed"; the reason is in its cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  if (!(cause instanceof Error)) return message;
  const code = (cause as { code?: unknown }).code;
  return cause.message || (typeof code === "string" ? code : message);
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

/**
 * All bytes of a stream. With the right `expected` length they are written once, where they stay.
 *
 * @throws ModelError when they are more than `limit`
 */
export async function gather(
  where: string,
  chunks: AsyncIterable<Uint8Array>,
  expected: number,
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes = new Uint8Array(Math.min(expected, MAX_TRUST_BYTES, limit));
  let length = 0;
  for await (const chunk of chunks) {
    if (length + chunk.byteLength > limit) {
      throw new ModelError("network", expectedGot(where, `at most ${limit} bytes`, "more"));
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
