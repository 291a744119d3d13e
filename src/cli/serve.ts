/** `resnet-wasm serve`: the HTTP service of `server/handler.ts`, on Node, Deno or Bun. */
import type { Server } from "node:http";
import { availableParallelism, hostname } from "node:os";
import type { serve as Listen } from "srvx";
import { loadWith } from "../classifier.ts";
import { expectedGot } from "../errors.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import { createHandler, type HandlerOptions, type PhotoClassifier, type RequestRecord } from "../server/handler.ts";
import { HttpError, unavailable } from "../server/refusal.ts";
import { withTwins } from "../twins.ts";
import { type CommonOptions, loadOptions, workersOf } from "./options.ts";
import { messageOf, remark } from "./terminal.ts";

export interface ServeCommand extends CommonOptions {
  readonly port: number;
  readonly host: string;
  readonly origins: readonly string[];
  readonly hosts: readonly string[];
  readonly cors: string;
  readonly token?: string;
  readonly log: "none" | "text" | "json";
  readonly maxBytes: number;
  readonly maxPixels: number;
  readonly maxDecodeBytes: number;
  readonly maxWaiting: number;
  readonly maxBodies: number;
  readonly minRate: number;
  /** Seconds, as the four below. */
  readonly timeout: number;
  readonly photoTimeout: number;
  readonly bodyTimeout: number;
  readonly urlTimeout: number;
  readonly grace: number;
}

/** Names that `Host` may have: this machine's, those that were given, and with `*` any. */
function hostsOf(host: string, given: readonly string[]): readonly string[] | undefined {
  if (given.includes("*")) return undefined;
  const own = hostname().toLowerCase();
  return ["localhost", own, `${own}.local`, host.toLowerCase(), ...given.map((name) => name.toLowerCase())];
}

