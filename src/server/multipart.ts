/** The first file of a multipart form (RFC 7578), as a view of the body: `formData()` would copy a photo of 20 MB twice. */
import { HttpError } from "./refusal.ts";

/** More than a form with one photo has. */
const MAX_PARTS = 32;
/** Most bytes of a part's headers. */
const HEADER_BYTES = 8192;
const [CR, DASH] = [13, 45];

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Where `pattern` is, at `from` or behind it; −1 when it is not there. */
function find(bytes: Uint8Array, pattern: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(pattern[0]!, from); at >= 0; at = bytes.indexOf(pattern[0]!, at + 1)) {
    if (pattern.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}

/**
 * @param type the request's content type
 * @throws HttpError 400 for a form that is broken, has too many parts or has no file
 */
export function firstFile(bytes: Uint8Array<ArrayBuffer>, type: string): Uint8Array<ArrayBuffer> {
  const broken = new HttpError(400, "form", "the multipart form is broken");
  const boundary = /boundary=(?:"([^"]+)"|([^";\s]+))/i.exec(type);
  if (boundary === null) throw broken;
  const delimiter = encode(`\r\n--${boundary[1] ?? boundary[2]}`);
  // The first stands at the beginning, or behind a preamble.
  let at = find(bytes, delimiter.subarray(2), 0);
  if (at > 0 && bytes[at - 2] !== CR) at = -1;
  if (at < 0) throw broken;
  at += delimiter.length - 2;
  for (let parts = 0; bytes[at] !== DASH || bytes[at + 1] !== DASH; ++parts) {
    if (parts === MAX_PARTS) throw new HttpError(400, "form", `the form has more than ${MAX_PARTS} parts`);
    const head = find(bytes.subarray(at, at + HEADER_BYTES), encode("\r\n\r\n"), 0);
    const end = head < 0 ? -1 : find(bytes, delimiter, at + head + 4);
    if (end < 0) throw broken;
    const headers = new TextDecoder().decode(bytes.subarray(at, at + head));
    if (/^content-disposition:.*;\s*filename\*?=/im.test(headers)) return bytes.subarray(at + head + 4, end);
    at = end + delimiter.length;
  }
  throw new HttpError(400, "form", "the form has no file in it");
}
