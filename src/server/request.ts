/** Bodies of requests, within bounds, and how a refusal is said. */

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
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = message.body.getReader();
  try {
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      length += value!.byteLength;
      if (length <= maxBytes) chunks.push(value!);
      else chunks.length = 0;
      if (length > LINGER * maxBytes) break;
    }
    if (length > maxBytes) throw tooLarge(maxBytes);
  } catch (error) {
    await reader.cancel().catch(() => {});
    if (error instanceof HttpError) throw error;
    throw new HttpError(400, "body", "the body broke off");
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
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
