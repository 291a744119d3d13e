/** The HTTP handler, by requests in memory: every status it knows, and that it says no more than it should. */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Classifier, loadWith } from "../../src/classifier.ts";
import { ModelError, OptionError } from "../../src/errors.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { createHandler, type HandlerOptions, type PhotoClassifier } from "../../src/server/handler.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";

const photo = new Uint8Array(readFileSync(new URL("../../node_modules/baboon-image/baboon.png", import.meta.url)));
const weights = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" });
let model: Classifier;
beforeAll(async () => {
  model = await loadWith(nodeRuntime(), weights);
});
afterAll(() => model.dispose());

type Handler = (request: Request) => Promise<Response>;

function handlerOf(options: Partial<HandlerOptions> = {}): Handler {
  return createHandler({ load: async () => model, ...options });
}

function post(body: BodyInit | null, query = "", headers: Readonly<Record<string, string>> = {}): Request {
  return new Request(`http://service/classify${query}`, {
    method: "POST",
    body,
    headers,
    ...({ duplex: "half" } as object),
  });
}

/** A PNG whose header claims a size and whose pixels are not there. */
function bomb(width: number, height: number): Uint8Array<ArrayBuffer> {
  const bytes = photo.slice();
  new DataView(bytes.buffer).setUint32(16, width);
  new DataView(bytes.buffer).setUint32(20, height);
  return bytes;
}

interface Body {
  readonly predictions: readonly { readonly index: number; readonly label: string; readonly probability: number }[];
  readonly ms?: number;
  readonly error: { readonly code: string; readonly message: string };
}

/** Status, code and body of an answer; all of them JSON, open to pages and never cached. */
async function answerOf(
  response: Promise<Response>,
): Promise<Body & { readonly status: number; readonly code: string }> {
  const { status, headers } = await response;
  const body = (await (await response).json()) as Body;
  expect(headers.get("Content-Type")).toBe("application/json");
  expect(headers.get("Cache-Control")).toBe("no-store");
  expect(headers.get("Access-Control-Allow-Origin")).toBe("*");
  expect(JSON.stringify(body)).not.toMatch(/\n\s+at |\.ts:|\.js:/);
  return { ...body, status, code: body.error?.code ?? "" };
}

