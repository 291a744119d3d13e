/**
 * Classification as an HTTP service: one `fetch` handler for Cloudflare Workers, Deno, Bun and Node.
 *
 *     POST /classify          a photo as the body, or as the first file of a multipart form
 *     POST /classify?url=…    a photo at an allowed origin
 *     GET  /health            what is loaded
 *     GET  /                  a page to try it
 */
import { release } from "../bytes.ts";
import type { Classifier, Prediction } from "../classifier.ts";
import { expectedGot, ImageError, type ImageErrorCode, ModelError } from "../errors.ts";
import { page } from "./page.ts";
import { HttpError, readBounded, readForm } from "./request.ts";

export interface HandlerOptions {
  /** Loads the model; called once, by the first request, and again after a failure. */
  load(): Promise<Classifier>;
  /** Origins that `?url=` may name, as `https://images.example.com`; none when absent. */
  readonly origins?: readonly string[];
  /** Largest body, in bytes; 10 MB. */
  readonly maxBytes?: number;
  /** Largest photo, in pixels; 25 megapixels, which is 100 MB while it is being decoded. */
  readonly maxPixels?: number;
  /** Requests for `/classify` under way at once; beyond them the answer is 503. 32. */
  readonly maxWaiting?: number;
  /** Who may call from a page; `*`. */
  readonly allowOrigin?: string;
  /** `false` leaves `ms` out of the answers: where a clock stands still while a program computes, it would lie. */
  readonly timed?: boolean;
  /** Hears of what went wrong here, not with a request: callers learn only that it did. */
  readonly onError?: (error: unknown) => void;
}

/** What `/classify` answers. */
export interface Answer {
  readonly predictions: readonly Prediction[];
  /** From the bytes to the probabilities; absent where that cannot be measured. */
  readonly ms?: number;
}

const DEFAULTS = {
  origins: [],
  maxBytes: 10e6,
  maxPixels: 25e6,
  maxWaiting: 32,
  allowOrigin: "*",
  timed: true,
} as const;
const MOST_CLASSES = 100;
/** After this long a request is under way no more: a Worker whose client hangs up stops without a word. */
const FORGOTTEN_MS = 60_000;
/** The page needs its own style and script, and talks to nobody else. */
const PAGE_POLICY =
  "default-src 'none'; img-src blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

/**
 * Makes the handler. It never throws, and never answers with a stack trace: what is wrong with a request is said in
 * `{ "error": { "code", "message" } }` with a status of 400 to 499, what is wrong here with 500 and above.
 */
export function createHandler(given: HandlerOptions): (request: Request) => Promise<Response> {
  const options = { ...DEFAULTS, ...given };
  let loading: Promise<Classifier> | undefined;
  /** When each request under way began. */
  const underway = new Map<symbol, number>();
  const model = (): Promise<Classifier> => {
    loading ??= options.load().catch((error) => {
      loading = undefined;
      throw error;
    });
    return loading;
  };
  const headers = { "Access-Control-Allow-Origin": options.allowOrigin, "X-Content-Type-Options": "nosniff" };
  const json = (status: number, body: unknown, more: Readonly<Record<string, string>> = {}): Response =>
    new Response(JSON.stringify(body), {
      status,
      headers: { ...headers, "Content-Type": "application/json", "Cache-Control": "no-store", ...more },
    });

  const classify = async (request: Request, url: URL): Promise<Response> => {
    const topK = topKOf(url);
    const now = Date.now();
    for (const [id, since] of underway) if (now - since > FORGOTTEN_MS) underway.delete(id);
    if (underway.size >= options.maxWaiting) {
      throw new HttpError(503, "busy", "too many photos are waiting; try again", { "Retry-After": "1" });
    }
    const id = Symbol();
    underway.set(id, now);
    let bytes: Uint8Array | undefined;
    try {
      bytes = await photoOf(request, url, options);
      const classifier = await model();
      const start = performance.now();
      const predictions = await classifier.classify(bytes, { topK, maxPixels: options.maxPixels }).catch((error) => {
        throw refusalOf(error);
      });
      const ms = options.timed ? { ms: Number((performance.now() - start).toFixed(1)) } : {};
      return json(200, { predictions, ...ms } satisfies Answer);
    } finally {
      if (bytes !== undefined) release(bytes);
      underway.delete(id);
    }
  };

  const answer = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (request.method === "OPTIONS") {
      const allow = { "Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "Content-Type" };
      return new Response(null, { status: 204, headers: { ...headers, ...allow, "Access-Control-Max-Age": "86400" } });
    }
    switch (url.pathname) {
      case "/":
        if (!isRead) throw new HttpError(405, "method", "this address is for GET", { Allow: "GET" });
        return new Response(page(), {
          headers: {
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "public, max-age=3600",
            "Content-Security-Policy": PAGE_POLICY,
            "X-Content-Type-Options": "nosniff",
          },
        });
      case "/health": {
        if (!isRead) throw new HttpError(405, "method", "this address is for GET", { Allow: "GET" });
        const { model: loaded, build, memoryBytes } = await model();
        return json(200, {
          arch: loaded.arch,
          build,
          memoryMB: Number((memoryBytes / 1e6).toFixed(1)),
          waiting: underway.size,
        });
      }
      case "/classify":
        if (request.method !== "POST")
          throw new HttpError(405, "method", "this address is for POST", { Allow: "POST" });
        return classify(request, url);
      default:
        throw new HttpError(404, "address", `nothing is at ${url.pathname}; POST a photo to /classify`);
    }
  };

  return async (request) => {
    try {
      return await answer(request);
    } catch (error) {
      if (error instanceof HttpError) {
        return json(error.status, { error: { code: error.code, message: error.message } }, error.headers);
      }
      options.onError?.(error);
      const isOurs = error instanceof ModelError;
      const message = isOurs ? firstLine(error) : "something went wrong here";
      return json(500, { error: { code: isOurs ? "model" : "internal", message } });
    }
  };
}

