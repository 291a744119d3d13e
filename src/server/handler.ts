/**
 * Classification as an HTTP service: one `fetch` handler for Cloudflare Workers, Deno, Bun and Node.
 *
 *     POST /classify          a photo as the body, or as the first file of a multipart form
 *     POST /classify?url=…    a photo at an allowed origin
 *     GET  /health            what is loaded
 *     GET  /metrics           counts, for Prometheus
 *     GET  /                  a page to try it
 *
 * A request goes through three stages: its body is received (`bodies.ts`), it waits for its turn (`queue.ts`), it is
 * computed. Only the second is counted against `maxWaiting`, so slow clients do not use up the queue; and a photo is decoded
 * only when its turn has come, so memory follows what is computed, not what is asked for.
 */
import type { Prediction } from "../classifier.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { type Access, addressOf, checkToken, corsHeaders } from "./access.ts";
import { createBodies } from "./bodies.ts";
import { type Limits, limitsOf } from "./limits.ts";
import { createMetrics, type Gauge } from "./metrics.ts";
import { page } from "./page.ts";
import { photoOf } from "./photo.ts";
import { createQueue } from "./queue.ts";
import { firstLine, HttpError, refusalOf, unavailable } from "./refusal.ts";

/** What answers: a `Classifier`, or something that passes photos on to several. */
export interface PhotoClassifier {
  readonly model: { readonly arch: string };
  readonly build: string;
  /** Bytes of wasm memory. */
  readonly memoryBytes: number;
  classify(
    photo: Uint8Array,
    options: {
      readonly topK: number;
      readonly maxPixels: number;
      readonly maxDecodeBytes: number;
      readonly signal: AbortSignal;
    },
  ): Promise<readonly Prediction[]>;
}

/** A request that was answered, for a log. */
export interface RequestRecord {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** The refusal's code, where it was one. */
  readonly code?: string;
  readonly ms: number;
}

export interface HandlerOptions extends Partial<Limits>, Access {
  /** Loads the model; called once, by the first request, and again after a failure. */
  load(): Promise<PhotoClassifier>;
  /** How many photos it computes at once; 1. */
  readonly concurrency?: number;
  /** Origins that `?url=` may name, as `https://images.example.com`; none when absent. */
  readonly origins?: readonly string[];
  /** `false` leaves `ms` out of the answers: where a clock stands still while a program computes, it would be wrong. */
  readonly timed?: boolean;
  /** When it aborts, requests in progress are finished and others are answered 503. */
  readonly stopping?: AbortSignal;
  /** Gets what went wrong in the service, not with a request: clients see only that something did. */
  readonly onError?: (error: unknown) => void;
  /** Gets every request that was answered. */
  readonly onRequest?: (record: RequestRecord) => void;
}

/** What `/classify` answers. */
export interface Answer {
  readonly predictions: readonly Prediction[];
  /** From the bytes to the probabilities; absent where that cannot be measured. */
  readonly ms?: number;
}

const MOST_CLASSES = 100;
/** The page needs its own style and script, and connects to nothing else. */
const PAGE_POLICY =
  "default-src 'none'; img-src blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";
const ROUTES: readonly string[] = ["/", "/classify", "/health", "/metrics"];

/**
 * Makes the handler. It never throws, and never answers with a stack trace: what is wrong with a request is said in
 * `{ "error": { "code", "message" } }` with a status of 400 to 499, what is wrong here with 500 and above.
 *
 * @throws OptionError for a limit that is no number above 0
 */
