import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline, Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ModelError } from "../../src/errors.ts";
import { locate } from "../../src/hub/locate.ts";
import type { DownloadProgress, Located, LocateOptions, Runtime } from "../../src/runtime.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { cut, file, payload, redirect, sha256, stall, startServer, status, type TestServer, turns } from "./server.ts";

const BYTES = payload(300_000);
const ETAG = { etag: '"one"' };

let root: string;
let cache: string;
let server: TestServer;
let runtime: Runtime;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "resnet-wasm-url-"));
  cache = join(root, "cache");
  server = await startServer();
  runtime = nodeRuntime();
  serve(file(BYTES, ETAG));
});

afterEach(async () => {
  await server.close();
  await rm(root, { recursive: true, force: true });
});

const serve = (handler: Parameters<TestServer["routes"]["set"]>[1], path = "/m.safetensors"): void => {
  server.routes.set(path, handler);
};
const find = (options: LocateOptions = {}, path = "/m.safetensors"): Promise<Located> =>
  locate(`${server.origin}${path}`, runtime, { cache, ...options });

async function bytesOf({ folder, entry }: Located, path = entry): Promise<Buffer> {
  const opened = await folder.open(path);
  const bytes = Buffer.from(await opened.read(0, opened.size));
  await opened.close();
  return bytes;
}

/** Compares by digest: the runner takes minutes to show how long files differ. */
async function same(located: Located, expected: Uint8Array, path?: string): Promise<void> {
  expect(sha256(await bytesOf(located, path))).toBe(sha256(expected));
}

/** Files and unfinished folders in the cache. */
async function remains(): Promise<string[]> {
  const items = await readdir(cache, { recursive: true, withFileTypes: true }).catch(() => []);
  const names = items.filter((item) => item.isFile() || /^\.(?:tmp|part)-/.test(item.name)).map((item) => item.name);
  return names.filter((name) => name !== ".digests.json" && name !== ".origin.json");
}

async function fails(message: RegExp, options: LocateOptions = {}, path = "/m.safetensors"): Promise<void> {
  const found = find(options, path);
  await expect(found).rejects.toThrow(ModelError);
  await expect(found).rejects.toThrow(message);
}

async function failsClean(message: RegExp, options: LocateOptions = {}, path = "/m.safetensors"): Promise<void> {
  await fails(message, options, path);
  expect(await remains()).toEqual([]);
}

const ranges = (): (string | undefined)[] => server.seen.map(({ headers }) => headers.range);

describe("a file", () => {
  test("is fetched with progress, once, and then needs no network", async () => {
    const seen: DownloadProgress[] = [];
    const located = await find({ onDownload: (progress) => seen.push(progress) });
    expect(located.entry).toBe("m.safetensors");
    await same(located, BYTES);
    expect(seen.at(-1)).toEqual({ name: "m.safetensors", loaded: BYTES.length, total: BYTES.length });
    await same(await find({ offline: true }), BYTES);
    expect(server.seen.length).toBe(1);
    expect(await remains()).toEqual(["m.safetensors"]);
  });
  test("of unknown length ends its progress", async () => {
    serve((_, response) => void response.writeHead(200).end(BYTES));
    const seen: DownloadProgress[] = [];
    await same(await find({ onDownload: (progress) => seen.push(progress) }), BYTES);
    expect(seen.at(-1)).toEqual({ name: "m.safetensors", loaded: BYTES.length, total: BYTES.length });
  });
  test("packed by the server on its way is unpacked", async () => {
    const packed = gzipSync(BYTES);
    serve((_, response) => {
      response.writeHead(200, { ...ETAG, "content-encoding": "gzip", "content-length": packed.length }).end(packed);
    });
    await same(await find(), BYTES);
  });
  test("at an address with a query is another than one without", async () => {
    serve(file("{}".padEnd(40, "x")), "/m.safetensors?v=2");
    serve(file(payload(7)), "/m.safetensors?v=3");
    expect((await bytesOf(await find({}, "/m.safetensors?v=3"))).length).toBe(7);
    expect((await bytesOf(await find())).length).toBe(BYTES.length);
  });
  test("asked for twice at once is there once, whole", async () => {
    for (const located of await Promise.all([find(), find()])) await same(located, BYTES);
    expect(await remains()).toEqual(["m.safetensors"]);
  });
});

