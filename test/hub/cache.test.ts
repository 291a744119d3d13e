/** Entries of the disk cache that something happened to. */
import { mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { locate } from "../../src/hub/locate.ts";
import type { Located, LocateOptions } from "../../src/runtime.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { file, payload, sha256, startServer, status, type TestServer } from "./server.ts";

const BYTES = payload(300_000);

let root: string;
let cache: string;
let server: TestServer;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "resnet-wasm-cache-"));
  cache = join(root, "cache");
  server = await startServer();
  server.routes.set("/m.safetensors", file(BYTES));
});
afterEach(async () => {
  await server.close();
  await rm(root, { recursive: true, force: true });
});

/** As a new process would, unless a runtime is given. */
const find = (options: LocateOptions = {}, runtime = nodeRuntime()): Promise<Located> =>
  locate(`${server.origin}/m.safetensors`, runtime, { cache, ...options });
const pathOf = ({ folder }: Located, name = "m.safetensors"): string => join(folder.name, name);
const digestOf = async (path: string): Promise<string> => sha256(await readFile(path));

/** Changes one byte, with the file's dates as they were. */
async function flip(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[1000]! ^= 4;
  await writeFile(path, bytes);
  await utimes(path, 0, 0);
}

describe.each<[string, (path: string) => Promise<void>, RegExp]>([
  ["with a flipped bit", flip, /expected the 300000 bytes that were downloaded, got others/],
  ["cut short", (path) => truncate(path, 1000), /got 1000/],
  ["removed", (path) => rm(path), /got no such file/],
])("a file %s", (_, damage, message) => {
  test("is fetched again by the next process", async () => {
    const path = pathOf(await find());
    await utimes(path, 0, 0);
    await damage(path);
    expect(pathOf(await find())).toBe(path);
    expect(await digestOf(path)).toBe(sha256(BYTES));
    expect(server.seen.length).toBe(2);
    expect(await readdir(join(path, "../.."))).toHaveLength(1);
  });
  test("is fetched again by the same process", async () => {
    const runtime = nodeRuntime();
    const path = pathOf(await find({}, runtime));
    await find({}, runtime);
    await damage(path);
    await find({}, runtime);
    expect(await digestOf(path)).toBe(sha256(BYTES));
  });
  test("is named where the network is forbidden, or does not have it", async () => {
    const path = pathOf(await find());
    await damage(path);
    const error = await find({ offline: true }).catch((reason) => reason);
    expect(error).toMatchObject({ name: "ModelError", code: "integrity", subject: path });
    expect(error.message).toMatch(message);
    server.routes.set("/m.safetensors", status(404));
    await expect(find()).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("the digests", () => {
  test.each(["", "{", "[1]", '{"../../x": {"size": 1, "sha256": "00"}}', '{"m.safetensors": null}'])(
    "that are %j make the entry fetched again, and are named offline",
    async (text) => {
      const path = pathOf(await find(), ".digests.json");
      await writeFile(path, text);
      await expect(find({ offline: true })).rejects.toMatchObject({ code: "integrity", subject: path });
      await find();
      expect(JSON.parse(await readFile(path, "utf8"))).toMatchObject({
        "m.safetensors": { size: BYTES.length, sha256: sha256(BYTES) },
      });
    },
  );
  test("are not computed again while nothing changes", async () => {
    const runtime = nodeRuntime();
    const path = pathOf(await find());
    await find({}, runtime);
    const read = (await readFile(path)).length;
    const start = performance.now();
    for (let i = 0; i < 20; i++) await find({ offline: true }, runtime);
    expect(read).toBe(BYTES.length);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});
