/** A request's photo: its body, the first file of its form, or what is at its `?url=`. */
import { expectedGot } from "../errors.ts";
import { type Bodies, type Body, tooLarge } from "./bodies.ts";
import type { Limits } from "./limits.ts";
import { HttpError } from "./refusal.ts";

/** More than a form with one photo has; `formData` takes its time for each. */
const MAX_PARTS = 32;
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
  const photo = isForm ? await firstFile(body, type, maxBytes) : body;
  if (photo.bytes.byteLength > 0) return photo;
  photo.free();
  throw new HttpError(400, "empty", "the body is empty; send a JPEG, PNG, WebP or GIF photo");
}

/** The first file of a multipart form, which is freed. */
async function firstFile({ bytes, free }: Body, type: string, maxBytes: number): Promise<Body> {
  try {
    const boundary = /boundary="?([^";]+)"?/i.exec(type)?.[1];
    const parts = boundary === undefined ? 0 : new TextDecoder("latin1").decode(bytes).split(`--${boundary}`).length;
    if (parts > MAX_PARTS + 2) throw new HttpError(400, "form", `the form has more than ${MAX_PARTS} parts`);
    let form: FormData;
    try {
      form = await new Response(bytes, { headers: { "Content-Type": type } }).formData();
    } catch {
      throw new HttpError(400, "form", "the multipart form is broken");
    }
    for (const [, value] of form) {
      if (typeof value === "string") continue;
      if (value.size > maxBytes) throw tooLarge(maxBytes);
      return { bytes: new Uint8Array(await value.arrayBuffer()), free() {} };
    }
    throw new HttpError(400, "form", "the form has no file in it");
  } finally {
    free();
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
