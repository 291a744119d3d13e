/** A server of the built package, of models with random weights, and of pages that are functions of a test. */
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { root } from "../../../.ci/checks.ts";
import { resnetSpec } from "../../../src/models/resnet.ts";
import { goldenCheckpoint } from "../../golden/checkpoint.ts";
import { goldenInt8 } from "../../golden/int8.ts";

const TYPES: Readonly<Record<string, string>> = { ".js": "text/javascript", ".wasm": "application/wasm" };
const SMALL = { ...resnetSpec("resnet20"), shortcut: "B" } as const;
const EIGHTEEN = resnetSpec("resnet18");
/** By the path that it is served at. */
const MODELS: Readonly<Record<string, () => Uint8Array>> = {
  "/resnet20.safetensors": () => goldenCheckpoint(SMALL),
  "/resnet18.safetensors": () => goldenCheckpoint(EIGHTEEN),
  "/resnet18-int8.safetensors": () => goldenInt8("resnet18", EIGHTEEN),
};

export interface Site {
  readonly origin: string;
  /** The address of a page, with what it finds in its own. */
  page(name: string, query?: Readonly<Record<string, string>>): string;
  close(): void;
}

export interface SiteOptions {
  /** What a page does: its result becomes the page's text. Each is sent as text, so it sees nothing of its test. */
  readonly pages: Readonly<Record<string, () => Promise<unknown>>>;
  /** The same for module workers, `/workers/NAME.js`, which post their result, or an error's text. */
  readonly workers?: Readonly<Record<string, () => Promise<unknown>>>;
  /** Whether pages are cross-origin isolated, and so have threads. */
  readonly isolated?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** More files, by path. */
  readonly files?: Readonly<Record<string, () => string | Uint8Array>>;
}

const htmlOf = (work: () => Promise<unknown>): string => `<!doctype html><title>waiting</title><script type="module">
  const work = ${work};
  document.body.textContent = JSON.stringify(await work().catch((error) => ({ error: String(error.stack ?? error) }))) ?? "";
  document.title = "done";
</script><body></body>`;

const workerOf = (work: () => Promise<unknown>): string => `const work = ${work};
  postMessage(await work().catch((error) => ({ error: String(error.stack ?? error) })));`;

export async function serveSite(options: SiteOptions): Promise<Site> {
  const { pages, workers = {}, isolated = false, headers = {}, files = {} } = options;
  const made = new Map<string, string | Uint8Array>();
  const once = (path: string, make: () => string | Uint8Array): string | Uint8Array => {
    const body = made.get(path) ?? make();
    made.set(path, body);
    return body;
  };
  const bodyOf = (path: string): string | Uint8Array | undefined => {
    const [, folder, name = ""] = path.split("/");
    const page = folder === "pages" ? pages[name] : undefined;
    const worker = folder === "workers" ? workers[name.replace(/\.js$/, "")] : undefined;
    if (page !== undefined) return htmlOf(page);
    if (worker !== undefined) return workerOf(worker);
    if (path === "/memory") return `${memoryOfDescendants()}`;
    const make = files[path] ?? MODELS[path];
    if (make !== undefined) return once(path, make);
    return /^\/(dist|wasm)\/[\w./-]+$/.test(path) ? readFileSync(join(root, path)) : undefined;
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://x");
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    const isPage = pathname.startsWith("/pages/");
    response.setHeader("Content-Type", isPage ? "text/html" : (TYPES[extname(pathname)] ?? "application/octet-stream"));
    try {
      const body = bodyOf(pathname);
      if (body === undefined) response.writeHead(pathname === "/favicon.ico" ? 204 : 404).end();
      else response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    page: (name, query = {}) => `${origin}/pages/${name}?${new URLSearchParams(query)}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Megabytes that all processes have which this one started, and those that they started: its browsers. */
function memoryOfDescendants(): number {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const parents = new Map<string, string>();
  const sizes = new Map<string, number>();
  for (const id of processes) {
    try {
      const status = readFileSync(`/proc/${id}/status`, "utf8");
      parents.set(id, /^PPid:\s+(\d+)/m.exec(status)![1]!);
      sizes.set(id, Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1000);
    } catch {
      // It has ended.
    }
  }
  const isOurs = (id: string | undefined): boolean =>
    id !== undefined && (id === `${process.pid}` || isOurs(parents.get(id)));
  return processes.filter((id) => isOurs(parents.get(id))).reduce((sum, id) => sum + (sizes.get(id) ?? 0), 0);
}
