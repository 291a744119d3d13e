/** The HTTP handler, by requests in memory: every status it knows, and that it says no more than it should. */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Classifier, loadWith } from "../../src/classifier.ts";
import { ModelError } from "../../src/errors.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { createHandler, type HandlerOptions } from "../../src/server/handler.ts";
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

describe("load", () => {
  /** A body that never ends, and what ends it. */
  function hanging(): { readonly request: Request; readonly end: () => void } {
    let end = (): void => {};
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        end = () => {
          controller.enqueue(photo);
          controller.close();
        };
      },
    });
    return { request: post(body), end: () => end() };
  }
  it("beyond the limit is refused with a time to come back, and passes", async () => {
    const handler = handlerOf({ maxWaiting: 2 });
    const first = [hanging(), hanging()];
    const waiting = first.map(({ request }) => handler(request));
    const refused = await handler(post(photo));
    expect([refused.status, refused.headers.get("Retry-After")]).toEqual([503, "1"]);
    for (const { end } of first) end();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
    expect((await handler(post(photo))).status).toBe(200);
  });
  it("of callers that hung up without a word is forgotten", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      const handler = handlerOf({ maxWaiting: 1 });
      void handler(hanging().request);
      expect((await handler(post(photo))).status).toBe(503);
      vi.advanceTimersByTime(61_000);
      expect((await handler(post(photo))).status).toBe(200);
    } finally {
      vi.useRealTimers();
    }
  });
});

function formOf(value: string | Blob): FormData {
  const form = new FormData();
  form.append("photo", value);
  return form;
}

/** More bytes than anybody wants, without a length. */
function endless(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(65_536));
    },
  });
}
