/** Short names, bare `owner/repo` and names that are neither, against local servers of the hub's and the registry's protocols. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { gzipSync } from "node:zlib";
import { createTar } from "nanotar";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Folder, fromBytes } from "../../src/bytes.ts";
import { loadWith } from "../../src/classifier.ts";
import { ModelError } from "../../src/errors.ts";
import { locate } from "../../src/hub/locate.ts";
import { inspectWith } from "../../src/inspect.ts";
import { checkPreset, openModelWith } from "../../src/model.ts";
import { readConfig } from "../../src/models/config.ts";
import { PRETRAINED, type Pretrained } from "../../src/models/pretrained.ts";
import { RESNETS, resnetSpec } from "../../src/models/resnet.ts";
import type { Runtime } from "../../src/runtime.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { cachedEntries } from "../../src/runtimes/node-cache.ts";
import { withTwins } from "../../src/twins.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { file, gitHash, redirect, sha256, startServer, status, type TestServer } from "./server.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS = goldenCheckpoint({ ...resnetSpec("resnet20"), classes: 1000 });

let root: string;
let cache: string;
let hub: TestServer;
let runtime: Runtime;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "resnet-wasm-zoo-"));
  cache = join(root, "cache");
  hub = await startServer();
  for (const name of ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE"]) vi.stubEnv(name, "");
  vi.stubEnv("HF_HOME", join(root, "hf"));
  vi.stubEnv("HF_ENDPOINT", hub.origin);
  vi.stubEnv("npm_config_registry", `${hub.origin}/`);
  runtime = withTwins(nodeRuntime());
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  await rm(root, { recursive: true });
});

const sri = (algorithm: string, bytes: Uint8Array): string =>
  `${algorithm}-${createHash(algorithm).update(bytes).digest("base64")}`;
const at = (path: string, revision: string): string => `/o/r/resolve/${revision}/${path}`;
/** What had no answer. */
const missed = (): string[] => hub.seen.map(({ url }) => url).filter((url) => !hub.routes.has(url));
const textIn = (files: Readonly<Record<string, string>>): Folder => ({
  name: "folder",
  async open(path) {
    if (files[path] === undefined) throw new ModelError("not-found", `no ${path}`);
    return fromBytes(path, new TextEncoder().encode(files[path]));
  },
});

/** A small model as the hub serves it at a revision: the weights from another place. */
function publish(revision = COMMIT, bytes: Uint8Array = WEIGHTS): void {
  const facts = { "x-repo-commit": COMMIT, "x-linked-etag": `"${sha256(bytes)}"`, "x-linked-size": `${bytes.length}` };
  hub.routes.set(at("model.safetensors", revision), redirect(`${hub.origin}/bucket/${revision}`, facts));
  hub.routes.set(`/bucket/${revision}`, file(bytes, { etag: '"bucket"' }));
}

/** A table with two small models more, for one test. */
const KNOWN: Pretrained = {
  source: `hf:o/r@${COMMIT}/model.safetensors`,
  integrity: sri("sha256", WEIGHTS),
  arch: "resnet20",
  preprocess: "cifar",
  credit: "this test",
  licence: "MIT",
  bytes: WEIGHTS.length,
  top1: 0.1,
};
const TWIN: Pretrained = { ...KNOWN, source: "int8:tiny" };
const table = PRETRAINED as Record<string, Pretrained>;
beforeEach(() => void Object.assign(table, { tiny: KNOWN, "tiny-int8": { ...TWIN, integrity: undefined } }));
afterEach(() => {
  delete table.tiny;
  delete table["tiny-int8"];
});

describe("the table", () => {
  const named = Object.entries(PRETRAINED);
  test.each(named)("%s is pinned, of a network that exists, with preprocessing of 224 pixels", (_, known) => {
    expect(RESNETS).toHaveProperty(known.arch);
    expect(checkPreset(known.preprocess).crop).toEqual([224, 224]);
    expect(known.source).toMatch(
      /^(?:hf:timm\/[\w.]+@[0-9a-f]{40}\/model\.safetensors|npm:.*@\d+\.\d+\.\d+\/.*|int8:\w+)$/,
    );
    if (known.source.startsWith("npm:")) expect(known.integrity).toMatch(/^sha512-/);
  });
  test.each([
    // What the repositories' config.json say; of the tv2 weights, the test_… fields.
    ["resnet18", { input_size: [3, 224, 224], interpolation: "bicubic", crop_pct: 0.95, crop_mode: "center" }],
    ["resnet152", { input_size: [3, 224, 224], interpolation: "bilinear", crop_pct: 0.965, crop_mode: "center" }],
  ])("%s has the preprocessing of its configuration", async (name, fields) => {
    const normalisation = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], num_classes: 1000 };
    const config = { architecture: "resnet18", pretrained_cfg: { ...fields, ...normalisation } };
    const { preprocess } = await readConfig(textIn({ "config.json": JSON.stringify(config) }));
    expect(checkPreset(PRETRAINED[name]!.preprocess)).toEqual(preprocess);
  });
});

