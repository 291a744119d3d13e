/** A folder over HTTP on this machine. */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html",
  ".jpg": "image/jpeg",
  ".js": "text/javascript",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

export interface ServeOptions {
  readonly host?: string;
  readonly port?: number;
  /** Whether pages may share memory between threads. */
  readonly isolated?: boolean;
  /** Answers before the folder does: `true` when it has. */
  readonly first?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

export interface Served {
  readonly url: string;
  /** Serves another folder from now on. */
  use(folder: string): void;
  close(): void;
}

/** @param folder of static files */
export async function serveFolder(
  folder: string,
  { host = "127.0.0.1", port = 0, isolated = true, first }: ServeOptions = {},
): Promise<Served> {
  let from = folder;
  const server = createServer(async (request, response) => {
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    response.setHeader("Cache-Control", "no-cache");
    if (first?.(request, response)) return;
    const path = normalize(new URL(request.url!, "http://x").pathname);
    const name = path.endsWith("/") ? `${path}index.html` : path;
    try {
      const body = await readFile(join(from, name));
      response.setHeader("Content-Type", TYPES[extname(name)] ?? "application/octet-stream");
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}/`,
    use: (folder) => {
      from = folder;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
