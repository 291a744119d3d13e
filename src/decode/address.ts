/** Where an image is, as text: a path, or a `https:`, `http:`, `blob:`, `data:` or `file:` URL. */
import { expectedGot, ImageError, ModelError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { checkBytes, gather } from "./bytes.ts";
import { schemeOf } from "./scheme.ts";

/** No path is longer; text that is was meant to be something else. */
const LONGEST_PATH = 4096;

/** A name as an error shows it: at most a line, whatever the caller gave. */
export function brief(name: string): string {
  return name.length <= 80 ? name : `${name.slice(0, 60)}… (${name.length} characters)`;
}

/**
 * The encoded image at an address.
 *
 * @throws ImageError "not-found" when nothing is there, "too-large" above the limit of bytes; ModelError "runtime" where the
 * runtime has no files
 */
export async function bytesAt(address: string, runtime: Runtime, signal?: AbortSignal): Promise<Uint8Array> {
  const scheme = schemeOf(address);
  if (scheme === "data") return fromDataUrl(address);
  if (scheme === "https" || scheme === "http" || scheme === "blob") return fetched(address, signal);
  return fromFile(scheme === "file" ? filePath(address) : address, runtime);
}

async function fromFile(path: string, runtime: Runtime): Promise<Uint8Array> {
  if (path.length > LONGEST_PATH || path.includes("\0")) {
    throw new ImageError("not-found", expectedGot(brief(path), "a path or a URL", "text that is neither"));
  }
  try {
    const file = await runtime.openFile(path);
    try {
      checkBytes(brief(path), file.size);
      return await file.read(0, file.size);
    } finally {
      await file.close();
    }
  } catch (error) {
    // A file that is not there is the image's fault; a runtime without files is not.
    if (!(error instanceof ModelError) || error.code === "runtime") throw error;
    throw new ImageError("not-found", error.message.replaceAll(path, brief(path)), { cause: error });
  }
}

/** The path of a `file:` URL on this machine; Windows writes its drives after the slash. */
function filePath(address: string): string {
  let url: URL;
  try {
    url = new URL(address);
  } catch (cause) {
    throw new ImageError("malformed", expectedGot(brief(address), "a URL", "a broken one"), { cause });
  }
  if (url.host !== "" && url.host !== "localhost") {
    throw new ImageError("not-found", expectedGot(brief(address), "a file: URL of this machine", "another"));
  }
  return decoded(url.pathname, address).replace(/^\/(?=[a-z]:)/i, "");
}

async function fetched(address: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const name = brief(address);
  let response: Response;
  try {
    response = await fetch(address, signal === undefined ? {} : { signal });
  } catch (cause) {
    throw new ImageError("not-found", expectedGot(name, "an answer", "none"), { cause });
  }
  return fromResponse(response, name);
}

/** The body of a response, within the limit of bytes. */
export async function fromResponse(response: Response, name: string): Promise<Uint8Array> {
  if (!response.ok) {
    await response.body?.cancel().catch(() => {});
    throw new ImageError("not-found", expectedGot(name, "a response with an image", `status ${response.status}`));
  }
  checkBytes(name, Number(response.headers.get("Content-Length") ?? 0));
  return response.body === null ? new Uint8Array(0) : gather(response.body, name);
}

/** RFC 2397: `data:[type][;base64],contents`. */
function fromDataUrl(address: string): Uint8Array {
  const refuse = (got: string): never => {
    throw new ImageError("malformed", expectedGot(brief(address), "a data: URL with an image", got));
  };
  const comma = address.indexOf(",");
  if (comma < 0) return refuse("one without a comma");
  checkBytes(brief(address), (address.length - comma) * 0.75);
  const contents = decoded(address.slice(comma + 1), address);
  if (!/;\s*base64\s*$/i.test(address.slice(0, comma))) return new TextEncoder().encode(contents);
  let binary: string;
  try {
    binary = atob(contents);
  } catch {
    return refuse("characters that are no base64");
  }
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** Percent-encoding undone. */
function decoded(text: string, address: string): string {
  try {
    return text.includes("%") ? decodeURIComponent(text) : text;
  } catch (cause) {
    throw new ImageError("malformed", expectedGot(brief(address), "a URL", "a broken one"), { cause });
  }
}
