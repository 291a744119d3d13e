/** The browser's cache, over a Cache API in memory. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Store } from "../../src/runtime.ts";
import { cacheStore } from "../../src/runtimes/web-store.ts";

let stored: Map<string, Uint8Array<ArrayBuffer>>;

beforeEach(() => {
  stored = new Map();
  const cache = {
    async match(url: string) {
      const bytes = stored.get(url);
      return bytes && new Response(bytes.slice());
    },
    async put(url: string, response: Response) {
      stored.set(url, new Uint8Array(await response.arrayBuffer()));
    },
    delete: async (url: string) => stored.delete(url),
    keys: async () => [...stored.keys()].map((url) => ({ url })),
  };
  vi.stubGlobal("caches", { open: async () => cache });
});
afterEach(() => void vi.unstubAllGlobals());

const encoded = (text: string): Uint8Array => new TextEncoder().encode(text);
const put = (store: Store, text: string): Promise<unknown> =>
  store.put("hf/o/r@main", async (writer) => {
    await writer.write("config.json", encoded("{}"));
    const file = await writer.file("sub/model.safetensors");
    await file.begin(undefined);
    for (const character of text) await file.append(encoded(character));
    await file.close();
  });
async function text(store: Store): Promise<string> {
  const folder = await store.get("hf/o/r@main");
  const file = await folder!.open("sub/model.safetensors");
  return new TextDecoder().decode(await file.read(0, file.size));
}
const addresses = (end: string): string[] => [...stored.keys()].filter((url) => url.endsWith(end));

test("an entry is there once it is whole", async () => {
  expect(await cacheStore("c").get("hf/o/r@main")).toBeUndefined();
  await put(cacheStore("c"), "weights");
  expect(await text(cacheStore("c"))).toBe("weights");
});
test("an entry that could not be filled leaves nothing, and the one before as it was", async () => {
  await put(cacheStore("c"), "weights");
  const before = [...stored.keys()].sort();
  const failing = cacheStore("c").put("hf/o/r@main", async (writer) => {
    await writer.write("config.json", encoded("other"));
    await (await writer.file("half")).begin(undefined);
    throw new Error("cut");
  });
  await expect(failing).rejects.toThrow("cut");
  expect([...stored.keys()].sort()).toEqual(before);
  expect(await text(cacheStore("c"))).toBe("weights");
});
test("an entry takes the place of the one before, whose files go", async () => {
  await put(cacheStore("c"), "weights");
  await put(cacheStore("c"), "better");
  expect(await text(cacheStore("c"))).toBe("better");
  expect(addresses("model.safetensors")).toHaveLength(1);
});
test("what a page gave up a day ago is removed, what is newer is not", async () => {
  const old = `https://cache.invalid/hf/o/r@main/${Date.now() - 2 * 86_400_000}-x/half`;
  const recent = `https://cache.invalid/hf/o/r@main/${Date.now()}-y/half`;
  for (const address of [old, recent]) stored.set(address, new Uint8Array(1));
  await put(cacheStore("c"), "weights");
  expect(addresses("half")).toEqual([recent]);
});
test.each([
  ["changed", (address: string) => void stored.get(address)!.fill(7)],
  ["gone", (address: string) => void stored.delete(address)],
])("a file that was %s is named, until it is fetched again", async (_, damage) => {
  await put(cacheStore("c"), "weights");
  damage(addresses("model.safetensors")[0]!);
  await expect(text(cacheStore("c"))).rejects.toMatchObject({
    code: "integrity",
    subject: "c/hf/o/r@main/sub/model.safetensors",
  });
  await put(cacheStore("c"), "weights");
  expect(await text(cacheStore("c"))).toBe("weights");
});
test("a description that is no JSON is damage", async () => {
  await put(cacheStore("c"), "weights");
  stored.set(addresses(".entry.json")[0]!, encoded("{") as Uint8Array<ArrayBuffer>);
  await expect(text(cacheStore("c"))).rejects.toMatchObject({ code: "integrity" });
});
test("a page that cannot have a cache says so", async () => {
  vi.unstubAllGlobals();
  await expect(cacheStore("c").get("x")).rejects.toMatchObject({ code: "cache" });
});
