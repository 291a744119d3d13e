/** Bodies of requests, within bounds, and how a refusal is said. */
import { pullFrom, release } from "../bytes.ts";

/** A refusal: its status, a word for programs and a sentence for people. */
export class HttpError extends Error {
  override name = "HttpError";
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

function tooLarge(maxBytes: number): HttpError {
  const limit = maxBytes < 1e6 ? `${maxBytes} bytes` : `${Number((maxBytes / 1e6).toFixed(1))} MB`;
  return new HttpError(413, "size", `the photo is larger than ${limit}`);
}

/** Times the limit that is read of a body that is too large: most clients hear an answer only when they have sent it all. */
const LINGER = 4;

/** All bytes of a body. Throws `HttpError` 413 when there are more than `maxBytes`, 400 when it breaks off. */
export async function readBounded(message: Request | Response, maxBytes: number): Promise<Uint8Array> {
  if (Number(message.headers.get("Content-Length") ?? 0) > LINGER * maxBytes) throw tooLarge(maxBytes);
  if (message.body === null) return new Uint8Array(0);
  // In one buffer, through another: what a collector would have to find grows with neither requests nor pieces.
  let bytes = new Uint8Array(Math.min(maxBytes, Number(message.headers.get("Content-Length")) || 2 ** 16));
  let length = 0;
  const pull = pullFrom(message.body);
  try {
    for (let part = await pull.next(); part !== undefined; part = await pull.next()) {
      const end = length + part.byteLength;
      if (end <= maxBytes) {
        if (end > bytes.byteLength) bytes = longer(bytes, Math.min(maxBytes, Math.max(end, 2 * bytes.byteLength)));
        bytes.set(part, length);
      }
      length = end;
      if (length > LINGER * maxBytes) break;
    }
  } catch {
    throw new HttpError(400, "body", "the body broke off");
  } finally {
    await pull.cancel();
  }
  if (length <= maxBytes) return bytes.subarray(0, length);
  release(bytes);
  throw tooLarge(maxBytes);
}

function longer(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(length);
  copy.set(bytes);
  release(bytes);
  return copy;
}

/** The first file of a multipart form. Throws `HttpError` 400 for a broken form or one without a file. */
export async function readForm(request: Request, maxBytes: number): Promise<Uint8Array> {
  // Read within bounds first: `formData` has none.
  const body = await readBounded(request, maxBytes + 10_000);
  const headers = { "Content-Type": request.headers.get("Content-Type")! };
  let form: FormData;
  try {
    form = await new Response(body as Uint8Array<ArrayBuffer>, { headers }).formData();
  } catch {
    throw new HttpError(400, "form", "the multipart form is broken");
  }
  for (const [, value] of form) {
    if (typeof value === "string") continue;
    if (value.size > maxBytes) throw tooLarge(maxBytes);
    return new Uint8Array(await value.arrayBuffer());
  }
  throw new HttpError(400, "form", "the form has no file in it");
}