export function createHandler(options: HandlerOptions): (request: Request) => Promise<Response> {
  const { allowOrigin = "*", hosts, token, timed = true, origins = [], concurrency = 1, stopping } = options;
  const limits = limitsOf(options);
  const { maxBytes, maxPixels, maxDecodeBytes, timeoutMs, upstreamTimeoutMs } = limits;
  const bodies = createBodies(limits);
  const queue = createQueue(concurrency, limits.maxWaiting, 2 * timeoutMs);
  const metrics = createMetrics();
  const cors = corsHeaders(allowOrigin);
  let loading: Promise<PhotoClassifier> | undefined;
  let loaded: PhotoClassifier | undefined;
  const model = (): Promise<PhotoClassifier> => {
    loading ??= options.load().then(
      (made) => {
        loaded = made;
        return made;
      },
      (error) => {
        loading = undefined;
        throw error;
      },
    );
    return loading;
  };
  const gauges: readonly Gauge[] = [
    { name: "bodies", help: "Bodies that are being received.", value: () => bodies.count },
    { name: "body_memory_bytes", help: "Memory that bodies hold.", value: () => bodies.memory },
    { name: "waiting", help: "Photos that wait for their turn.", value: () => queue.waiting },
    { name: "running", help: "Photos that are computed.", value: () => queue.running },
    { name: "model_memory_bytes", help: "WebAssembly memory of the model.", value: () => loaded?.memoryBytes },
  ];

  const json = (status: number, body: unknown, more: Readonly<Record<string, string>> = {}): Response =>
    new Response(JSON.stringify(body), {
      status,
      headers: {
        ...cors,
        "X-Content-Type-Options": "nosniff",
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        ...more,
      },
    });

  const classify = async (request: Request, url: URL, signal: AbortSignal): Promise<Response> => {
    const topK = topKOf(url);
    const photo = await photoOf(request, url, { bodies, origins, maxBytes, upstreamTimeoutMs }, signal);
    try {
      const classifier = await model();
      return await queue.run(async () => {
        const start = performance.now();
        const limited = { topK, maxPixels, maxDecodeBytes, signal };
        const predictions = await classifier.classify(photo.bytes, limited).catch((error) => {
          throw refusalOf(error);
        });
        const ms = timed ? { ms: Number((performance.now() - start).toFixed(1)) } : {};
        return json(200, { predictions, ...ms } satisfies Answer);
      }, signal);
    } finally {
      photo.free();
    }
  };

  const route = async (request: Request, url: URL, signal: AbortSignal): Promise<Response> => {
    if (request.method === "OPTIONS") return preflight(cors);
    if (stopping?.aborted && url.pathname !== "/metrics") throw unavailable("stopping", "the service is stopping");
    switch (url.pathname) {
      case "/":
        allow(request, "GET");
        return new Response(page(), {
          headers: {
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "public, max-age=3600",
            "Content-Security-Policy": PAGE_POLICY,
            "X-Content-Type-Options": "nosniff",
          },
        });
      case "/health": {
        allow(request, "GET");
        const { model: network, build, memoryBytes } = await model();
        const memoryMB = Number((memoryBytes / 1e6).toFixed(1));
        return json(200, { arch: network.arch, build, memoryMB, waiting: queue.waiting + queue.running });
      }
      case "/metrics":
        allow(request, "GET");
        checkToken(request, token);
        return new Response(metrics.print(gauges), {
          headers: { "Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store" },
        });
      case "/classify":
        allow(request, "POST");
        checkToken(request, token);
        return classify(request, url, signal);
      default:
        throw new HttpError(404, "address", `nothing is at ${url.pathname.slice(0, 80)}; POST a photo to /classify`);
    }
  };

  const failed = (error: unknown): { readonly response: Response; readonly code: string } => {
    if (error instanceof HttpError) {
      const { status, code, message, headers } = error;
      return { response: json(status, { error: { code, message } }, headers), code };
    }
    options.onError?.(error);
    const isModel = error instanceof ModelError;
    const code = isModel ? "model" : "internal";
    const message = isModel ? firstLine(error) : "something went wrong here";
    return { response: json(500, { error: { code, message } }), code };
  };

  return async (request) => {
    const start = performance.now();
    let path = "";
    let code: string | undefined;
    const answer = async (): Promise<Response> => {
      const url = addressOf(request, hosts);
      path = url.pathname;
      return withDeadline(request.signal, timeoutMs, (signal) => route(request, url, signal));
    };
    const response = await answer().catch((error) => {
      const failure = failed(error);
      code = failure.code;
      return failure.response;
    });
    const ms = performance.now() - start;
    const { method } = request;
    metrics.answered(ROUTES.includes(path) ? path : "other", response.status, ms);
    const record = { method, path: path.slice(0, 200), status: response.status, ms: Number(ms.toFixed(1)) };
    options.onRequest?.({ ...record, ...(code !== undefined && { code }) });
    return response;
  };
}

/**
 * Runs `work` with a signal that aborts when the client has disconnected or the time is over, and waits no longer than that.
 *
 * @throws what `work` throws; HttpError 503 when the time is over, 499 when the client has disconnected
 */
async function withDeadline<T>(client: AbortSignal, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const late = unavailable("timeout", `the request took longer than ${ms / 1000} s`);
  const timer = setTimeout(() => controller.abort(late), ms);
  const onGone = (): void => controller.abort(new HttpError(499, "gone", "the client has closed the connection"));
  client.addEventListener("abort", onGone);
  if (client.aborted) onGone();
  try {
    return await new Promise<T>((resolve, reject) => {
      controller.signal.addEventListener("abort", () => reject(controller.signal.reason), { once: true });
      work(controller.signal).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    client.removeEventListener("abort", onGone);
  }
}

function preflight(cors: Readonly<Record<string, string>>): Response {
  const headers = {
    ...cors,
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "86400",
  };
  return new Response(null, { status: 204, headers });
}

/** Throws `HttpError` 405 for another method; HEAD is GET without a body. */
function allow({ method }: Request, allowed: "GET" | "POST"): void {
  if (method === allowed || (allowed === "GET" && method === "HEAD")) return;
  throw new HttpError(405, "method", `this address is for ${allowed}`, { Allow: allowed });
}

function topKOf(url: URL): number {
  const text = url.searchParams.get("top") ?? "5";
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= MOST_CLASSES) return value;
  throw new HttpError(
    400,
    "top",
    expectedGot("top", `a whole number from 1 to ${MOST_CLASSES}`, `"${text.slice(0, 80)}"`),
  );
}
