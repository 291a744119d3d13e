/** A request's photo: its body, the first file of its form, or what is at its `?url=`. */
import { expectedGot } from "../errors.ts";
import { type Bodies, type Body, tooLarge } from "./bodies.ts";
import type { Limits } from "./limits.ts";
import { firstFile } from "./multipart.ts";
import { HttpError } from "./refusal.ts";

/** What a form may have beside its photo. */
const FORM_BYTES = 10_000;

export interface PhotoOptions extends Pick<Limits, "maxBytes" | "upstreamTimeoutMs"> {
  readonly bodies: Bodies;
  /** Origins that `?url=` may name. */
  readonly origins: readonly string[];
}

/** The photo's bytes, from wherever the request has it. Throws `HttpError`, or the signal's reason. */
export async function photoOf(request: Request, url: URL, options: PhotoOptions, signal: AbortSignal): Promise<Body> {
  const remote = url.searchParams.get("url");
  if (remote !== null) return fetchPhoto(remote, options, signal);
  const type = request.headers.get("Content-Type") ?? "";
  const { bodies, maxBytes } = options;
  const isForm = type.startsWith("multipart/form-data");
  const body = await bodies.receive(request, isForm ? maxBytes + FORM_BYTES : maxBytes, signal);
  try {
    const bytes = isForm ? firstFile(body.bytes, type) : body.bytes;
    if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
    if (bytes.byteLength > 0) return { ...body, bytes };
    throw new HttpError(400, "empty", "the body is empty; send a JPEG, PNG, WebP or GIF photo");
  } catch (error) {
    body.free();
    throw error;
  }
}

async function fetchPhoto(text: string, options: PhotoOptions, signal: AbortSignal): Promise<Body> {
  const { origins, bodies, maxBytes, upstreamTimeoutMs } = options;
  const target = URL.canParse(text) ? new URL(text) : undefined;
  if (target === undefined) throw new HttpError(400, "url", expectedGot("url", "an address", `"${text.slice(0, 80)}"`));
  if (!origins.includes(target.origin)) {
    throw new HttpError(403, "origin", `photos are not fetched from ${target.origin.slice(0, 80)}`);
  }
  const late = new HttpError(504, "upstream", `${target.origin} took longer than ${upstreamTimeoutMs / 1000} s`);
  const upstream = new AbortController();
  const onAbort = (): void => upstream.abort(signal.reason);
  signal.addEventListener("abort", onAbort);
  const timer = setTimeout(() => upstream.abort(late), upstreamTimeoutMs);
  try {
    // A redirect could lead to an origin that is not allowed.
    const response = await fetch(target, { redirect: "manual", signal: upstream.signal });
    if (!response.ok) {
      await response.body?.cancel();
      throw new HttpError(502, "upstream", `${target.origin} answered ${response.status}`);
    }
    return await bodies.receive(response, maxBytes, upstream.signal);
  } catch (error) {
    if (upstream.signal.aborted) throw upstream.signal.reason;
    const isAnswered = error instanceof HttpError && error.code !== "body";
    throw isAnswered ? error : new HttpError(502, "upstream", `${target.origin} did not answer, or broke off`);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    // Whatever is left of it is not wanted.
    upstream.abort();
  }
}