describe("answers", () => {
  it("with the best classes of a photo, best first", async () => {
    const { status, predictions, ms } = await answerOf(handlerOf()(post(photo)));
    expect(status).toBe(200);
    expect(predictions).toEqual(await model.classify(photo));
    expect(ms).toBeGreaterThan(0);
  });
  it("with as many as are asked for", async () => {
    const { predictions } = await answerOf(handlerOf()(post(photo, "?top=2")));
    expect(predictions.length).toBe(2);
  });
  it("without a time where no clock can be trusted", async () => {
    const { ms } = await answerOf(handlerOf({ timed: false })(post(photo)));
    expect(ms).toBeUndefined();
  });
  it("the first file of a form, whatever comes before it", async () => {
    const form = new FormData();
    form.append("note", "a text");
    form.append("photo", new Blob([photo]), "baboon.png");
    const { predictions } = await answerOf(handlerOf()(post(form)));
    expect(predictions).toEqual(await model.classify(photo));
  });
  it.each([
    [
      "a preamble and an empty text before it",
      (head: string) => `preamble\r\n--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n${head}`,
    ],
    [
      "a name in other words",
      (head: string) => head.replace("Content-Disposition", "CONTENT-disposition").replace("filename=", "filename*="),
    ],
    ["a type that says it is text", (head: string) => head.replace("\r\n\r\n", "\r\nContent-Type: text/plain\r\n\r\n")],
  ])("a form with %s", async (_title, change) => {
    const head = change('--b\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\n');
    const form = Buffer.concat([Buffer.from(head), photo, Buffer.from("\r\n--b--\r\n")]);
    for (const boundary of ["b", '"b"', "b; charset=utf-8"]) {
      const type = { "Content-Type": `multipart/form-data; boundary=${boundary}` };
      const { predictions } = await answerOf(handlerOf()(post(form, "", type)));
      expect(predictions).toEqual(await model.classify(photo));
    }
  });
  it.each([
    ["no end", "--b\r\nContent-Disposition: form-data; filename=x\r\n\r\nphoto"],
    ["no headers", "--b\r\nphoto\r\n--b--"],
    ["no delimiter", "photo\r\n--c--"],
    ["a delimiter inside a line", "photo--b\r\n\r\n\r\n--b--"],
    ["no part", "--b--"],
    ["an empty file", "--b\r\nContent-Disposition: form-data; filename=x\r\n\r\n\r\n--b--"],
  ])("a form with %s gives 400", async (_title, text) => {
    const type = { "Content-Type": "multipart/form-data; boundary=b" };
    expect((await answerOf(handlerOf()(post(text, "", type)))).status).toBe(400);
  });
  it("whatever the content type claims", async () => {
    const { status } = await answerOf(handlerOf()(post(photo, "", { "Content-Type": "text/html" })));
    expect(status).toBe(200);
  });
  it("a body that comes in pieces", async () => {
    const pieces = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < photo.length; at += 50_000) controller.enqueue(photo.slice(at, at + 50_000));
        controller.close();
      },
    });
    const { predictions } = await answerOf(handlerOf()(post(pieces)));
    expect(predictions).toEqual(await model.classify(photo));
  });
  it("a page that fetches nothing from elsewhere", async () => {
    const response = await handlerOf()(new Request("http://service/"));
    const text = await response.text();
    expect(response.headers.get("Content-Type")).toMatch("text/html");
    expect(response.headers.get("Cache-Control")).toMatch("max-age");
    expect(response.headers.get("Content-Security-Policy")).toMatch("default-src 'none'");
    expect(text).toMatch(/^<!doctype html>/);
    expect(text).not.toMatch(/https?:|src=/);
  });
  it("what is loaded", async () => {
    const response = await handlerOf()(new Request("http://service/health"));
    expect(await response.json()).toMatchObject({ arch: model.model.arch, waiting: 0 });
  });
  it("a page's question before it posts", async () => {
    const response = await handlerOf()(new Request("http://service/classify", { method: "OPTIONS" }));
    expect(response.status).toBe(204);
    expect(response.headers.get("Access-Control-Allow-Methods")).toMatch("POST");
    expect(response.headers.get("Access-Control-Allow-Headers")).toMatch("Content-Type");
  });
});

