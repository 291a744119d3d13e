/** Clients of a service, of every kind it meets: honest, slow, gone, broken, hostile. Loopback only. */
import { connect, type Socket } from "node:net";

export interface Target {
  /** Its origin, `http://127.0.0.1:PORT`. */
  readonly url: string;
}

/** What an honest client saw. */
export interface Seen {
  readonly ms: number;
  readonly status: number;
  readonly body: string;
}

/** Posts a photo and waits for the answer. */
export async function honest({ url }: Target, photo: Uint8Array<ArrayBuffer>): Promise<Seen> {
  const start = performance.now();
  const response = await fetch(`${url}/classify?top=1`, {
    method: "POST",
    body: photo,
    signal: AbortSignal.timeout(60_000),
  });
  const body = await response.text();
  return { ms: performance.now() - start, status: response.status, body };
}

/** Milliseconds until `/health` has answered. */
export async function health({ url }: Target): Promise<number> {
  const start = performance.now();
  const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(60_000) });
  await response.arrayBuffer();
  if (response.status !== 200) throw new Error(`/health answered ${response.status}`);
  return performance.now() - start;
}

/** Posts a photo and hangs up after some milliseconds. */
export async function aborted({ url }: Target, photo: Uint8Array<ArrayBuffer>, ms: number): Promise<void> {
  await fetch(`${url}/classify`, { method: "POST", body: photo, signal: AbortSignal.timeout(ms) })
    .then((response) => response.arrayBuffer())
    .catch(() => {});
}

/** Posts what is no photo, or half of one; the status. */
export async function broken({ url }: Target, body: Uint8Array<ArrayBuffer>): Promise<number> {
  const response = await fetch(`${url}/classify`, { method: "POST", body, signal: AbortSignal.timeout(60_000) });
  await response.arrayBuffer();
  return response.status;
}

function open({ url }: Target): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  socket.resume();
  return socket;
}

/** Promises a body, sends some of it, and closes the connection. */
export function cut(target: Target, ms: number): Promise<void> {
  const socket = open(target);
  socket.write("POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc");
  return new Promise((done) => {
    setTimeout(() => {
      socket.destroy();
      done();
    }, ms);
  });
}

/** Clients that send a byte a second, of a body or of headers, and come back when they are sent away. */
export function slow(target: Target, count: number): { readonly answered: () => number; readonly stop: () => void } {
  let answers = 0;
  const sockets = new Set<Socket>();
  let stopped = false;
  const start = (i: number): void => {
    if (stopped) return;
    const socket = open(target);
    sockets.add(socket);
    const isBody = i % 4 !== 0;
    socket.write(
      `POST /classify HTTP/1.1\r\nHost: localhost\r\n${isBody ? "Content-Length: 1000000\r\n\r\n" : "X-Slow: "}`,
    );
    const timer = setInterval(() => socket.write("x"), 1000);
    socket.once("data", () => {
      answers += 1;
    });
    socket.once("close", () => {
      clearInterval(timer);
      sockets.delete(socket);
      setTimeout(() => start(i), 500);
    });
    socket.once("end", () => socket.destroy());
  };
  for (let i = 0; i < count; ++i) start(i);
  return {
    answered: () => answers,
    stop() {
      stopped = true;
      for (const socket of sockets) socket.destroy();
    },
  };
}
