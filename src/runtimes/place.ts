/** Where a page's calls compute: in workers, or on the page. */
import type { Guess } from "../checkpoint.ts";
import { Fault } from "../decode/fault.ts";
import { expectedGot, ModelError, OptionError } from "../errors.ts";
import { Refused, Remote, type WorkerName } from "../remote/page.ts";
import { Moved } from "../remote/peer.ts";
import type { HeifSize } from "../runtime.ts";
import { givenSettings } from "./init.ts";
import type { Settings } from "./serve.ts";
import type { PostedFault } from "./worker-runtime.ts";

/** Bundlers understand a literal address and nothing else. */
const STARTS: Readonly<Record<WorkerName, () => Worker>> = {
  engine: () => new Worker(new URL("./browser-engine.js", import.meta.url), { type: "module" }),
  opener: () => new Worker(new URL("./browser-opener.js", import.meta.url), { type: "module" }),
  quantizer: () => new Worker(new URL("./browser-quantizer.js", import.meta.url), { type: "module" }),
  trainer: () => new Worker(new URL("./browser-trainer.js", import.meta.url), { type: "module" }),
};

async function decodeHeif([codec, bytes, header]: readonly unknown[]): Promise<unknown> {
  const { runtimeHere } = await import("./here.ts");
  try {
    const decode = runtimeHere().decodeHeif!;
    const { width, height, data } = await decode(codec as "HEIC", bytes as Uint8Array, header as HeifSize);
    const own = data.slice();
    return new Moved({ width, height, data: own }, [own.buffer]);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { fault: error.code, got: error.message } satisfies PostedFault;
  }
}

let remote: Remote | undefined;

/** The page's workers. */
function workers(): Remote {
  remote ??= new Remote({
    start: (name) => STARTS[name](),
    settings: () => ({ page: location.href, init: givenSettings() }) satisfies Settings,
    async openModel(source, options) {
      const { runtimeHere } = await import("./here.ts");
      const { openModelWith } = await import("../model.ts");
      return openModelWith(runtimeHere(), source, options);
    },
    decodeHeif,
  });
  return remote;
}

/**
 * Does a call in the page's workers, or on the page: where `where` says so, where it does not and workers are refused, and in a worker,
 * whose page does not wait for it.
 *
 * @param onPage gets what to say where workers are refused
 * @throws OptionError for another `where`; ModelError with the code `runtime` where workers are wanted and refused
 */
export async function placed<T, O extends { readonly where?: "page" | "worker" }>(
  { where, ...options }: O,
  inWorkers: (remote: Remote, options: Omit<O, "where">) => Promise<T>,
  onPage: (options: Omit<O, "where">, guesses: readonly Guess[]) => Promise<T>,
): Promise<T> {
  if (where !== undefined && where !== "page" && where !== "worker") {
    throw new OptionError("where", expectedGot("where", "page or worker", JSON.stringify(where)));
  }
  const isPage = typeof document !== "undefined";
  if ((where ?? (isPage ? "worker" : "page")) === "page") return onPage(options, []);
  try {
    return await inWorkers(workers(), options);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (where === "worker") {
      const hint = 'allow them (Content-Security-Policy: worker-src), or compute on the page: { where: "page" }';
      const message = expectedGot("where", "a page that may start workers", error.message, hint);
      throw new ModelError("runtime", message, { cause: error.cause });
    }
    const message = `computes on the page, which waits for it meanwhile, because workers are refused: ${error.message}`;
    return onPage(options, [{ key: "where", message }]);
  }
}
