/** Downloads of large files that resume where an earlier attempt was cut, as long as it is the same file. */
import { expectedGot, ModelError } from "../errors.ts";
import type { LocateOptions, Runtime, StoreFile } from "../runtime.ts";
import {
  bodyOf,
  CUT_HINT,
  checkKind,
  displayUrl,
  type Fetched,
  isEncoded,
  lengthOf,
  type Request,
  StatusError,
  send,
} from "./fetch.ts";
import { type Checksum, feed, verifiers } from "./integrity.ts";
import { retry, type StallTimeout, TransientError } from "./retry.ts";

/** Bytes that make an attempt count as one that brought something. */
const PROGRESS_BYTES = 1 << 20;
/** Longest file accepted; no ResNet comes near it. */
export const MAX_FILE_BYTES = 2 ** 34;

/** What the headers of the responses promise about a file. */
export interface Promised {
  readonly checksums: readonly Checksum[];
  /** Bytes. */
  readonly size?: number | undefined;
}

/** What is remembered of a file that is not whole yet. */
interface Note {
  /** An `ETag` or a `Last-Modified` date. */
  readonly validator?: string | undefined;
  readonly total?: number | undefined;
  readonly checksums: readonly Checksum[];
}

/**
 * Fetches a file into `file`, and closes it. What an interrupted download left there is kept if the server still has
 * the same file. What does not have its checksum is removed; what is only cut stays, for a later download.
 *
 * @param promised reads the checksums off the headers of the responses, redirects first
 * @throws StatusError when the server refuses; ModelError when it cannot be reached, keeps cutting the connection, or
 * sends something else; the signal's reason when it aborts
 */
export async function download(
  request: Request,
  file: StoreFile,
  promised: (headers: readonly Headers[]) => Promised,
  runtime: Runtime,
  options: LocateOptions,
): Promise<void> {
  let best = file.size;
  const progressed = (): boolean => {
    const more = file.size - best;
    best = Math.max(best, file.size);
    return more >= PROGRESS_BYTES;
  };
  const checksums = await retry(
    options,
    (timeout) => attempt(request, file, promised, runtime, options, timeout),
    progressed,
  );
  await file.close(checksums);
}

async function attempt(
  request: Request,
  file: StoreFile,
  promised: (headers: readonly Headers[]) => Promised,
  runtime: Runtime,
  options: LocateOptions,
  timeout: StallTimeout,
): Promise<readonly Checksum[]> {
  const where = displayUrl(request.url);
  const earlier = readNote(file.note);
  // Of a file that is all there, the last byte is asked for again: the response tells whether it is still the same file.
  const from = earlier === undefined ? 0 : Math.max(0, Math.min(file.size, (earlier.total ?? file.size + 1) - 1));
  const { response, headers } = await sendFrom(request, file, from, timeout, options);
  const { checksums, size } = promised(headers);
  const resumes = response.status === 206;
  const total = resumes ? rangeOf(response)?.total : (lengthOf(response) ?? size);
  if (resumes && !isSameFile(response, checksums, earlier, from)) {
    await file.begin(undefined);
    const got = response.headers.get("content-range") ?? "others";
    throw new TransientError("network", expectedGot(where, `bytes ${from} on, of the same file`, got, CUT_HINT));
  }
  if (size !== undefined && total !== undefined && size !== total) {
    const hint = "the file is not the one that was promised";
    throw new ModelError("integrity", expectedGot(where, `${size} bytes`, `${total}`, hint), { subject: request.name });
  }
  checkLength(request, total ?? 0);

  const verifying = await verifiers(runtime, checksums, total);
  const start = resumes ? from : 0;
  await feed(file, start, verifying, options.signal);
  const note: Note = { validator: validatorOf(response), total, checksums };
  const canResume = note.validator !== undefined || isPinned(checksums);
  const text = canResume && !isEncoded(response) ? JSON.stringify(note) : undefined;
  let isBegun = resumes;
  if (resumes) await file.begin(file.note, from);
  for await (const chunk of bodyOf(request, response, total, start, timeout)) {
    if (!isBegun) {
      checkKind(request, response, chunk);
      await file.begin(text);
      isBegun = true;
    }
    await file.append(chunk);
    checkLength(request, file.size);
    for (const each of verifying) each.update(chunk);
    options.onDownload?.({ name: request.name, loaded: file.size, total });
  }
  if (!isBegun) checkKind(request, response, new Uint8Array(0));
  for (const each of verifying) {
    const digest = each.mismatch();
    if (digest === undefined) continue;
    await file.begin(undefined);
    const { algorithm, hex } = each.checksum;
    const hint = "the download is damaged or not the file it should be";
    const message = expectedGot(where, `${algorithm} ${hex}`, `${algorithm} ${digest}`, hint);
    // What an earlier download left may be to blame.
    if (start > 0) throw new TransientError("integrity", message);
    throw new ModelError("integrity", message, { subject: request.name });
  }
  if (total === undefined) options.onDownload?.({ name: request.name, loaded: file.size, total: file.size });
  return verifying.map(({ checksum }) => checksum);
}