/** Writes what happened to stderr: lines of text, or of JSON. */
function logger(log: ServeCommand["log"], quiet: boolean): Pick<HandlerOptions, "onError" | "onRequest"> {
  const write = (level: string, fields: object): void => {
    process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, ...fields })}\n`);
  };
  if (log === "json") {
    return {
      onRequest: (record) => write(record.status < 500 ? "info" : "error", record),
      onError: (error) => write("error", { message: messageOf(error), stack: (error as Error)?.stack }),
    };
  }
  const line = ({ method, path, status, code, ms }: RequestRecord): void => {
    remark(
      quiet,
      `${method} ${JSON.stringify(path).slice(1, -1)} ${status}${code === undefined ? "" : ` ${code}`} ${ms} ms`,
    );
  };
  return {
    ...(log === "text" && { onRequest: line }),
    onError: (error) => process.stderr.write(`${messageOf(error)}\n`),
  };
}

/** The model in replicas, so that the thread that answers requests neither decodes nor computes. */
interface Service extends PhotoClassifier {
  /** Ends photos that are being computed. */
  dispose(): Promise<void>;
}

/** Niceness of replicas: where photos fill every core, the thread that answers `/health` and turns clients away goes first. */
const REPLICA_NICE = 10;

/** Loads the model, says what had to be assumed of it, and gives each photo its time: after that its replica is replaced. */
async function startService(options: ServeCommand, signal: AbortSignal): Promise<Service> {
  const runtime = withTwins(nodeRuntime({ replicaNice: REPLICA_NICE }));
  const model = await loadWith(runtime, options.model, loadOptions(options, signal));
  for (const { message } of model.model.guesses) remark(options.quiet, `assumed: ${message}`);
  const ending = new AbortController();
  return {
    model: model.model,
    build: model.build,
    get memoryBytes() {
      return model.memoryBytes;
    },
    async classify(photo, { signal: request, ...limited }) {
      request.throwIfAborted();
      // A client that leaves does not end a replica: that would cost more than its photo.
      const bounds = { signal: ending.signal, timeoutMs: Math.min(1000 * options.photoTimeout, 2 ** 31 - 1) };
      try {
        return await model.classify(photo, { ...limited, ...bounds });
      } catch (error) {
        if ((error as Error)?.name !== "TimeoutError") throw error;
        throw new HttpError(422, "work", `the photo takes longer than ${options.photoTimeout} s to decode`);
      }
    },
    async dispose() {
      ending.abort(unavailable("stopping", "the service is stopping"));
      await model.dispose();
    },
  };
}

/** Loads the model, serves until Ctrl-C or SIGTERM, and finishes the requests in progress. */
export async function serve(options: ServeCommand): Promise<number> {
  const stopping = new AbortController();
  const stop = (): void => stopping.abort(new Error("interrupted"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  const { replicas = availableParallelism() } = options;
  const given = { ...options, replicas };
  const { host, port, origins, maxBytes, maxPixels, maxWaiting, maxBodies, timeout, bodyTimeout, token } = options;
  const model = await startService(given, stopping.signal);
  const handler = createHandler({
    load: async () => model,
    concurrency: replicas,
    ...{ origins, maxBytes, maxPixels, maxWaiting, maxBodies, stopping: stopping.signal },
    maxDecodeBytes: options.maxDecodeBytes,
    ...{ timeoutMs: 1000 * timeout, bodyTimeoutMs: 1000 * bodyTimeout, upstreamTimeoutMs: 1000 * options.urlTimeout },
    ...{ minBytesPerSecond: options.minRate, allowOrigin: options.cors, ...(token !== undefined && { token }) },
    ...logger(options.log, options.quiet === true),
    ...withHosts(hostsOf(host, options.hosts)),
  });
  /** Ends connections that are still open when the time for a stop is over. */
  const cutting = new AbortController();
  let underway = 0;
  const answer = async (request: Request): Promise<Response> => {
    underway += 1;
    try {
      return await handler(request);
    } finally {
      underway -= 1;
    }
  };
  const listen = await listener();
  const server = listen({
    fetch: answer,
    ...{ port, hostname: host, manual: true, silent: true, gracefulShutdown: false },
    // What comes before a request's body, and after an answer that was given without it, has its time too.
    node: {
      headersTimeout: HEADERS_MS,
      requestTimeout: 1000 * (bodyTimeout + timeout),
      connectionsCheckingInterval: CHECK_MS,
    },
    deno: { signal: cutting.signal },
    bun: { idleTimeout: Math.min(255, timeout + bodyTimeout) },
  });
  try {
    try {
      await server.serve();
    } catch (error) {
      throw cannotListen(error, `${host}:${port}`);
    }
    remark(options.quiet, `${model.model.arch}, ${model.build} kernels, ${workersOf({ replicas })}; stop with Ctrl-C`);
    process.stdout.write(options.json ? `${JSON.stringify({ url: server.url })}\n` : `${server.url}\n`);
    if (!stopping.signal.aborted) {
      await new Promise((done) => stopping.signal.addEventListener("abort", done, { once: true }));
    }
    const end = performance.now() + 1000 * options.grace;
    // A connection or a worker that does not end must not keep the process.
    setTimeout(() => process.exit(0), 1000 * options.grace + LAST_MS).unref();
    while (underway > 0 && performance.now() < end) await new Promise((done) => setTimeout(done, CLOSE_MS));
    // Clients keep connections open for a next request; Node waits for those that it did not find idle at once.
    const idle = setInterval(() => (server.node?.server as Server | undefined)?.closeIdleConnections(), CLOSE_MS);
    const cut = setTimeout(() => cutting.abort(), Math.max(100, end - performance.now()));
    const cutNode = (): void => void server.close(true);
    cutting.signal.addEventListener("abort", cutNode);
    await server.close(underway > 0);
    clearTimeout(cut);
    clearInterval(idle);
  } finally {
    await model.dispose();
  }
  return 0;
}

/** The server that this runtime has of its own. */
async function listener(): Promise<typeof Listen> {
  if ("Deno" in globalThis) return (await import("srvx/deno")).serve as typeof Listen;
  if ("Bun" in globalThis) return (await import("srvx/bun")).serve as typeof Listen;
  return (await import("srvx/node")).serve as typeof Listen;
}

/** How long a client may take for a request's headers. */
const HEADERS_MS = 15_000;
const CHECK_MS = 5_000;
const CLOSE_MS = 50;
/** After the time for requests in progress. */
const LAST_MS = 2_000;

function withHosts(hosts: readonly string[] | undefined): Pick<HandlerOptions, "hosts"> {
  return hosts === undefined ? {} : { hosts };
}

/** Why it cannot listen, in a sentence. */
function cannotListen(error: unknown, address: string): unknown {
  const reasons: Readonly<Record<string, readonly [got: string, hint: string]>> = {
    EADDRINUSE: ["one in use by another program", "choose another with --port, or 0 for any"],
    EACCES: ["one that needs more rights", "choose a port from 1024"],
    EADDRNOTAVAIL: ["one that this machine does not have", "choose another with --host"],
    ENOTFOUND: ["a host that cannot be found", "choose another with --host"],
  };
  const code = (error as { readonly code?: string })?.code ?? "";
  const [got, hint] = reasons[code] ?? [messageOf(error), undefined];
  return new Error(expectedGot(address, "an address to listen at", got, hint), { cause: error });
}