describe("a TensorFlow.js model", () => {
  const model = JSON.stringify({ weightsManifest: [{ paths: ["a.bin", "deep/b.bin"], weights: [] }] });
  test("comes with its shards, asked for with the same query", async () => {
    serve(file(model), "/net/model.json?key=1");
    serve(file("shard a"), "/net/a.bin?key=1");
    serve(file("shard b"), "/net/deep/b.bin?key=1");
    const located = await find({}, "/net/model.json?key=1");
    expect(located.entry).toBe("model.json");
    expect(`${await bytesOf(located, "deep/b.bin")}`).toBe("shard b");
  });
  test("with a shard that is missing names it", async () => {
    serve(file(model), "/net/model.json");
    serve(file("shard a", ETAG), "/net/a.bin");
    await fails(/expected deep\/b.bin at .*, got 404.*\n {2}hint: model.json names it/, {}, "/net/model.json");
  });
  test.each(["../x.bin", "/etc/passwd", "https://else.where/x.bin", "a//b.bin", "c:\\x", "a?b"])(
    "with the shard %j is refused",
    async (path) => {
      serve(file(JSON.stringify({ weightsManifest: [{ paths: [path] }] })), "/net/model.json");
      await failsClean(/model.json: expected files inside its folder/, {}, "/net/model.json");
    },
  );
  test("that is some other JSON is refused", async () => {
    serve(file("{}"), "/net/model.json");
    await failsClean(/expected a weight_map or a weightsManifest, got neither/, {}, "/net/model.json");
  });
});