describe("a short name", () => {
  test("asks for its weights and for nothing else, once", async () => {
    publish();
    const model = await loadWith(runtime, "tiny", { cache });
    expect(model.model.labels.slice(0, 3)).toEqual(["tench", "goldfish", "great white shark"]);
    expect(model.model.labels).toHaveLength(1000);
    await model.dispose();
    expect(hub.seen.map(({ url }) => url)).toEqual([at("model.safetensors", COMMIT), `/bucket/${COMMIT}`]);
    await (await loadWith(runtime, "tiny", { cache, offline: true })).dispose();
    expect(hub.seen).toHaveLength(2);
    expect((await inspectWith(runtime, "tiny", { cache })).licence).toBe("MIT");
  });
  test("does not become what was fetched with its configuration, nor the other way round", async () => {
    publish();
    hub.routes.set(at("config.json", COMMIT), file(`{"model_type":"resnet"}`, { "x-repo-commit": COMMIT }));
    hub.routes.set(at("preprocessor_config.json", COMMIT), file("{}", { "x-repo-commit": COMMIT }));
    await (await openModelWith(runtime, "tiny", { cache })).close();
    await expect(openModelWith(runtime, KNOWN.source, { cache })).rejects.toThrow(/config/);
    expect(hub.seen.some(({ url }) => url === at("config.json", COMMIT))).toBe(true);
  });
  test("whose bytes are others is refused", async () => {
    const [, path] = /^hf:(.*)$/.exec(PRETRAINED.resnet18!.source.replace("@", "/resolve/"))!;
    hub.routes.set(`/${path}`, file(WEIGHTS));
    await expect(loadWith(runtime, "resnet18", { cache })).rejects.toMatchObject({ code: "integrity" });
    expect(missed()).toEqual([]);
  });
  test("is described without a download", async () => {
    const found = await inspectWith(runtime, "resnet18", { cache });
    expect(found).toMatchObject({ parameters: 11_689_512, dtypes: [], licence: "Apache-2.0" });
    expect(found.guesses).toEqual([]);
    expect(hub.seen).toEqual([]);
  });
  test("from npm's registry", async () => {
    const tar = createTar([{ name: "package/net/model.safetensors", data: WEIGHTS, attrs: { mtime: 0 } }]);
    const tarball = gzipSync(tar);
    const integrity = sri("sha512", tarball);
    table.tiny = { ...KNOWN, source: "npm:tiny-net@1.2.3/net/model.safetensors", integrity };
    const dist = { tarball: `${hub.origin}/tiny.tgz`, integrity };
    hub.routes.set("/tiny-net/1.2.3", file(JSON.stringify({ dist }), { "content-type": "application/json" }));
    hub.routes.set("/tiny.tgz", file(tarball));
    await (await loadWith(runtime, "tiny", { cache })).dispose();
    expect(hub.seen.map(({ url }) => url)).toEqual(["/tiny-net/1.2.3", "/tiny.tgz"]);
  });
  test("of an int8 twin: made once of the f32 weights, without photos", async () => {
    publish();
    const exact = await loadWith(runtime, "tiny", { cache });
    const twin = await loadWith(runtime, "tiny-int8", { cache });
    expect(twin.model.graph.nodes[0]!.int8).toBeDefined();
    expect(twin.model.labels).toEqual(exact.model.labels);
    const photo = { width: 32, height: 32, data: Uint8Array.from({ length: 3072 }, (_, i) => (i * 7) % 256) };
    const [want, got] = [await exact.features(photo), await twin.features(photo)];
    const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    const cosine = dot(want.data, got.data) / Math.sqrt(dot(want.data, want.data) * dot(got.data, got.data));
    expect(cosine).toBeGreaterThan(0.99);
    await exact.dispose();
    await twin.dispose();
    const keys = (await cachedEntries(cache)).map(({ key }) => key.replace(/@.*/, ""));
    expect(keys).toEqual(["hf/o/r", "int8/tiny"]);
    hub.routes.clear();
    await rm(join(cache, "hf"), { recursive: true });
    await (await loadWith(runtime, "tiny-int8", { cache })).dispose();
  });
});

