/** Files of a page are at addresses. */
import { type ByteSource, fromBytes } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { codeOfStatus } from "../hub/status.ts";

/** A file at a URL, whole. Throws `ModelError` when the server does not give it; the signal's reason when it aborts. */
export async function fetchFile(path: string, signal?: AbortSignal, cache?: RequestCache): Promise<ByteSource> {
  const url = new URL(path, location.href).href;
  let response: Response;
  try {
    response = await fetch(url, { ...(signal && { signal }), ...(cache && { cache }) });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ModelError("network", expectedGot(url, "a response", `${cause}`), { subject: url, cause });
  }
  if (!response.ok) {
    const message = expectedGot(url, "a file", `status ${response.status}`);
    throw new ModelError(codeOfStatus(response.status), message, { subject: url });
  }
  return fromBytes(url, new Uint8Array(await response.arrayBuffer()));
}
