/** Modules that pages keep, over a Cache API in memory; each page is a fresh copy of this code. */
import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

/** The shortest module, and another: a custom section is of no meaning. */
const [ONE, TWO] = ["a", "b"].map((name) =>
  Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x02, 0x01, name.charCodeAt(0)),
) as [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>];
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const URL_HERE = "https://app.example/jpeg.wasm";

let stored: Map<string, Response>;
/** What the server has; `undefined` when it does not answer. */
let served: Uint8Array<ArrayBuffer> | undefined;
let requests: (RequestCache | undefined)[];

beforeEach(() => {
  stored = new Map();
  requests = [];
  served = ONE;
  const cache = {
    match: async (url: string) => stored.get(url)?.clone(),
    put: async (url: string, response: Response) => void stored.set(url, response),
    delete: async (url: string) => stored.delete(url),
    keys: async () => [...stored.keys()].map((url) => ({ url })),
  };
  vi.stubGlobal("caches", { open: async () => cache });
  vi.stubGlobal("location", { href: "https://app.example/" });
  vi.stubGlobal("fetch", async (_: string, { cache }: RequestInit = {}) => {
    requests.push(cache);
    if (served === undefined) throw new TypeError("no network");
    return new Response(served);
  });
});
afterEach(() => void vi.unstubAllGlobals());

/** Asks as a page of its own does. */
async function inNewPage(wanted: Uint8Array, times = 1) {
  vi.resetModules();
  const { keptModule } = await import("../../src/runtimes/web-modules.ts");
  const asked = Array.from({ length: times }, () => keptModule("jpeg", URL_HERE, { jpeg: digest(wanted) }));
  return (await Promise.all(asked)).map(({ module }) => module);
}

test("are fetched and compiled once a page, and not by the next one", async () => {
  const [first, second] = await inNewPage(ONE, 2);
  expect(first).toBe(second);
  expect(first).toBeInstanceOf(WebAssembly.Module);
  served = undefined;
  await inNewPage(ONE);
  expect(requests).toHaveLength(1);
});
test("of another version are fetched, and three versions are kept", async () => {
  await inNewPage(ONE);
  served = TWO;
  await inNewPage(TWO);
  expect(requests).toHaveLength(2);
  await inNewPage(ONE);
  expect(requests).toHaveLength(2);
  for (const id of [1, 2, 3]) {
    served = Uint8Array.of(...ONE.subarray(0, -1), id);
    await inNewPage(served);
  }
  expect(stored.size).toBe(3);
});
test("that the browser's own cache has of an old version are asked for again", async () => {
  const replies = [ONE, TWO];
  vi.stubGlobal("fetch", async (_: string, { cache }: RequestInit = {}) => {
    requests.push(cache);
    return new Response(replies.shift());
  });
  await inNewPage(TWO);
  expect(requests).toEqual([undefined, "reload"]);
  await inNewPage(TWO);
  expect(requests).toHaveLength(2);
});
test("that are a program's own are asked for each time, and kept for when there is no network", async () => {
  await inNewPage(TWO);
  await inNewPage(TWO);
  expect(requests).toHaveLength(4);
  served = undefined;
  expect(await inNewPage(TWO)).toHaveLength(1);
});
test("that are not there are asked for again by the same page", async () => {
  served = undefined;
  vi.resetModules();
  const { keptModule } = await import("../../src/runtimes/web-modules.ts");
  const ask = () => keptModule("jpeg", URL_HERE, { jpeg: digest(ONE) });
  await expect(ask()).rejects.toMatchObject({ code: "network" });
  served = ONE;
  expect((await ask()).bytes).toBe(ONE.length);
});
test("that are web pages are refused", async () => {
  served = new TextEncoder().encode("<!doctype html>") as Uint8Array<ArrayBuffer>;
  await expect(inNewPage(ONE)).rejects.toMatchObject({ code: "runtime" });
  expect(stored.size).toBe(0);
});
test("need no cache", async () => {
  vi.stubGlobal("caches", {
    open: async () => Promise.reject(new DOMException("no", "SecurityError")),
  });
  expect(await inNewPage(ONE)).toHaveLength(1);
});
