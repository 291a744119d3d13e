/** A server that a test starts: files with ranges and validators, and whatever goes wrong with them. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** What a request was. */
export interface Seen {
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
}

export interface TestServer {
  /** `http://127.0.0.1:port`. */
  readonly origin: string;
  readonly routes: Map<string, Handler>;
  readonly seen: Seen[];
  close(): Promise<void>;
}

/** Answers 404 for all that has no route. */
export async function startServer(): Promise<TestServer> {
  const routes = new Map<string, Handler>();
  const seen: Seen[] = [];
  const server: Server = createServer((request, response) => {
    seen.push({ url: request.url!, headers: request.headers });
    (routes.get(request.url!) ?? status(404))(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    routes,
    seen,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
export const gitHash = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");

/** Bytes that differ everywhere and are no known format. */
export function payload(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length, 0xfe);
  for (let at = 1, state = seed; at < length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export function status(code: number, headers: Record<string, string> = {}, body = "no"): Handler {
  return (_, response) => void response.writeHead(code, headers).end(body);
}

export function redirect(to: string, headers: Record<string, string> = {}): Handler {
  return (_, response) => void response.writeHead(302, { location: to, ...headers }).end();
}

/** A file, with ranges where its `etag` or `last-modified` still is the one asked for. */
export function file(bytes: Uint8Array | string, headers: Record<string, string> = {}): Handler {
  const body = Buffer.from(bytes as Uint8Array);
  return (request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? -1);
    const same = [undefined, headers.etag, headers["last-modified"]].includes(request.headers["if-range"] as string);
    const base = { "content-type": "application/octet-stream", date: new Date().toUTCString(), ...headers };
    if (from < 0 || !same) {
      response.writeHead(200, { ...base, "content-length": body.byteLength }).end(body);
    } else if (from >= body.byteLength) {
      response.writeHead(416, { "content-range": `bytes */${body.byteLength}` }).end();
    } else {
      const range = `bytes ${from}-${body.byteLength - 1}/${body.byteLength}`;
      const length = body.byteLength - from;
      response.writeHead(206, { ...base, "content-range": range, "content-length": length }).end(body.subarray(from));
    }
  };
}

/** `inner`, but the connection is cut after `bytes` of the body, the first `times` times. */
export function cut(inner: Handler, bytes: number, times = 1): Handler {
  let left = times;
  return (request, response) => {
    if (left-- <= 0) return inner(request, response);
    limited(inner, bytes, (socket) => socket.destroy())(request, response);
  };
}

/** `inner`, but after `bytes` of the body nothing comes any more, the first `times` times. */
export function stall(inner: Handler, bytes: number, times = 1): Handler {
  let left = times;
  return (request, response) => {
    if (left-- <= 0) return inner(request, response);
    limited(inner, bytes, () => {})(request, response);
  };
}

function limited(inner: Handler, bytes: number, then: (response: ServerResponse) => void): Handler {
  return (request, response) => {
    const end = response.end.bind(response);
    response.end = ((body?: Buffer) => {
      if (body === undefined || body.byteLength <= bytes) return end(body);
      response.write(body.subarray(0, bytes), () => setTimeout(() => then(response), 20));
      return response;
    }) as typeof response.end;
    inner(request, response);
  };
}

/** One answer after the other; the last one for good. */
export function turns(...answers: Handler[]): Handler {
  let turn = 0;
  return (request, response) => answers[Math.min(turn++, answers.length - 1)]!(request, response);
}
