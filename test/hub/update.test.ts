/** Copies in the cache that are compared with what their servers have, and what is kept for when there is no network. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { defineRuntime, type Library } from "../../src/define.ts";
import { locate } from "../../src/hub/locate.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import type { Located, LocateOptions, Runtime } from "../../src/runtime.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { file, gitHash, payload, startServer, status, type TestServer } from "./server.ts";

const [OLD, NEW] = [payload(3000), payload(3000, 2)];
let root: string;
let cache: string;
let server: TestServer;
let runtime: Runtime;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "resnet-wasm-update-"));
  cache = join(root, "cache");
  server = await startServer();
  runtime = nodeRuntime();
});
afterEach(async () => {
  await server.close();
  await rm(root, { recursive: true, force: true });
});

const find = (options: LocateOptions = {}): Promise<Located> =>
  locate(`${server.origin}/m.safetensors`, runtime, { cache, ...options });
async function isOf({ folder, entry }: Located): Promise<"old" | "new" | undefined> {
  const opened = await folder.open(entry);
  const bytes = Buffer.from(await opened.read(0, opened.size));
  await opened.close();
  return bytes.equals(OLD) ? "old" : bytes.equals(NEW) ? "new" : undefined;
}
const serve = (bytes: Uint8Array, headers: Record<string, string> = {}): void => {
  server.routes.set("/m.safetensors", file(bytes, headers));
};
const DATE = "Tue, 01 Jan 2019 00:00:00 GMT";

describe("update", () => {
  test.each([
    ["an ETag", { etag: '"a"' }, { etag: '"b"' }],
    ["a date", { "last-modified": DATE }, { "last-modified": DATE.replace("2019", "2020") }],
  ])("check by %s asks once, and fetches another version", async (_, before, after) => {
    serve(OLD, before);
    await find();
    expect(await isOf(await find({ update: "check" }))).toBe("old");
    expect(server.seen).toHaveLength(2);
    serve(NEW, after);
    expect(await isOf(await find())).toBe("old");
    expect(server.seen).toHaveLength(2);
    expect(await isOf(await find({ update: "check" }))).toBe("new");
    expect(await isOf(await find({ offline: true }))).toBe("new");
  });
  test("a weak ETag of the same version is the same", async () => {
    serve(OLD, { etag: '"a"' });
    await find();
    serve(NEW, { etag: 'W/"a"' });
    expect(await isOf(await find({ update: "check" }))).toBe("old");
  });
  test.each([
    ["does not answer", () => server.close(), {}],
    ["refuses", () => server.routes.set("/m.safetensors", status(403)), {}],
    ["says nothing of versions", () => serve(OLD), {}],
    ["may not be asked", () => {}, { offline: true }],
  ])("where the server %s takes the copy, and says so", async (_, change, options) => {
    serve(OLD);
    await find();
    await change();
    const located = await find({ update: "check", ...options });
    expect(await isOf(located)).toBe("old");
    expect(located.guesses).toMatchObject([{ key: "cache" }]);
  });
  test("that fails on its way takes the copy, which is still there", async () => {
    serve(OLD, { etag: '"a"' });
    await find();
    server.routes.set("/m.safetensors", (request, response) => {
      response.setHeader("etag", '"b"');
      if (request.method === "HEAD") response.end();
      else response.destroy();
    });
    const located = await find({ update: "check" });
    expect(await isOf(located)).toBe("old");
    expect(located.guesses).toMatchObject([{ key: "cache" }]);
  });
  test("of a branch goes by its commit", async () => {
    const commits = ["1", "2"].map((digit) => digit.repeat(40));
    const config = '{"architectures": ["ResNetForImageClassification"]}';
    const at = (commit: string, bytes: Uint8Array): void => {
      const headers = { "x-repo-commit": commit, etag: `"${gitHash(bytes)}"` };
      for (const revision of ["main", commit]) {
        server.routes.set(`/o/r/resolve/${revision}/config.json`, file(config, { "x-repo-commit": commit }));
        server.routes.set(`/o/r/resolve/${revision}/model.safetensors`, file(bytes, headers));
      }
    };
    runtime = {
      ...runtime,
      huggingFace: async () => ({ endpoint: server.origin, token: undefined, cache: undefined }),
    };
    const branch = (options: LocateOptions = {}) => locate("hf:o/r", runtime, { cache, ...options });
    at(commits[0]!, OLD);
    expect(await isOf(await branch())).toBe("old");
    at(commits[1]!, NEW);
    expect(await isOf(await branch())).toBe("old");
    expect(await isOf(await branch({ update: "check" }))).toBe("new");
    await server.close();
    const unanswered = await branch({ update: "check" });
    expect(await isOf(unanswered)).toBe("new");
    expect(unanswered.guesses).toMatchObject([{ key: "cache" }]);
  });
  test("that is another word is refused", async () => {
    serve(OLD);
    await expect(find({ update: "always" as never })).rejects.toMatchObject({ option: "update" });
  });
});

test("two calls at once download once, and both hear of it", async () => {
  server.routes.set("/m.safetensors", (request, response) => {
    setTimeout(() => file(OLD, { etag: '"a"' })(request, response), 50);
  });
  const heard: string[] = [];
  const both = ["a", "b"].map((name) => find({ onDownload: ({ loaded }) => heard.push(`${name}${loaded}`) }));
  for (const located of await Promise.all(both)) expect(await isOf(located)).toBe("old");
  expect(server.seen).toHaveLength(1);
  expect(heard).toEqual(expect.arrayContaining([`a${OLD.length}`, `b${OLD.length}`]));
});
test("a call that is aborted leaves the download to the one that waits", async () => {
  serve(OLD);
  const controller = new AbortController();
  const first = find({ signal: controller.signal });
  const second = find();
  controller.abort();
  await expect(first).rejects.toMatchObject({ name: "AbortError" });
  expect(await isOf(await second)).toBe("old");
});

describe("what is kept", () => {
  const model = goldenCheckpoint(resnetSpec("resnet20"));
  let library: Library;
  let source: string;
  beforeEach(() => {
    library = defineRuntime(runtime);
    source = `${server.origin}/small.safetensors`;
    server.routes.set("/small.safetensors", file(model));
  });
  test("is fetched beforehand, listed by its source, and forgotten", async () => {
    expect(await library.cached(source, { cache })).toBeUndefined();
    const { bytes, modules } = await library.prefetch(source, { cache });
    expect(bytes).toBeGreaterThan(model.length);
    expect(modules).toBe(0);
    const loaded = await library.load(source, { cache, offline: true });
    await loaded.dispose();
    expect(await library.usage({ cache })).toEqual({ bytes, modules: 0, models: [{ source, bytes }] });
    expect(await library.cached(`${source}#sha256=0`, { cache })).toMatchObject({ bytes });
    expect(await library.forget(source, { cache })).toBe(true);
    expect(await library.forget(source, { cache })).toBe(false);
    expect(await library.cached(source, { cache })).toBeUndefined();
  });
  test("has no bytes in it, which have no name", async () => {
    await expect(library.prefetch(model as never)).rejects.toMatchObject({ option: "source" });
  });
  test("on a disk stays there", async () => {
    expect(await library.persist()).toMatchObject({ persisted: true });
  });
});