describe("refuses", () => {
  const corrupt = photo.slice(0, 20_000);
  it.each<[string, () => Request, number, string]>([
    ["an address where nothing is", () => new Request("http://service/nothing"), 404, "address"],
    ["GET where photos are posted", () => new Request("http://service/classify"), 405, "method"],
    ["POST where the page is", () => new Request("http://service/", { method: "POST", body: "" }), 405, "method"],
    ["POST to /health", () => new Request("http://service/health", { method: "POST", body: "" }), 405, "method"],
    ["no classes", () => post(photo, "?top=0"), 400, "top"],
    ["too many classes", () => post(photo, "?top=101"), 400, "top"],
    ["classes in words", () => post(photo, "?top=five"), 400, "top"],
    ["no body", () => post(null), 400, "empty"],
    ["a form without a file", () => post(formOf("text")), 400, "form"],
    [
      "a form that is none",
      () => post("nonsense", "", { "Content-Type": "multipart/form-data; boundary=x" }),
      400,
      "form",
    ],
    ["a form without a boundary", () => post("x", "", { "Content-Type": "multipart/form-data" }), 400, "form"],
    ["a text", () => post("hello"), 415, "type"],
    ["a page", () => post("<!doctype html><p>no"), 415, "type"],
    ["a cut photo", () => post(corrupt), 422, "photo"],
    ["a photo without its header", () => post(photo.slice(0, 20)), 422, "photo"],
    ["a body that is too long", () => post(new Uint8Array(1_000_001)), 413, "size"],
    ["a stream that is too long", () => post(endless()), 413, "size"],
    ["a file that is too long", () => post(formOf(new Blob([new Uint8Array(1_000_001)]))), 413, "size"],
    ["more pixels than are allowed", () => post(bomb(5000, 5000)), 413, "pixels"],
    ["more pixels than there is memory", () => post(bomb(2 ** 31 - 1, 2 ** 31 - 1)), 413, "pixels"],
    ["a url that is none", () => post(null, "?url=photo.jpg"), 400, "url"],
    ["an origin that is not allowed", () => post(null, "?url=http://127.0.0.1/"), 403, "origin"],
    ["a file of this machine", () => post(null, "?url=file:///etc/passwd"), 403, "origin"],
  ])("%s", async (_, request, status, code) => {
    const onError = vi.fn();
    const handler = handlerOf({ maxBytes: 1e6, maxPixels: 1e6, onError });
    expect(await answerOf(handler(request()))).toMatchObject({ status, code });
    expect(onError).not.toHaveBeenCalled();
    expect((await answerOf(handler(post(photo)))).status).toBe(200);
  });
  it("a body that breaks off", async () => {
    const broken = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(photo.slice(0, 100));
        controller.error(new Error("gone"));
      },
    });
    expect(await answerOf(handlerOf()(post(broken)))).toMatchObject({ status: 400, code: "body" });
  });
  it("methods, saying which are right", async () => {
    expect((await handlerOf()(new Request("http://service/classify"))).headers.get("Allow")).toBe("POST");
    expect((await handlerOf()(new Request("http://service/", { method: "PUT", body: "" }))).headers.get("Allow")).toBe(
      "GET",
    );
  });
});