function topKOf(url: URL): number {
  const text = url.searchParams.get("top") ?? "5";
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= MOST_CLASSES) return value;
  throw new HttpError(400, "top", expectedGot("top", `a whole number from 1 to ${MOST_CLASSES}`, `"${text}"`));
}

/** The photo's bytes, from wherever the request has it. */
async function photoOf(
  request: Request,
  url: URL,
  { maxBytes, origins }: Required<Pick<HandlerOptions, "maxBytes" | "origins">>,
): Promise<Uint8Array> {
  const remote = url.searchParams.get("url");
  if (remote !== null) return fetchPhoto(remote, origins, maxBytes, request.signal);
  const type = request.headers.get("Content-Type") ?? "";
  const bytes = type.startsWith("multipart/form-data")
    ? await readForm(request, maxBytes)
    : await readBounded(request, maxBytes);
  if (bytes.byteLength === 0) throw new HttpError(400, "empty", "the body is empty; send a JPEG, PNG or WebP photo");
  return bytes;
}

async function fetchPhoto(
  text: string,
  origins: readonly string[],
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const target = URL.canParse(text) ? new URL(text) : undefined;
  if (target === undefined) throw new HttpError(400, "url", expectedGot("url", "an address", `"${text.slice(0, 80)}"`));
  if (!origins.includes(target.origin)) {
    throw new HttpError(403, "origin", `photos are not fetched from ${target.origin.slice(0, 80)}`);
  }
  let response: Response;
  try {
    // A redirect could lead to an origin that is not allowed.
    response = await fetch(target, { redirect: "manual", signal });
  } catch {
    throw new HttpError(502, "upstream", `${target.origin} did not answer`);
  }
  if (!response.ok) throw new HttpError(502, "upstream", `${target.origin} answered ${response.status}`);
  return readBounded(response, maxBytes);
}

/** Status and code of the answer to an image that cannot be classified. */
const REFUSALS: Readonly<Record<ImageErrorCode, readonly [status: number, code: string]>> = {
  "not-found": [422, "photo"],
  "not-an-image": [415, "type"],
  unsupported: [415, "type"],
  malformed: [422, "photo"],
  truncated: [422, "photo"],
  "too-large": [413, "pixels"],
  memory: [413, "pixels"],
};

/** The refusal of an image; any other error as it is. */
function refusalOf(error: unknown): unknown {
  if (!(error instanceof ImageError)) return error;
  const [status, code] = REFUSALS[error.code];
  return new HttpError(status, code, firstLine(error));
}

function firstLine({ message }: Error): string {
  return message.split("\n")[0]!;
}