describe("owner/repo", () => {
  const config = JSON.stringify({ architecture: "resnet20", num_classes: 1000 });
  const whole = (): void => {
    publish("main");
    publish();
    for (const revision of ["main", COMMIT]) {
      hub.routes.set(
        at("config.json", revision),
        file(config, { etag: `"${gitHash(Buffer.from(config))}"`, "x-repo-commit": COMMIT }),
      );
    }
  };
  const sourceOf = async (source: string): Promise<string> => {
    const model = await openModelWith(runtime, source, { cache, preprocess: "cifar" });
    await model.close();
    return model.guesses.find(({ key }) => key === "source")!.message;
  };
  test("is a repository of the hub, and says so", async () => {
    whole();
    expect(await sourceOf("o/r")).toBe('"o/r" is hf:o/r, because there is no such path');
  });
  test("is a folder or file of that name first, and says so", async () => {
    whole();
    await mkdir(join(root, "o", "r"), { recursive: true });
    await writeFile(join(root, "o", "r", "model.safetensors"), WEIGHTS);
    await writeFile(join(root, "o", "file"), WEIGHTS);
    const before = process.cwd();
    process.chdir(root);
    try {
      expect(await sourceOf("o/r")).toBe('"o/r" is a path here; hf:o/r is the repository of that name');
      expect(await sourceOf("o/file")).toMatch(/^"o\/file" is a path here/);
      await mkdir(join(root, "o", "empty"));
      await expect(sourceOf("o/empty")).rejects.toThrow(/o\/empty: expected one model/);
    } finally {
      process.chdir(before);
    }
    expect(hub.seen).toEqual([]);
  });
  test("that is neither says what was tried", async () => {
    hub.routes.set(at("config.json", "main"), status(404, { "x-error-code": "RepoNotFound" }));
    await expect(sourceOf("o/r")).rejects.toThrow(
      /expected a repository of that name[\s\S]*"o\/r" is hf:o\/r, because there is no such path/,
    );
    await expect(sourceOf("o/r.safetensors")).rejects.toThrow(/no such file/);
  });
  test("where folders cannot be listed is never asked for as a path", async () => {
    whole();
    const folder: Runtime["folder"] = (path) => {
      throw new Error(`asked for ${path}`);
    };
    const listless = {
      ...runtime,
      folder: (path: string) => (path === "o/r" ? { name: path, open: folder as never } : runtime.folder(path)),
    };
    const located = await locate("o/r", listless, { cache });
    expect(located.guesses).toEqual([{ key: "source", message: '"o/r" is hf:o/r, and ./o/r a path' }]);
  });
});

describe("an unknown name", () => {
  test.each([
    [
      "resnet15",
      /got "resnet15"\n {2}hint: did you mean resnet152 or resnet18 or resnet34\? there are resnet18, resnet34/,
    ],
    ["ResNet-50", /did you mean resnet50/],
    ["mobilenet", /hint: there are resnet18.*owner\/repo of Hugging Face/],
    ["resnet18-int8", /resnet-wasm quantize resnet18 --calibrate PHOTOS --out resnet18-int8\.safetensors/],
    ["resnext50_32x4d", /is a network without published weights/],
  ])("%s", async (name, message) => {
    const error: unknown = await loadWith(runtime, name, { cache }).catch((reason) => reason);
    expect(error).toMatchObject({ name: "ModelError", code: "not-found", subject: name });
    expect((error as Error).message).toMatch(message);
  });
  test("a path keeps its own error", async () => {
    await expect(loadWith(runtime, "resnet18.safetensors", { cache })).rejects.toThrow(/no such file/);
    await expect(loadWith(runtime, "./resnet18x", { cache })).rejects.toThrow(/no such file/);
  });
});

describe("where missing files would be errors in a console", () => {
  const API = "/api/models/o/r/revision/main?blobs=true";
  const small = "{}";
  const listing = (digest = sha256(WEIGHTS)) => ({
    sha: COMMIT,
    siblings: [
      { rfilename: "config.json", blobId: gitHash(Buffer.from(small)) },
      { rfilename: "model.safetensors", blobId: "0".repeat(40), lfs: { sha256: digest, size: WEIGHTS.length } },
    ],
  });
  const page = (): Runtime => ({
    ...runtime,
    huggingFace: async () => ({ endpoint: hub.origin, token: undefined, cache: undefined, lists: true }),
  });
  test("the hub is asked what there is, and only that is fetched", async () => {
    hub.routes.set(API, file(JSON.stringify(listing())));
    hub.routes.set(at("config.json", COMMIT), file(small));
    hub.routes.set(at("model.safetensors", COMMIT), file(WEIGHTS));
    const located = await locate("hf:o/r", page(), { cache });
    expect(located.entry).toBe("model.safetensors");
    expect(hub.seen.map(({ url }) => url)).toEqual([API, at("config.json", COMMIT), at("model.safetensors", COMMIT)]);
    expect(missed()).toEqual([]);
  });
  test("its checksums are those that files must have", async () => {
    hub.routes.set(API, file(JSON.stringify(listing("1".repeat(64)))));
    hub.routes.set(at("config.json", COMMIT), file(small));
    hub.routes.set(at("model.safetensors", COMMIT), file(WEIGHTS));
    await expect(locate("hf:o/r", page(), { cache })).rejects.toMatchObject({ code: "integrity" });
  });
  test("a mirror without the API is asked for each file", async () => {
    publish("main");
    publish();
    expect((await locate("hf:o/r", page(), { cache })).entry).toBe("model.safetensors");
  });
  test("an unknown repository is one", async () => {
    hub.routes.set(API, status(404, { "x-error-code": "RepoNotFound" }));
    await expect(locate("hf:o/r", page(), { cache })).rejects.toThrow(/expected a repository of that name/);
    expect(hub.seen).toHaveLength(1);
  });
});