describe("after a cut", () => {
  test("a file goes on with Range, and no header that a page would have to ask for", async () => {
    serve(cut(file(BYTES, ETAG), 100_000));
    await same(await find(), BYTES);
    expect(server.seen.map(({ headers }) => headers["if-range"])).toEqual([undefined, undefined]);
    expect(ranges()[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });
  test("a file with a date goes on", async () => {
    const date = { "last-modified": new Date(Date.now() - 100_000).toUTCString() };
    serve(cut(file(BYTES, date), 100_000));
    await same(await find(), BYTES);
    expect(ranges()[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });
  test.each([
    ["with a weak ETag", { etag: 'W/"one"' }],
    ["with a date of this second", { "last-modified": new Date(Date.now() + 600_000).toUTCString() }],
    ["without either", {}],
  ])("a file %s is fetched from its beginning", async (_, headers) => {
    serve(cut(file(BYTES, headers), 100_000));
    await same(await find(), BYTES);
    expect(ranges()).toEqual([undefined, undefined]);
  });
  test("a file that changed meanwhile is fetched from its beginning", async () => {
    const other = payload(250_000, 2);
    serve(turns(cut(file(BYTES, ETAG), 100_000), file(other, { etag: '"two"' })));
    await same(await find(), other);
    serve(cut(file(BYTES, ETAG), 60_000, 3), "/n.safetensors");
    await fails(/cut short/, {}, "/n.safetensors");
    // Of the same length: only its ETag tells.
    const alike = payload(BYTES.length, 3);
    serve(file(alike, { etag: '"three"' }), "/n.safetensors");
    await same(await find({}, "/n.safetensors"), alike);
  });
  test("a server that answers with another range is not believed", async () => {
    const wrong = (_: unknown, response: Parameters<ReturnType<typeof file>>[1]): void => {
      response
        .writeHead(206, { ...ETAG, "content-range": `bytes 5-9/${BYTES.length}`, "content-length": 5 })
        .end("wrong");
    };
    serve(turns(cut(file(BYTES, ETAG), 100_000), wrong, file(BYTES, ETAG)));
    await same(await find(), BYTES);
    expect(ranges()[2]).toBeUndefined();
  });
  test("many times, each with progress, a file still comes", async () => {
    const long = payload(9_000_000);
    serve(cut(file(long, ETAG), 2_000_000, 4));
    await same(await find(), long);
    expect(server.seen.length).toBe(5);
  });
  test("a later call goes on where the first one gave up", async () => {
    serve(cut(file(BYTES, ETAG), 1, 3));
    await fails(/expected 300000 bytes, got \d+, then .*\n {2}hint: .*cut short/);
    expect(await remains()).toEqual(expect.arrayContaining([expect.stringMatching(/^\.part-/)]));
    await expect(find({ offline: true })).rejects.toThrow(/no such entry/);
    serve(cut(file(BYTES, ETAG), 60_000, 3));
    await fails(/cut short/);
    server.seen.length = 0;
    serve(file(BYTES, ETAG));
    const seen: DownloadProgress[] = [];
    await same(await find({ onDownload: (progress) => seen.push(progress) }), BYTES);
    expect(ranges()).toEqual([expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
    expect(seen[0]!.loaded).toBeGreaterThan(60_000);
    expect(await remains()).toEqual(["m.safetensors"]);
  });
  test("what another server's file begins with is not kept", async () => {
    serve(cut(file(BYTES, ETAG), 60_000, 3));
    await fails(/cut short/);
    const other = payload(250_000, 2);
    serve(file(other, { etag: '"two"' }));
    await same(await find(), other);
  });
  test("a shard that was whole is only checked", async () => {
    serve(file(JSON.stringify({ weightsManifest: [{ paths: ["a.bin", "b.bin"] }] })), "/net/model.json");
    serve(file(BYTES, ETAG), "/net/a.bin");
    serve(status(403), "/net/b.bin");
    await fails(/got 403/, {}, "/net/model.json");
    serve(file("b"), "/net/b.bin");
    server.seen.length = 0;
    const located = await find({}, "/net/model.json");
    await same(located, BYTES, "a.bin");
    expect(server.seen.find(({ url }) => url === "/net/a.bin")!.headers.range).toBe(`bytes=${BYTES.length - 1}-`);
  });
  test("of the process itself, the next one goes on", async () => {
    serve(stall(file(BYTES, ETAG), 100_000, 1));
    const script = join(root, "fetch.ts");
    const source = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
    await writeFile(
      script,
      `import { locate } from ${source("hub/locate.ts")};
       import { nodeRuntime } from ${source("runtimes/node.ts")};
       await locate(${JSON.stringify(`${server.origin}/m.safetensors`)}, nodeRuntime(), {
         cache: ${JSON.stringify(cache)},
         onDownload: ({ loaded }) => { if (loaded >= 100_000) console.log("enough"); },
       });`,
    );
    // Types are stripped by Node 26, which is the one that npm scripts run under.
    const node = join(import.meta.dirname, "../../node_modules/node/bin/node");
    const child = spawn(node, [script], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    await same(await find(), BYTES);
    expect(ranges()[1]).toBe("bytes=100000-");
    expect(await remains()).toEqual(["m.safetensors"]);
  });
  test("by the caller: the AbortError, and the part is kept", async () => {
    serve(stall(file(BYTES, ETAG), 100_000));
    const controller = new AbortController();
    const found = find({ signal: controller.signal, onDownload: () => controller.abort() });
    await expect(found).rejects.toMatchObject({ name: "AbortError" });
    await same(await find(), BYTES);
    expect(ranges()[1]).toMatch(/^bytes=[1-9]/);
  });
});

describe("a checksum", () => {
  const digest = sha256(BYTES);
  const sri = (algorithm: string): string => `${algorithm}-${createHash(algorithm).update(BYTES).digest("base64")}`;
  test.each(["sha256", "sha512"])("asked for by integrity, %s, is that of the file", async (algorithm) => {
    await same(await find({ integrity: sri(algorithm) }), BYTES);
    await same(await find({ integrity: sri(algorithm), offline: true }), BYTES);
  });
  test("asked for by the address is that of the file", async () => {
    await same(await find({}, `/m.safetensors#sha256=${digest}`), BYTES);
    await same(await find({ offline: true }), BYTES);
  });
  test("in the name of a .pth is that of the file", async () => {
    const name = `/resnet-${digest.slice(0, 8)}.pth`;
    serve(file(BYTES), name);
    await same(await find({}, name), BYTES);
  });
  test("in the name of a .pth that is another file's", async () => {
    serve(file(BYTES, ETAG), "/resnet-01234567.pth");
    await failsClean(
      /expected sha256 01234567, got sha256 [0-9a-f]{64}\n {2}hint: .*damaged/,
      {},
      "/resnet-01234567.pth",
    );
  });
  test("that the file has not leaves nothing", () =>
    failsClean(/expected sha256 0{64}, got sha256/, {}, `/m.safetensors#sha256=${"0".repeat(64)}`));
  test("that what is in the cache does not have makes it fetched again; the old one stays until then", async () => {
    await find();
    const other = payload(250_000, 2);
    const path = `/m.safetensors#sha256=${sha256(other)}`;
    await fails(/in the cache: expected sha256 .*, got sha256/, { offline: true }, path);
    await fails(/m.safetensors: expected sha256 .*, got sha256 .*\n {2}hint: .*not the file/, {}, path);
    await same(await find({ offline: true }), BYTES);
    serve(file(other));
    await same(await find({}, path), other);
    await same(await find({ offline: true }), other);
    expect(await remains()).toEqual(["m.safetensors"]);
  });
  test("lets a file go on that has no validator", async () => {
    serve(cut(file(BYTES), 100_000));
    await same(await find({ integrity: sri("sha256") }), BYTES);
    expect(ranges()[1]).toMatch(/^bytes=[1-9]/);
  });
  test("that a file put together from two has not makes it begin again", async () => {
    serve(cut(file(payload(300_000, 9)), 60_000, 3));
    await fails(/cut short/, { integrity: sri("sha256") });
    serve(file(BYTES));
    await same(await find({ integrity: sri("sha256") }), BYTES);
  });
});

describe("a server that fails", () => {
  test("with 500, then not, is asked again", async () => {
    serve(turns(status(500), status(503), file(BYTES)));
    await same(await find(), BYTES);
  });
  test("with 429 is given the time it asks for", async () => {
    serve(turns(status(429, { "retry-after": "1" }), file(BYTES)));
    const start = Date.now();
    await same(await find(), BYTES);
    expect(Date.now() - start).toBeGreaterThan(900);
  });
  test("with 500 for good: three attempts", async () => {
    serve(status(500));
    await failsClean(/got 500 Internal Server Error/);
    expect(server.seen.length).toBe(3);
  });
  test("with 404: one", async () => {
    serve(status(404));
    await failsClean(/expected m.safetensors at http.*, got 404 Not Found\n {2}hint: check the address/);
    expect(server.seen.length).toBe(1);
  });
  test("with silence is cut, and asked again from there", async () => {
    serve(stall(file(BYTES, ETAG), 100_000));
    await same(await find({ stallMs: 200 }), BYTES);
    expect(ranges()[1]).toMatch(/^bytes=[1-9]/);
  });
  test("with silence before its first word is cut", async () => {
    serve(() => {});
    await failsClean(/expected to reach .*, got no byte for 0.1 s/, { stallMs: 100 });
    expect(server.seen.length).toBe(3);
  });
  test("with a loop of redirects", async () => {
    serve(redirect("/b"));
    serve(redirect("/m.safetensors"), "/b");
    await failsClean(/expected to reach .*, got a redirect loop at/);
    expect(server.seen.length).toBe(2);
  });
  test("with redirects without end", async () => {
    for (let i = 0; i < 20; i++) serve(redirect(`/r${i + 1}`), `/r${i}`);
    serve(redirect("/r0"));
    await failsClean(/got more than 10 redirects/);
  });
  test("with a redirect to a file, or to nowhere", async () => {
    for (const to of ["file:///etc/passwd", "http://"]) {
      serve(redirect(to));
      await failsClean(/expected a redirect to an https: address/);
    }
  });
  test.each([
    ["a web page", file("<!doctype html><p>Sign in"), /expected the file m.safetensors, got a web page \(HTML\)/],
    ["text that it calls HTML", file("Sign in", { "content-type": "text/html; charset=utf-8" }), /got a web page/],
    ["JSON", file('{"error": "no such model"}'), /got a JSON file/],
    ["a Git LFS pointer", file("version https://git-lfs.github.com/spec/v1\n"), /got a Git LFS pointer/],
    ["nothing", file(""), /got an empty file/],
  ])("with %s instead of the file", (_, handler, message) => {
    serve(handler);
    return failsClean(message);
  });
  test("with a description that never ends", async () => {
    const blanks = function* (): Generator<Buffer> {
      for (yield Buffer.from("{"); ; ) yield Buffer.alloc(1 << 22, 0x20);
    };
    serve((_, response) => void pipeline(Readable.from(blanks()), response.writeHead(200), () => {}), "/model.json");
    await failsClean(/expected at most 100000000 bytes, got more/, {}, "/model.json");
  });
  test("does not get its secrets into messages", async () => {
    await expect(find({}, "/nope?signature=secret")).rejects.toThrow(/nope\?…, got 404/);
  });
});

describe("a disk", () => {
  test.skipIf(!existsSync("/dev/full"))("that is full is named, and nothing is kept on it", async () => {
    await find();
    const [host] = await readdir(join(cache, "url"));
    const [entry] = await readdir(join(cache, "url", host!));
    await rm(join(cache, "url", host!, entry!), { recursive: true });
    const partial = join(cache, "url", host!, `.part-${entry}`);
    await mkdir(partial);
    await symlink("/dev/full", join(partial, "m.safetensors"));
    server.seen.length = 0;
    await failsClean(/m.safetensors: expected \d+ bytes to be written, got a full disk\n {2}hint: .*--cache DIR/);
    expect(server.seen.length).toBe(1);
  });
  test("that cannot be written is known before anything is fetched", async () => {
    await writeFile(cache, "a file where the folder should be");
    await fails(/expected a folder that can be written/);
    expect(server.seen).toEqual([]);
  });
  test("keeps nothing of an earlier download but what is needed", async () => {
    serve(file(JSON.stringify({ weightsManifest: [{ paths: ["a.bin", "b.bin"] }] })), "/net/model.json");
    serve(file(BYTES, ETAG), "/net/a.bin");
    await fails(/got 404/, {}, "/net/model.json");
    serve(file(JSON.stringify({ weightsManifest: [{ paths: ["c.bin"] }] })), "/net/model.json");
    serve(file("c"), "/net/c.bin");
    const { folder } = await find({}, "/net/model.json");
    expect((await folder.list!()).toSorted()).toEqual([".digests.json", ".origin.json", "c.bin", "model.json"]);
    expect(`${await readFile(join(folder.name, "c.bin"))}`).toBe("c");
  });
});

describe("an address that cannot be one", () => {
  test.each([
    ["http://example.com/m.pth", /expected an https: address.*\n {2}hint: .*insecure/],
    ["https://me:secret@example.com/m.pth", /without a name and password, got one of example.com/],
    ["https://", /expected an address such as/],
    ["https://example.com/m.pth#sha1=00", /expected #sha256= and 64 digits/],
  ])("%j", async (source, message) => {
    const found = locate(source, runtime, { cache });
    await expect(found).rejects.toThrow(TypeError);
    await expect(found).rejects.toThrow(message);
  });
  test("integrity", () => expect(find({ integrity: "md5-AAAA" })).rejects.toThrow(/sha256-… or sha512-…/));
  test("but plain http: is taken when it is asked for", async () => {
    const found = locate("http://resnet-wasm.invalid/m.pth", runtime, { cache, insecure: true });
    await expect(found).rejects.toThrow(/expected to reach http:\/\/resnet-wasm.invalid\/m.pth/);
  });
});
