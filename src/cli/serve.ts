/** `resnet-wasm serve`: the HTTP service of `server/handler.ts`, on Node, Deno or Bun. */
import type { Server } from "node:http";
import { serve as listen } from "srvx";
import { expectedGot } from "../errors.ts";
import { load } from "../runtimes/node.ts";
import { createHandler } from "../server/handler.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { messageOf, remark } from "./terminal.ts";

export interface ServeCommand extends CommonOptions {
  readonly port: number;
  readonly host: string;
  readonly origins: readonly string[];
  readonly maxBytes: number;
  readonly maxPixels: number;
}

/** How long requests under way may take to end when the service is stopped. */
const GRACE_MS = 5_000;

/** Loads the model, serves until Ctrl-C or SIGTERM, and lets requests under way end. */
export async function serve(options: ServeCommand): Promise<number> {
  const stopping = new AbortController();
  const stop = (): void => stopping.abort(new Error("interrupted"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  const { host, port, origins, maxBytes, maxPixels } = options;
  const model = await load(options.model, loadOptions(options, stopping.signal));
  const server = listen({
    fetch: createHandler({
      load: async () => model,
      ...{ origins, maxBytes, maxPixels },
      onError: (error) => process.stderr.write(`${messageOf(error)}\n`),
    }),
    ...{ port, hostname: host, manual: true, silent: true, gracefulShutdown: false },
  });
  try {
    try {
      await server.serve();
    } catch (error) {
      throw unheard(error, `${host}:${port}`);
    }
    remark(options.quiet, `${model.model.arch}, ${model.build} kernels; stop with Ctrl-C`);
    process.stdout.write(options.json ? `${JSON.stringify({ url: server.url })}\n` : `${server.url}\n`);
    if (!stopping.signal.aborted) {
      await new Promise((done) => stopping.signal.addEventListener("abort", done, { once: true }));
    }
    // Clients keep connections open for a next request; Node waits for those that it did not find idle at once.
    const idle = setInterval(() => (server.node?.server as Server | undefined)?.closeIdleConnections(), 50);
    const cut = setTimeout(() => void server.close(true), GRACE_MS);
    await server.close();
    clearTimeout(cut);
    clearInterval(idle);
  } finally {
    await model.dispose();
  }
  return 0;
}

/** Why it cannot listen, in a sentence. */
function unheard(error: unknown, address: string): unknown {
  const reasons: Readonly<Record<string, readonly [got: string, hint: string]>> = {
    EADDRINUSE: ["one that another program listens at", "choose another with --port, or 0 for any"],
    EACCES: ["one that is not ours to take", "choose a port from 1024"],
    EADDRNOTAVAIL: ["one that this machine does not have", "choose another with --host"],
    ENOTFOUND: ["a host that cannot be found", "choose another with --host"],
  };
  const code = (error as { readonly code?: string })?.code ?? "";
  const [got, hint] = reasons[code] ?? [messageOf(error), undefined];
  return new Error(expectedGot(address, "an address to listen at", got, hint), { cause: error });
}
