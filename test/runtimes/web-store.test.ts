/** The browser's cache, over a Cache API in memory. */
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { verifyCached } from "../../src/hub/cache.ts";
import type { Runtime, Store } from "../../src/runtime.ts";
import { cacheStore, pageStore } from "../../src/runtimes/web-store.ts";

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
const WEIGHTS = "model.safetensors~0";

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
  expect(addresses(WEIGHTS)).toHaveLength(1);
});
test("what a page gave up a day ago is removed, what is newer is not", async () => {
  const old = `https://cache.invalid/hf/o/r@main/${Date.now() - 2 * 86_400_000}-x/half`;
  const recent = `https://cache.invalid/hf/o/r@main/${Date.now()}-y/half`;
  for (const address of [old, recent]) stored.set(address, new Uint8Array(1));
  await put(cacheStore("c"), "weights");
  expect(addresses("half")).toEqual([recent]);
});
test.each([
  ["cut", (address: string) => void stored.set(address, stored.get(address)!.slice(1))],
  ["gone", (address: string) => void stored.delete(address)],
])("a file that was %s is named, until it is fetched again", async (_, damage) => {
  await put(cacheStore("c"), "weights");
  damage(addresses(WEIGHTS)[0]!);
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
test("the files of an entry are listed", async () => {
  await put(cacheStore("c"), "weights");
  const folder = (await cacheStore("c").get("hf/o/r@main"))!;
  expect(await folder.list!()).toEqual(["config.json", "sub/model.safetensors"]);
  expect(await folder.list!("sub")).toEqual(["model.safetensors"]);
  await expect(folder.list!("other")).rejects.toMatchObject({ code: "not-found" });
});

describe("a download that was cut", () => {
  /** Begins a file, or continues it, with a note; what is there already is what `seen` gets. */
  const filling = (text: string, fails: boolean, seen: string[], size = 4 << 20) =>
    cacheStore("c").put("hf/o/r@main", async (writer) => {
      const file = await writer.file("model.safetensors");
      seen.push(`${file.note} ${file.size}`);
      await file.begin("the note", file.size);
      for (let at = 0; at < text.length; at += size) await file.append(encoded(text.slice(at, at + size)));
      if (fails) throw new Error("cut");
      await file.close();
    });
  const opened = async () => (await (await cacheStore("c").get("hf/o/r@main"))!.open("model.safetensors"))!;

  test("is continued by the next page, over pieces", async () => {
    const seen: string[] = [];
    await expect(filling("a".repeat(9 << 20), true, seen, 1000)).rejects.toThrow("cut");
    expect(await cacheStore("c").get("hf/o/r@main")).toBeUndefined();
    await filling("bc", false, seen);
    expect(seen).toEqual(["undefined 0", `the note ${9 << 20}`]);
    const file = await opened();
    expect(file.size).toBe((9 << 20) + 2);
    expect(new TextDecoder().decode(await file.read((9 << 20) - 1, 3))).toBe("abc");
    expect(addresses("~note")).toEqual([]);
    expect(addresses(".partial.json")).toEqual([]);
  });
  test("keeps what its reader wants to keep of it, and reads across pieces", async () => {
    const seen: string[] = [];
    await expect(filling("abcdefgh".repeat(1 << 20), true, seen)).rejects.toThrow("cut");
    await cacheStore("c").put("hf/o/r@main", async (writer) => {
      const file = await writer.file("model.safetensors");
      await file.begin("the note", (4 << 20) + 2);
      expect(file.size).toBe((4 << 20) + 2);
      await file.append(encoded("X"));
      expect(new TextDecoder().decode(await file.read((4 << 20) - 2, 5))).toBe("ghabX");
      await file.close();
    });
    expect((await opened()).size).toBe((4 << 20) + 3);
  });
  test("is begun from the start by a page that finds another at work", async () => {
    const seen: string[] = [];
    await expect(filling("weights", true, seen)).rejects.toThrow("cut");
    await cacheStore("c").put("hf/o/r@main", async (writer) => {
      const file = await writer.file("model.safetensors");
      await filling("others", false, seen);
      await file.begin("the note");
      await file.append(encoded("mine"));
      await file.close();
    });
    expect(seen).toEqual(["undefined 0", "undefined 0"]);
    const file = await opened();
    expect(new TextDecoder().decode(await file.read(0, file.size))).toBe("mine");
  });
  test("leaves nothing when the disk is full", async () => {
    const full = Object.assign(new Error(), { name: "QuotaExceededError" });
    const cache = await caches.open("c");
    const put = cache.put.bind(cache);
    let left = 3;
    vi.spyOn(cache, "put").mockImplementation(async (...given) => {
      if (--left < 0) throw full;
      return put(...given);
    });
    await expect(filling("a".repeat(9 << 20), true, [])).rejects.toMatchObject({ code: "cache" });
    expect([...stored.keys()]).toEqual([]);
  });
});

describe("checksums", () => {
  const known = { algorithm: "sha256", hex: "ab".repeat(32) } as const;
  test("are remembered with the entry, those that come later too", async () => {
    await cacheStore("c").put("k", async (writer) => {
      const file = await writer.file("m");
      await file.begin(undefined);
      await file.append(encoded("weights"));
      await file.close([known]);
    });
    const folder = (await cacheStore("c").get("k"))!;
    expect(await folder.checksums!("m")).toEqual([known]);
    await folder.remember!("m", [{ ...known, algorithm: "sha512" }]);
    expect(await (await cacheStore("c").get("k"))!.checksums!("m")).toHaveLength(2);
  });
  test("that are remembered are not computed again", async () => {
    const hash = vi.fn(() => createHash("sha256"));
    const runtime = { hash } as unknown as Runtime;
    await put(cacheStore("c"), "weights");
    const hex = createHash("sha256").update("weights").digest("hex");
    const path = "sub/model.safetensors";
    for (let i = 0; i < 2; ++i) {
      const folder = (await cacheStore("c").get("hf/o/r@main"))!;
      await verifyCached(runtime, folder, path, [{ algorithm: "sha256", hex }]);
    }
    expect(hash).toHaveBeenCalledTimes(1);
    const other = verifyCached(runtime, (await cacheStore("c").get("hf/o/r@main"))!, path, [known]);
    await expect(other).rejects.toMatchObject({ code: "integrity" });
    expect(hash).toHaveBeenCalledTimes(1);
  });
});

test("entries are listed with their bytes, and removed", async () => {
  await put(cacheStore("c"), "weights");
  expect(await cacheStore("c").list!()).toEqual([{ key: "hf/o/r@main", bytes: 9, origin: undefined }]);
  expect(await cacheStore("c").remove!("hf/o/r@main")).toBe(true);
  expect([...stored.keys()]).toEqual([]);
  expect(await cacheStore("c").remove!("hf/o/r@main")).toBe(false);
});
test("where storage is denied, what is put is there for whoever puts it, and it is said why", async () => {
  vi.stubGlobal("caches", { open: async () => Promise.reject(new DOMException("no", "SecurityError")) });
  const store = pageStore("c");
  expect(await store.denial!()).toContain("SecurityError");
  const folder = await store.put("k", async (writer) => {
    await writer.write("config.json", encoded("{}"));
    const file = await writer.file("m");
    await file.begin("note");
    await file.append(encoded("weights"));
    await file.begin("note", 3);
    await file.append(encoded("ther"));
    await file.close();
  });
  const opened = await folder.open("m");
  expect(new TextDecoder().decode(await opened.read(0, opened.size))).toBe("weither");
  expect(await folder.list!()).toEqual(["config.json", "m"]);
  expect(await store.get("k")).toBeUndefined();
});
