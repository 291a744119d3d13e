import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { createTar } from "nanotar";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ModelError } from "../../src/errors.ts";
import { locate } from "../../src/hub/locate.ts";
import { openPackage, parseNpm } from "../../src/hub/npm.ts";
import type { DownloadProgress, LocateOptions, Runtime } from "../../src/runtime.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const FILES = { "net/model.json": "{}", "net/a.bin": "shard", "data.json": "[1]" };
const SOURCE = "npm:tiny-net@1.2.3/net/model.json";

let root: string;
let cache: string;
let server: Server;
let address: string;
let runtime: Runtime;
/** What the registry answers, by path; a test breaks one of them. */
let routes: Map<string, Handler>;
let requests: string[];

/** The same bytes at any time of day: `createTar` would put the clock into them. */
const tarball = (files: Record<string, string>) =>
  gzipSync(
    createTar(Object.entries(files).map(([name, data]) => ({ name: `package/${name}`, data, attrs: { mtime: 0 } }))),
  );
const sha512 = (bytes: Uint8Array) => `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
const send =
  (body: string | Uint8Array, status = 200, type = "application/octet-stream"): Handler =>
  (_, response) => {
    response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
  };
const HTML = send("<!DOCTYPE html><title>Sign in</title>", 200, "text/html");

/** Publishes a package. */
function publish(bytes: Uint8Array, integrity: string | undefined = sha512(bytes), name = "tiny-net"): void {
  const dist = { tarball: `${address}files/${name}.tgz`, integrity };
  routes.set(`/${name.replace("/", "%2f")}/1.2.3`, send(JSON.stringify({ name, dist }), 200, "application/json"));
  routes.set(`/files/${name}.tgz`, send(bytes));
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "resnet-wasm-test-"));
  cache = join(root, "cache");
  routes = new Map();
  requests = [];
  server = createServer((request, response) => {
    requests.push(request.url!);
    (routes.get(request.url!) ?? send("{}", 404))(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  runtime = { ...nodeRuntime(), registry: async () => address };
  publish(tarball(FILES));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(root, { recursive: true, force: true });
});

const find = (options: LocateOptions = {}, source = SOURCE) => locate(source, runtime, { cache, ...options });

async function text(located: { folder: { open(path: string): Promise<unknown> } }, path: string): Promise<string> {
  const file = (await located.folder.open(path)) as Awaited<ReturnType<Runtime["openFile"]>>;
  const bytes = await file.read(0, file.size);
  await file.close();
  return new TextDecoder().decode(bytes);
}

/** Everything in the cache, half-written entries included. */
async function remains(): Promise<string[]> {
  const items = await readdir(cache, { recursive: true, withFileTypes: true }).catch(() => []);
  return items.filter((item) => item.isFile() || item.name.startsWith(".tmp-")).map((item) => item.name);
}

async function fails(message: RegExp, options: LocateOptions = {}, source = SOURCE): Promise<void> {
  const found = find(options, source);
  await expect(found).rejects.toThrow(ModelError);
  await expect(found).rejects.toThrow(message);
  expect(await remains()).toEqual([]);
}

describe("a package", () => {
  test("is fetched with progress, checked and unpacked", async () => {
    const seen: DownloadProgress[] = [];
    const located = await find({ onDownload: (progress) => seen.push(progress) });
    expect(located.entry).toBe("net/model.json");
    expect(await text(located, "net/model.json")).toBe("{}");
    expect(await text(located, "net/a.bin")).toBe("shard");
    const size = tarball(FILES).byteLength;
    expect(seen.at(-1)).toEqual({ name: "tiny-net@1.2.3", loaded: size, total: size });
  });

  test("is fetched once, and then needs no network", async () => {
    await find();
    const before = requests.length;
    await find();
    expect((await find({ offline: true })).entry).toBe("net/model.json");
    expect(requests.length).toBe(before);
  });

  test("may be named by its folder, or whole: the one model in it is found", async () => {
    expect((await find({}, "npm:tiny-net@1.2.3/net")).entry).toBe("net/model.json");
    expect((await find({}, "npm:tiny-net@1.2.3")).entry).toBe("net/model.json");
    expect((await find({}, "npm:tiny-net@1.2.3/")).entry).toBe("net/model.json");
    const folder = await openPackage(parseNpm("npm:tiny-net@1.2.3"), runtime, { cache });
    expect(await text({ folder }, "data.json")).toBe("[1]");
  });
  test("with a model by another name is read for it", async () => {
    publish(tarball({ "web/net.json": '{"weightsManifest": []}', "package.json": "{}", "web/a.bin": "" }));
    expect((await find({}, "npm:tiny-net@1.2.3")).entry).toBe("web/net.json");
  });
  test("in shards is found by its index", async () => {
    const shards = { "m/net-1-of-2.safetensors": "", "m/net-2-of-2.safetensors": "" };
    publish(tarball({ "m/net.safetensors.index.json": "{}", ...shards, "readme.md": "" }));
    expect((await find({}, "npm:tiny-net@1.2.3")).entry).toBe("m/net.safetensors.index.json");
  });
  test("with several models lists them", async () => {
    publish(tarball({ ...FILES, "big/model.safetensors": "", "node_modules/x/model.json": "{}" }));
    const error = await find({}, "npm:tiny-net@1.2.3").catch((reason) => reason);
    expect(error).toMatchObject({ code: "not-found", subject: "tiny-net@1.2.3" });
    expect(error.message).toMatch(/got big\/model.safetensors, net\/model.json\n {2}hint: name the file itself/);
  });
  test("without a model lists what there is", async () => {
    publish(tarball({ "readme.md": "", "lib/index.js": "" }));
    const error = await find({}, "npm:tiny-net@1.2.3").catch((reason) => reason);
    expect(error).toMatchObject({ code: "not-found" });
    expect(error.message).toMatch(/^tiny-net@1.2.3: expected one model.*, got none, only .*lib\/index.js, readme.md$/);
  });

  test("may have a scope", async () => {
    publish(tarball(FILES), undefined, "@me/net");
    expect((await find({}, "npm:@me/net@1.2.3/net/model.json")).entry).toBe("net/model.json");
  });

  test("may have a path above 100 bytes, in ustar's prefix field", async () => {
    const tar = createTar([{ name: "model.json", data: "{}" }]);
    const prefix = `package/${"deep/".repeat(25)}x`;
    tar.set(new TextEncoder().encode(prefix), 345);
    publish(gzipSync(tar));
    expect((await find({}, `npm:tiny-net@1.2.3/${prefix.slice(8)}/model.json`)).entry).toMatch(
      /^deep\/.*x\/model.json$/,
    );
  });

  test("with the integrity asked for is taken", async () => {
    await find({ integrity: sha512(tarball(FILES)) });
    await find({ integrity: sha512(tarball(FILES)) });
  });

  test("asked for twice at once is there once, whole", async () => {
    const both = await Promise.all([find(), find()]);
    for (const located of both) expect(await text(located, "net/a.bin")).toBe("shard");
    expect(await remains()).toEqual(expect.not.arrayContaining([expect.stringMatching(/^\.tmp-/)]));
  });

  test("comes after a failure of the server and a broken connection", async () => {
    const good = routes.get("/files/tiny-net.tgz")!;
    const answers: Handler[] = [send("oops", 503), (request) => request.socket.destroy(), good];
    routes.set("/files/tiny-net.tgz", (...args) => answers.shift()!(...args));
    expect((await find()).entry).toBe("net/model.json");
    expect(answers).toEqual([]);
  });
});

describe("a package that is not what it should be leaves nothing in the cache", () => {
  test("unknown: 404", () => fails(/expected tiny-net@9.9.9 at .*, got 404/, {}, "npm:tiny-net@9.9.9/model.json"));
  test("tarball gone: 404", () => {
    routes.delete("/files/tiny-net.tgz");
    return fails(/got 404 Not Found/);
  });
  test("forbidden: 403, without another attempt", async () => {
    routes.set("/files/tiny-net.tgz", send("no", 403));
    await fails(/hub: expected to reach .*, got 403 Forbidden/);
    expect(requests.length).toBe(2);
  });
  test("the server keeps failing: three attempts", async () => {
    routes.set("/files/tiny-net.tgz", send("oops", 500));
    await fails(/got 500 Internal Server Error\n {2}hint: .*works offline/);
    expect(requests.length).toBe(4);
  });
  test("a body shorter than its content-length", () => {
    routes.set("/files/tiny-net.tgz", (_, response) => {
      response.writeHead(200, { "content-length": 5000 }).write(Buffer.alloc(1000), () => response.destroy());
    });
    return fails(/\.tgz: expected 5000 bytes, got 1000, then .*\n {2}hint: .*cut short/);
  });
  test("wrong checksum", () => {
    publish(tarball(FILES), sha512(Uint8Array.of(1)));
    return fails(/\.tgz: expected sha512-.*, got sha512-/);
  });
  test("the registry has another checksum than the one asked for", () =>
    fails(/expected sha512-.*, got sha512-.*\n {2}hint: the registry has other bytes/, {
      integrity: sha512(Uint8Array.of(1)),
    }));
  test("no checksum", () => {
    publish(tarball(FILES), "sha1-abc");
    return fails(/expected a sha512/);
  });
  test("HTML instead of the description", () => {
    routes.set("/tiny-net/1.2.3", HTML);
    return fails(/expected the description of a package, got a web page/);
  });
  test("HTML instead of the tarball", () => {
    routes.set("/files/tiny-net.tgz", HTML);
    return fails(/\.tgz: expected a package .*, got a web page/);
  });
  test("a broken gzip", () => {
    const bytes = tarball(FILES);
    bytes.fill(0x55, 20, 60);
    publish(bytes);
    return fails(/broken gzip/);
  });
  test("a broken tar", () => {
    publish(gzipSync(createTar([{ name: "package/a", data: "x".repeat(20_000) }]).subarray(0, 4096)));
    return fails(/broken tar/);
  });
  test("one file twice", () => {
    const file = { name: "package/a", data: "x" };
    publish(gzipSync(createTar([file, file])));
    return fails(/expected one file "a", got two/);
  });
  test("names that climb out stay inside, or outside of the entry", async () => {
    const names = ["package/../../../evil", "package/../../x/evil", "/package/ok", "package/net/model.json"];
    publish(gzipSync(createTar(names.map((name) => ({ name, data: "{}" })))));
    await find();
    const files = (await readdir(root, { recursive: true })).filter((name) => name.endsWith("evil"));
    expect(files).toEqual([join("cache", "npm", "tiny-net@1.2.3", "evil")]);
  });
  test("no network", () => {
    runtime = { ...runtime, registry: async () => "http://127.0.0.1:1/" };
    return fails(/hub: expected to reach http.*, got .+\n {2}hint: .*works offline/);
  });
});

describe("stopped midway", () => {
  test("while the body comes: the AbortError, and nothing kept", async () => {
    routes.set("/files/tiny-net.tgz", (_, response) => {
      response.writeHead(200, { "content-length": 5000 }).write(Buffer.alloc(1000));
    });
    const controller = new AbortController();
    const found = find({ signal: controller.signal, onDownload: () => controller.abort() });
    await expect(found).rejects.toMatchObject({ name: "AbortError" });
    expect(await remains()).toEqual([]);
  });
  test("between attempts", async () => {
    routes.set("/tiny-net/1.2.3", send("oops", 500));
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    await expect(find({ signal: controller.signal })).rejects.toMatchObject({ name: "AbortError" });
    expect(requests.length).toBe(1);
  });
  test("what a killed process left is no entry, and is swept when it is a day old", async () => {
    for (const name of [".tmp-old", ".tmp-new"]) await mkdir(join(cache, "npm", name, "net"), { recursive: true });
    await utimes(join(cache, "npm", ".tmp-old"), new Date(0), new Date(0));
    await expect(find({ offline: true })).rejects.toThrow(/no such entry/);
    await find();
    expect((await readdir(join(cache, "npm"))).sort()).toEqual([".tmp-new", "tiny-net@1.2.3"]);
  });
});

describe("the cache", () => {
  test("offline without an entry", () =>
    fails(/hub: expected tiny-net@1.2.3 in the cache .*\n {2}hint: /, { offline: true }));
  test("that cannot be written is known before anything is fetched", async () => {
    await writeFile(cache, "a file where the folder should be");
    await expect(find()).rejects.toThrow(/cache .*: expected a folder that can be written.*\n {2}hint: .*--cache DIR/);
    expect(requests).toEqual([]);
  });
  test("has another checksum than the one asked for", async () => {
    await find();
    const other = tarball({ ...FILES, "data.json": "[2]" });
    const integrity = sha512(other);
    const found = find({ integrity, offline: true });
    await expect(found).rejects.toThrow(/in the cache: expected sha512-.*, got sha512-/);
    await expect(find({ integrity })).rejects.toMatchObject({ code: "integrity", subject: "tiny-net@1.2.3" });
    expect(await text(await find(), "data.json")).toBe("[1]");
    publish(other);
    expect(await text(await find({ integrity }), "data.json")).toBe("[2]");
    expect(await text(await find({ offline: true }), "data.json")).toBe("[2]");
  });
  test("is the user's by default", async () => {
    vi.stubEnv("XDG_CACHE_HOME", cache);
    await locate(SOURCE, runtime);
    const kept =
      process.platform === "linux"
        ? await readFile(join(cache, "resnet-wasm/npm/tiny-net@1.2.3/data.json"), "utf8")
        : "[1]";
    expect(kept).toBe("[1]");
  });
  test("has the package but not the path", async () => {
    await expect(find({}, "npm:tiny-net@1.2.3/nope.json")).rejects.toThrow(
      /nope.json: expected a file, got no such file/,
    );
  });
  test("does not follow a path out of the package", async () => {
    await expect(find({}, "npm:tiny-net@1.2.3/../../x")).rejects.toThrow(/expected a path inside the folder/);
  });
});

describe("a local source", () => {
  const put = async (...names: string[]) => {
    for (const name of names) await writeFile(join(root, name), "x");
  };
  test("a file", async () => {
    await put("m.safetensors");
    const located = await find({}, join(root, "m.safetensors"));
    expect(located.entry).toBe("m.safetensors");
    expect(await text(located, "m.safetensors")).toBe("x");
  });
  test("a folder with one model", async () => {
    await put("any.safetensors", "notes.txt");
    expect((await find({}, root)).entry).toBe("any.safetensors");
    await put("model.safetensors");
    expect((await find({}, root)).entry).toBe("model.safetensors");
    await put("model.json");
    await expect(find({}, root)).rejects.toThrow(/got model.json, model.safetensors|got model.safetensors, model.json/);
  });
  test("a folder without a model", async () => {
    await expect(find({}, root)).rejects.toThrow(/expected one model.safetensors.*got none/);
  });
  test("nothing there", async () => {
    await expect(find({}, join(root, "no", "m.json"))).rejects.toThrow(/m.json: expected a file, got no such file/);
  });
});

describe("a source that cannot be one", () => {
  test.each([
    ["npm:tiny-net/net/model.json", /an exact version/],
    ["npm:tiny-net@latest/model.json", /an exact version.*"latest"/],
    ["npm:tiny-net@^1.2.3/model.json", /an exact version/],
    ["npm:../x@1.2.3", /expected npm:package@1.2.3/],
    ["ftp://host/model.json", /expected a path or npm:/],
    ["", /an empty name/],
  ])("%j", async (source, message) => {
    await expect(find({}, source)).rejects.toThrow(TypeError);
    await expect(find({}, source)).rejects.toThrow(message);
  });
});

describe("the node runtime", () => {
  test("compiles each codec once", async () => {
    const { module } = nodeRuntime();
    expect(module("webp")).toBe(module("webp"));
    expect(await module("webp")).toBeInstanceOf(WebAssembly.Module);
    expect(await module("jpeg")).toBeInstanceOf(WebAssembly.Module);
  });
  test("ends the registry's address with a slash", async () => {
    vi.stubEnv("npm_config_registry", "http://localhost:4873");
    expect(await nodeRuntime().registry()).toBe("http://localhost:4873/");
  });
  test("reads a file at any place, and not beyond", async () => {
    const path = join(root, "f");
    await writeFile(path, "0123456789");
    const file = await nodeRuntime().openFile(path);
    expect(new TextDecoder().decode(await file.read(3, 4))).toBe("3456");
    await expect(file.read(8, 4)).rejects.toThrow(ModelError);
    await file.close();
  });
  test("a folder is not a file", () =>
    expect(nodeRuntime().openFile(root)).rejects.toThrow(/expected a file, got a folder/));
});