describe("photos from elsewhere", () => {
  let server: Server;
  let origin = "";
  beforeAll(async () => {
    server = createServer(({ url }, response) => {
      if (url === "/photo.png") response.end(photo);
      else if (url === "/moved") response.writeHead(302, { Location: "/photo.png" }).end();
      else if (url === "/large") response.end(Buffer.alloc(1_000_001));
      else response.writeHead(404).end();
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());
  it.each([
    ["/photo.png", 200, ""],
    ["/missing", 502, "upstream"],
    ["/moved", 502, "upstream"],
    ["/large", 413, "size"],
  ])("%s gives %i", async (path, status, code) => {
    const handler = handlerOf({ origins: [origin], maxBytes: 1e6 });
    expect(await answerOf(handler(post(null, `?url=${origin}${path}`)))).toMatchObject({ status, code });
  });
  it("a server that is not there gives 502", async () => {
    const handler = handlerOf({ origins: ["http://127.0.0.1:9"] });
    const got = await answerOf(handler(post(null, "?url=http://127.0.0.1:9/x")));
    expect(got).toMatchObject({ status: 502, code: "upstream" });
  });
});

describe("the model", () => {
  it("is loaded once for requests made at once", async () => {
    const load = vi.fn(async () => model);
    const handler = handlerOf({ load });
    const answers = await Promise.all([1, 2, 3].map(() => answerOf(handler(post(photo)))));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(load).toHaveBeenCalledTimes(1);
  });
  it("is tried again after a failure, which is reported to us and not to callers", async () => {
    const onError = vi.fn();
    const load = vi.fn(async () => model).mockRejectedValueOnce(new Error("secret path"));
    const handler = handlerOf({ load, onError });
    const failed = await answerOf(handler(post(photo)));
    expect(failed).toMatchObject({ status: 500, code: "internal" });
    expect(failed.error.message).not.toMatch("secret");
    expect(onError).toHaveBeenCalledTimes(1);
    expect((await answerOf(handler(post(photo)))).status).toBe(200);
  });
  it("that is broken is said to be so", async () => {
    const handler = handlerOf({
      load: async () => {
        throw new ModelError("malformed", "weights: expected 8 bytes, got 3\n  hint: fetch it again");
      },
    });
    const { status, error } = await answerOf(handler(post(photo)));
    expect(status).toBe(500);
    expect(error).toEqual({ code: "model", message: "weights: expected 8 bytes, got 3" });
  });
});

describe("many at once", () => {
  /** Computes on demand, and counts how many photos it has begun. */
  function gated(): { readonly model: PhotoClassifier; readonly begun: () => number; readonly open: () => void } {
    let begun = 0;
    let open = (): void => {};
    const gate = new Promise<void>((done) => {
      open = done;
    });
    const classify: PhotoClassifier["classify"] = async (photo, { topK }) => {
      begun += 1;
      await gate;
      return model.classify(photo, { topK });
    };
    const slow = { model: model.model, build: model.build, memoryBytes: model.memoryBytes, classify };
    return { model: slow, begun: () => begun, open: () => open() };
  }
  const settled = () => new Promise((done) => setTimeout(done, 20));

  it("beyond the limit is refused with a time to come back, and passes", async () => {
    const { model: slow, open } = gated();
    const handler = handlerOf({ load: async () => slow, maxWaiting: 2 });
    const waiting = [handler(post(photo)), handler(post(photo))];
    await settled();
    const refused = await handler(post(photo));
    expect([refused.status, refused.headers.get("Retry-After")]).toEqual([503, "1"]);
    open();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
    expect((await handler(post(photo))).status).toBe(200);
  });
  it("is computed one after the other, or as many as there are workers", async () => {
    for (const concurrency of [1, 3]) {
      const { model: slow, begun, open } = gated();
      const handler = handlerOf({ load: async () => slow, concurrency });
      const all = Array.from({ length: 4 }, () => handler(post(photo)));
      await settled();
      expect(begun()).toBe(concurrency);
      open();
      await Promise.all(all);
      expect(begun()).toBe(4);
    }
  });
  it("is never started for a client that has disconnected", async () => {
    const { model: slow, begun, open } = gated();
    const handler = handlerOf({ load: async () => slow });
    const first = handler(post(photo));
    await settled();
    const client = new AbortController();
    const gone = handler(new Request(post(photo), { signal: client.signal }));
    await settled();
    client.abort();
    expect((await gone).status).toBe(499);
    open();
    expect((await first).status).toBe(200);
    await settled();
    expect(begun()).toBe(1);
  });
  it("still answers while many clients send no body", async () => {
    const handler = handlerOf({ maxWaiting: 1 });
    const slow = Array.from({ length: 64 }, () => dripping());
    const waiting = slow.map(({ request }) => handler(request));
    await settled();
    const answers: number[] = [];
    for (let i = 0; i < 4; ++i) answers.push((await handler(post(photo))).status);
    expect(answers).toEqual([200, 200, 200, 200]);
    for (const [i, { end }] of slow.entries()) {
      end();
      expect((await waiting[i]!).status).toBe(415);
    }
  });
  it("bodies make room for others, the slowest first", async () => {
    const handler = handlerOf({ maxBodies: 2 });
    const slow = [dripping(), dripping()];
    const waiting = slow.map(({ request }) => handler(request));
    expect((await answerOf(handler(dripping().request))).code).toBe("busy");
    await new Promise((done) => setTimeout(done, 1100));
    expect((await handler(post(photo))).status).toBe(200);
    expect(await Promise.race(waiting.map((each) => answerOf(each)))).toMatchObject({ status: 408, code: "slow" });
    for (const { end } of slow) end();
  });
  const metrics = async (handler: Handler): Promise<string> =>
    (await handler(new Request("http://service/metrics"))).text();
  it("a body that takes memory and does not go on makes room", async () => {
    const handler = handlerOf({ maxBodyMemory: photo.length + 20_000 });
    const [large, end] = holding(photo.slice(0, 40_000));
    const waiting = handler(large);
    await settled();
    const start = performance.now();
    expect((await handler(post(photo))).status).toBe(200);
    expect(performance.now() - start).toBeGreaterThan(500);
    expect((await answerOf(waiting)).code).toBe("slow");
    end();
  });
  it("bodies wait for memory in turn, and smaller ones pass", async () => {
    const order: number[] = [];
    let held = 0;
    const classify = async (bytes: Uint8Array): Promise<readonly []> => {
      held = Math.max(held, Number(/body_memory_bytes (\d+)/.exec(await metrics(handler))?.[1]));
      await new Promise((done) => setTimeout(done, 50));
      order.push(bytes.length);
      return [];
    };
    const limits = { maxBytes: 3e6, maxBodyMemory: 4e6, bodyTimeoutMs: 60_000 };
    const handler = handlerOf({
      ...limits,
      load: async () => ({ model: model.model, build: "x", memoryBytes: 1, classify }),
    });
    const sizes = [3e6, 2.9e6, 2.8e6, 5e5];
    const answers = await Promise.all(
      sizes.map((size) => handler(post(Buffer.alloc(size), "", { "Content-Length": `${size}` }))),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(order.slice(2)).toEqual([2.9e6, 2.8e6]);
    expect(held).toBe(3.5e6);
    expect(await metrics(handler)).toContain("body_memory_bytes 0\n");
  });
  it("a body that is on time is not ended for one that waits", async () => {
    const half = Buffer.alloc(2e6);
    const handler = handlerOf({ maxBytes: 4e6, maxBodyMemory: 4e6, bodyTimeoutMs: 20_000 });
    const [large, end] = holding(half);
    const first = handler(large);
    await settled();
    const second = handler(post(photo));
    expect(await Promise.race([second, new Promise((done) => setTimeout(done, 1500, "waits"))])).toBe("waits");
    end();
    expect((await first).status).toBe(415);
    expect((await second).status).toBe(200);
  });
});

describe("time", () => {
  it("for a body is bounded", async () => {
    const handler = handlerOf({ bodyTimeoutMs: 600 });
    const { request, end } = dripping();
    expect(await answerOf(handler(request))).toMatchObject({ status: 408, code: "slow" });
    end();
  });
  it("of a body that comes too slowly is over after 5 seconds", async () => {
    const start = performance.now();
    const { request, end } = dripping();
    expect(await answerOf(handlerOf()(request))).toMatchObject({ status: 408, code: "slow" });
    expect(performance.now() - start).toBeLessThan(9000);
    end();
  });
  it("for a request is bounded, and its photo never begun", async () => {
    const classify = vi.fn(() => new Promise<never>(() => {}));
    const stuck = { model: model.model, build: model.build, memoryBytes: 1, classify };
    const handler = handlerOf({ load: async () => stuck, timeoutMs: 200 });
    const both = await Promise.all([handler(post(photo)), handler(post(photo))]);
    expect(both.map(({ status }) => status)).toEqual([503, 503]);
    expect(both[0]!.headers.get("Retry-After")).toBe("1");
    expect(classify).toHaveBeenCalledTimes(1);
  });
  it.each([0, -1, Number.NaN])("limits are numbers above 0, not %d", (timeoutMs) => {
    expect(() => handlerOf({ timeoutMs })).toThrow(OptionError);
  });
});

describe("access", () => {
  const ask = (path: string, headers: Readonly<Record<string, string>>, options: Partial<HandlerOptions>) =>
    handlerOf(options)(new Request(`http://service${path}`, { headers }));
  const HOSTS = { hosts: ["localhost", "photos.example.com"] };
  it.each([
    ["localhost", 200],
    ["localhost:8080", 200],
    ["LOCALHOST:1", 200],
    ["photos.example.com", 200],
    ["127.0.0.1:8080", 200],
    ["[::1]:8080", 200],
    ["evil.example.com", 403],
    ["127.0.0.1.evil.example.com", 403],
    ["localhost.evil.example.com:80", 403],
    ["x:99999", 400],
    ["x:port", 400],
    ["a b", 400],
    ["user@localhost", 400],
    ["localhost/", 400],
  ])("Host: %s gives %i", async (host, status) => {
    expect((await ask("/health", { Host: host }, HOSTS)).status).toBe(status);
  });
  it("any name will do where none are given, but no nonsense", async () => {
    expect((await ask("/health", { Host: "anything" }, {})).status).toBe(200);
    expect((await ask("/health", { Host: "x:99999" }, {})).status).toBe(400);
  });
  it.each([
    [{}, 401],
    [{ Authorization: "Bearer secre" }, 401],
    [{ Authorization: "Bearer secrets" }, 401],
    [{ Authorization: "Basic secret" }, 401],
    [{ Authorization: "Bearer secret" }, 200],
    [{ Authorization: "bearer  secret" }, 200],
  ] satisfies [Record<string, string>, number][])("a token: %j gives %i", async (headers, status) => {
    const handler = handlerOf({ token: "secret" });
    const answer = await handler(post(photo, "", headers));
    expect(answer.status).toBe(status);
    if (status === 401) expect(answer.headers.get("WWW-Authenticate")).toBe("Bearer");
    expect((await ask("/metrics", headers, { token: "secret" })).status).toBe(status);
    expect((await ask("/health", {}, { token: "secret" })).status).toBe(200);
  });
  it("pages of one origin, or of none", async () => {
    const origin = async (allowOrigin: string) =>
      (await ask("/health", {}, { allowOrigin })).headers.get("Access-Control-Allow-Origin");
    expect(await origin("https://a.example")).toBe("https://a.example");
    expect(await origin("none")).toBe(null);
  });
});

describe("operation", () => {
  it("is counted for Prometheus", async () => {
    const handler = handlerOf();
    await handler(post(photo));
    await handler(post("text"));
    await handler(new Request("http://service/nothing/at/all"));
    const text = await (await handler(new Request("http://service/metrics"))).text();
    expect(text).toContain('resnet_wasm_requests_total{route="/classify",status="200"} 1\n');
    expect(text).toContain('resnet_wasm_requests_total{route="/classify",status="415"} 1\n');
    expect(text).toContain('resnet_wasm_requests_total{route="other",status="404"} 1\n');
    expect(text).toContain("resnet_wasm_classify_duration_seconds_count 1\n");
    expect(text).toMatch(/resnet_wasm_model_memory_bytes \d{6,}\n/);
    expect(text).toContain("resnet_wasm_body_memory_bytes 0\n");
  });
  it("is recorded request by request", async () => {
    const onRequest = vi.fn();
    const handler = handlerOf({ onRequest });
    await handler(post(photo));
    await handler(post("text"));
    expect(onRequest.mock.calls.map(([{ ms: _, ...record }]) => record)).toEqual([
      { method: "POST", path: "/classify", status: 200 },
      { method: "POST", path: "/classify", status: 415, code: "type" },
    ]);
  });
  it("stops: what is in progress is finished, the rest is asked to come back", async () => {
    const stopping = new AbortController();
    const handler = handlerOf({ stopping: stopping.signal });
    const [large, end] = holding(photo);
    const underway = handler(large);
    stopping.abort();
    const refused = await handler(post(photo));
    expect([refused.status, refused.headers.get("Retry-After")]).toEqual([503, "1"]);
    expect((await handler(new Request("http://service/health"))).status).toBe(503);
    end();
    expect((await underway).status).toBe(200);
  });
});

/** A request whose body begins and goes on only on demand. */
function holding(bytes: Uint8Array): [request: Request, end: () => void] {
  let controller: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
      controller.enqueue(bytes);
    },
  });
  return [
    post(body),
    () => {
      try {
        controller.close();
      } catch {}
    },
  ];
}

/** A request that sends one byte, and no more before it is ended. */
function dripping(): { readonly request: Request; readonly end: () => void } {
  const [request, end] = holding(Uint8Array.of(1));
  return { request, end };
}

function formOf(value: string | Blob): FormData {
  const form = new FormData();
  form.append("photo", value);
  return form;
}

/** More bytes than any limit, without a length. */
function endless(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(65_536));
    },
  });
}