/** Whether checksums tell any other file. */
function isPinned(checksums: readonly Checksum[]): boolean {
  return checksums.some(({ hex }) => hex.length >= 40);
}

/** Asks for the file from byte `from` on. */
async function sendFrom(
  request: Request,
  file: StoreFile,
  from: number,
  timeout: StallTimeout,
  options: LocateOptions,
): Promise<Fetched> {
  if (from === 0) return send(request, {}, timeout, options);
  // Without If-Range, for which a page would have to ask a server of another origin beforehand: the answer tells which file it is of.
  try {
    return await send(request, { range: `bytes=${from}-` }, timeout, options);
  } catch (error) {
    if (!(error instanceof StatusError) || error.status !== 416) throw error;
    // The server's file is shorter now.
    await file.begin(undefined);
    throw new TransientError("network", error.message, { cause: error });
  }
}

/** Whether a response with status 206 continues the file that the note is about, at `from`. */
function isSameFile(response: Response, checksums: readonly Checksum[], note: Note | undefined, from: number): boolean {
  if (note === undefined || from === 0) return false;
  const range = rangeOf(response);
  const sameLength = note.total === undefined || range?.total === undefined || range.total === note.total;
  const sameVersion = isPinned(checksums) || (note.validator !== undefined && validatorOf(response) === note.validator);
  return (
    range?.from === from && sameLength && sameVersion && JSON.stringify(checksums) === JSON.stringify(note.checksums)
  );
}

function readNote(text: string | undefined): Note | undefined {
  try {
    const note = text === undefined ? undefined : JSON.parse(text);
    const isWhole =
      Array.isArray(note?.checksums) && [undefined, "string"].includes(note.validator && typeof note.validator);
    return isWhole && (note.total === undefined || Number.isSafeInteger(note.total)) ? note : undefined;
  } catch {
    return undefined;
  }
}

function checkLength({ url, name }: Request, bytes: number): void {
  if (bytes <= MAX_FILE_BYTES) return;
  const message = expectedGot(displayUrl(url), `a file of at most ${MAX_FILE_BYTES} bytes`, `${bytes} or more`);
  throw new ModelError("memory", message, { subject: name });
}

function rangeOf({ headers }: Response): { readonly from: number; readonly total: number | undefined } | undefined {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
  if (range === null) return undefined;
  return { from: Number(range[1]), total: range[2] === "*" ? undefined : Number(range[2]) };
}

/** What tells versions of a file apart: a strong ETag, or a date too long past to be ambiguous (RFC 9110, 8.8.2.2). */
function validatorOf({ headers }: Response): string | undefined {
  const etag = headers.get("etag");
  if (etag !== null && !etag.startsWith("W/")) return etag;
  const modified = headers.get("last-modified");
  // Servers of other origins hide their clock from pages: then it is this machine's, which may be a minute ahead.
  const sent = Date.parse(headers.get("date") ?? "") || Date.now() - 60_000;
  const age = sent - Date.parse(modified ?? "");
  return modified !== null && age >= 1000 ? modified : undefined;
}
