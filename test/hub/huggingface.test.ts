/** `hf:owner/repo` against a server of the hub's layout: what it serves, redirects, refuses and breaks. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fromBytes } from "../../src/bytes.ts";
import { loadWith } from "../../src/classifier.ts";
import { ModelError } from "../../src/errors.ts";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";
import { locate } from "../../src/hub/locate.ts";
import { type ResNetSpec, resnetSpec } from "../../src/models/resnet.ts";
import type { Located, LocateOptions, Runtime } from "../../src/runtime.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { goldenInput } from "../golden/weights.ts";
import {
  cut,
  file,
  gitHash,
  type Handler,
  payload,
  redirect,
  sha256,
  startServer,
  status,
  type TestServer,
  turns,
} from "./server.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS = payload(200_000);
const CONFIG = JSON.stringify({ model_type: "resnet" });

let root: string;
let cache: string;
let hub: TestServer;
/** Where the hub keeps large files. */
let bucket: TestServer;
let runtime: Runtime;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "resnet-wasm-hf-"));
  cache = join(root, "cache");
  [hub, bucket] = [await startServer(), await startServer()];
  for (const name of ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE"]) vi.stubEnv(name, "");
  vi.stubEnv("HF_HOME", join(root, "hf"));
  vi.stubEnv("HF_ENDPOINT", hub.origin);
  runtime = nodeRuntime();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all([hub.close(), bucket.close()]);
  await rm(root, { recursive: true });
});

const at = (path: string, revision = "main"): string => `/o/r/resolve/${revision}/${path}`;

/** A small file, as git has it. */
function small(path: string, body: string | Uint8Array, revision = "main"): void {
  const etag = `"${gitHash(Buffer.from(body as Uint8Array))}"`;
  const handler = file(body, { etag, "x-repo-commit": COMMIT });
  hub.routes.set(at(path, revision), handler);
  hub.routes.set(at(path, COMMIT), handler);
}

/** A large file: the hub tells its checksum and sends to the bucket. */
function large(
  path: string,
  bytes: Uint8Array,
  handler: Handler = file(bytes, { etag: '"bucket"' }),
  digest = sha256(bytes),
): void {
  const facts = { "x-repo-commit": COMMIT, "x-linked-etag": `"${digest}"`, "x-linked-size": `${bytes.length}` };
  for (const revision of ["main", COMMIT])
    hub.routes.set(at(path, revision), redirect(`${bucket.origin}/${path}`, facts));
  bucket.routes.set(`/${path}`, handler);
}

function publish(): void {
  small("config.json", CONFIG);
  small("preprocessor_config.json", "{}");
  large("model.safetensors", WEIGHTS);
}

const find = (source = "hf:o/r", options: LocateOptions = {}): Promise<Located> =>
  locate(source, runtime, { cache, stallMs: 500, ...options });

async function bytesOf({ folder, entry }: Located, path = entry): Promise<Uint8Array> {
  const opened = await folder.open(path);
  try {
    return await opened.read(0, opened.size);
  } finally {
    await opened.close();
  }
}

async function fails(message: RegExp, source?: string, options?: LocateOptions): Promise<void> {
  const error: unknown = await find(source, options).catch((reason) => reason);
  expect(error).toBeInstanceOf(ModelError);
  expect((error as Error).message).toMatch(message);
}

describe("a repository", () => {
  test("comes with its configuration, of one commit, and is kept", async () => {
    publish();
    const located = await find();
    expect(located.entry).toBe("model.safetensors");
    expect(sha256(await bytesOf(located))).toBe(sha256(WEIGHTS));
    expect(`${Buffer.from(await bytesOf(located, "config.json"))}`).toBe(CONFIG);
    expect(hub.seen.map(({ url }) => url)).toEqual([
      at("config.json"),
      ...["model.safetensors", "preprocessor_config.json"].map((path) => at(path, COMMIT)),
    ]);
    hub.routes.clear();
    expect(sha256(await bytesOf(await find("hf:o/r", { offline: true })))).toBe(sha256(WEIGHTS));
  });
  test("at a revision", async () => {
    publish();
    small("config.json", CONFIG, "refs%2Fpr%2F3");
    await find("hf:o/r@refs/pr/3");
    expect(hub.seen[0]!.url).toBe(at("config.json", "refs%2Fpr%2F3"));
  });
  test("whose file is named", async () => {
    publish();
    large("sub/other.bin", WEIGHTS);
    expect((await find("hf:o/r/sub/other.bin")).entry).toBe("sub/other.bin");
  });
  test("in shards: the index and all that it names", async () => {
    small("config.json", CONFIG);
    const index = { weight_map: { a: "model-1.safetensors", b: "model-2.safetensors", c: "model-1.safetensors" } };
    small("model.safetensors.index.json", JSON.stringify(index));
    large("model-1.safetensors", WEIGHTS);
    large("model-2.safetensors", WEIGHTS.subarray(1));
    const located = await find();
    expect(located.entry).toBe("model.safetensors.index.json");
    expect(sha256(await bytesOf(located, "model-2.safetensors"))).toBe(sha256(WEIGHTS.subarray(1)));
  });
  test("with PyTorch's weights only", async () => {
    small("config.json", CONFIG);
    large("pytorch_model.bin", WEIGHTS);
    expect((await find()).entry).toBe("pytorch_model.bin");
  });
  test("goes on after a cut, with Range", async () => {
    publish();
    large("model.safetensors", WEIGHTS, cut(file(WEIGHTS, { etag: '"b"' }), 50_000));
    expect(sha256(await bytesOf(await find()))).toBe(sha256(WEIGHTS));
    expect(bucket.seen[1]!.headers.range).toMatch(/^bytes=[1-9]\d*-$/);
  });
  test("behind a 500 that passes", async () => {
    publish();
    hub.routes.set(at("config.json"), turns(status(500), hub.routes.get(at("config.json"))!));
    expect((await find()).entry).toBe("model.safetensors");
  });
});

describe("the environment", () => {
  test("HF_TOKEN goes to the hub, and not where it redirects to", async () => {
    vi.stubEnv("HF_TOKEN", "hf_secret");
    publish();
    await find();
    expect(hub.seen.every(({ headers }) => headers.authorization === "Bearer hf_secret")).toBe(true);
    expect(bucket.seen.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });
  test("HF_HOME has the token that a login left", async () => {
    await mkdir(join(root, "hf"), { recursive: true });
    await writeFile(join(root, "hf", "token"), "hf_left\n");
    publish();
    await find();
    expect(hub.seen[0]!.headers.authorization).toBe("Bearer hf_left");
  });
  test("HF_HOME has models of the hub's own programs, which are read where they are", async () => {
    const model = join(root, "hf", "hub", "models--o--r");
    await mkdir(join(model, "refs"), { recursive: true });
    await mkdir(join(model, "snapshots", COMMIT), { recursive: true });
    await writeFile(join(model, "refs", "main"), COMMIT);
    await writeFile(join(model, "snapshots", COMMIT, "config.json"), CONFIG);
    await writeFile(join(model, "snapshots", COMMIT, "model.safetensors"), WEIGHTS);
    expect(sha256(await bytesOf(await find()))).toBe(sha256(WEIGHTS));
    expect(hub.seen).toEqual([]);
  });
  test("HF_ENDPOINT that is no address", async () => {
    vi.stubEnv("HF_ENDPOINT", "not an address");
    await expect(find()).rejects.toMatchObject({ name: "OptionError", option: "HF_ENDPOINT" });
  });
});

describe("refused", () => {
  const refusal = (code: number, error?: string): Handler =>
    status(code, error === undefined ? {} : { "x-error-code": error });
  test("an unknown repository", async () => {
    hub.routes.set(at("config.json"), refusal(404, "RepoNotFound"));
    await fails(/hub: o\/r@main at .*: expected a repository of that name, got 404/);
  });
  test("an unknown revision", async () => {
    hub.routes.set(at("config.json", "v9"), refusal(404, "RevisionNotFound"));
    await fails(/o\/r@v9 at .*: expected a revision of that name, got 404/, "hf:o/r@v9");
  });
  test("a repository without weights names what was looked for", async () => {
    small("config.json", CONFIG);
    await fails(/expected one of model\.safetensors, .*, got 404 for all of them\n {2}hint: name the weight file/);
  });
  test("a gated repository, without a token and with one", async () => {
    hub.routes.set(at("config.json"), refusal(401));
    await fails(/expected a repository to read, got 401.*\n {2}hint: if it is private or gated, set HF_TOKEN/);
    vi.stubEnv("HF_TOKEN", "hf_other");
    await fails(/the token \(HF_TOKEN, .*\) may not read it/);
  });
  test("weights of another checksum than the hub's leave nothing behind", async () => {
    publish();
    large("model.safetensors", WEIGHTS, file(WEIGHTS), sha256(payload(10)));
    await fails(/expected sha256 [0-9a-f]{64}, got sha256/);
    await fails(/no such entry/, "hf:o/r", { offline: true });
  });
  test("a configuration of another checksum than the hub's", async () => {
    publish();
    hub.routes.set(
      at("config.json"),
      file("{}", { etag: `"${gitHash(Buffer.from(CONFIG))}"`, "x-repo-commit": COMMIT }),
    );
    await fails(/config\.json: expected git/);
  });
  test("a redirect loop", async () => {
    publish();
    bucket.routes.set("/model.safetensors", redirect("/model.safetensors"));
    await fails(/redirect loop/);
  });
  test("an index whose shards climb out of the repository", async () => {
    small("config.json", CONFIG);
    small("model.safetensors.index.json", JSON.stringify({ weight_map: { a: "../../x.safetensors" } }));
    await fails(/expected files inside its folder/);
  });
  test.each(["hf:", "hf:only", "hf:a/b@../c", "hf:a/../b", "hf:a b/c"])("the name %s", async (source) => {
    await expect(find(source)).rejects.toThrow(/expected/);
    expect(hub.seen).toEqual([]);
  });
  test("integrity that the weights have not", async () => {
    publish();
    const integrity = `sha256-${createHash("sha256").update("x").digest("base64")}`;
    await fails(/expected sha256/, "hf:o/r", { integrity });
  });
});

describe("a model", () => {
  const SPEC: ResNetSpec = { ...resnetSpec("resnet18"), depths: [1, 1, 1, 1], width: 16, classes: 3 };
  const LABELS = { id2label: { 0: "ant", 1: "bee", 2: "wasp" } };
  const HF = {
    ...{ model_type: "resnet", architectures: ["ResNetForImageClassification"], layer_type: "basic", num_channels: 3 },
    ...{ depths: [1, 1, 1, 1], embedding_size: 16, hidden_sizes: [16, 32, 64, 128], hidden_act: "relu", ...LABELS },
  };
  const PROCESSOR = {
    ...{ image_processor_type: "ConvNextImageProcessor", size: { shortest_edge: 64 }, crop_pct: 0.875, resample: 3 },
    ...{ image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225], do_resize: true, do_normalize: true },
  };

  /** transformers' name of a tensor. */
  function renamed(name: string): string {
    return name
      .replace(/^conv1\./, "resnet.embedder.embedder.convolution.")
      .replace(/^bn1\./, "resnet.embedder.embedder.normalization.")
      .replace(/^fc\./, "classifier.1.")
      .replace(/^layer(\d)\.(\d+)\.(.*)$/, (_, stage, block, rest: string) => {
        const inner = rest
          .replace(/^conv(\d)\./, (_all, k) => `layer.${k - 1}.convolution.`)
          .replace(/^bn(\d)\./, (_all, k) => `layer.${k - 1}.normalization.`)
          .replace(/^downsample\.0\./, "shortcut.convolution.")
          .replace(/^downsample\.1\./, "shortcut.normalization.");
        return `resnet.encoder.stages.${stage - 1}.layers.${block}.${inner}`;
      });
  }

  async function written(): Promise<{ plain: Uint8Array; theirs: Uint8Array }> {
    const plain = goldenCheckpoint(SPEC, "bn2");
    const checkpoint = await openSafetensors(fromBytes("plain", plain));
    const tensors = [];
    for (const [name, { dtype, shape }] of checkpoint.tensors) {
      tensors.push({ name: renamed(name), dtype, shape, bytes: await checkpoint.read(name) });
    }
    return { plain, theirs: writeSafetensors(tensors, { format: "pt" }) };
  }

  test("of transformers: its logits, labels and preprocessing", async () => {
    const { plain, theirs } = await written();
    small("config.json", JSON.stringify(HF));
    small("preprocessor_config.json", JSON.stringify(PROCESSOR));
    large("model.safetensors", theirs);
    const model = await loadWith(runtime, "hf:o/r", { cache });
    const own = await loadWith(runtime, plain, { size: 64 });
    expect(model.model.labels).toEqual(["ant", "bee", "wasp"]);
    expect(model.model.preprocess).toMatchObject({ crop: [64, 64], resize: [73, 73], filter: "bicubic" });
    expect(model.model.guesses).toEqual([]);
    const input = { data: goldenInput([1, 64, 64, 3]), shape: [1, 64, 64, 3] } as const;
    expect((await model.logits(input)).data).toEqual((await own.logits(input)).data);
    await Promise.all([model.dispose(), own.dispose()]);
  });
  test.each([
    [
      "other depths",
      { ...HF, depths: [2, 2, 2, 2] },
      /configuration: expected depths \[1,1,1,1\], as the tensors have it/,
    ],
    ["another family", { ...HF, model_type: "vit" }, /expected model_type "resnet", got "vit"/],
    ["fewer labels than classes", { ...HF, id2label: { 0: "ant", 1: "bee" } }, /configuration: expected classes 3/],
    ["another activation", { ...HF, hidden_act: "gelu" }, /expected hidden_act relu, got "gelu"/],
  ])("with a configuration of %s is refused", async (_, config, message) => {
    small("config.json", JSON.stringify(config));
    large("model.safetensors", (await written()).theirs);
    await expect(loadWith(runtime, "hf:o/r", { cache })).rejects.toThrow(message);
  });
  test("of timm: its network by name, labels and preprocessing", async () => {
    const config = {
      architecture: "resnet18",
      num_classes: 5,
      label_names: ["a", "b", "c", "d", "e"],
      pretrained_cfg: {
        ...{ input_size: [3, 96, 96], crop_pct: 0.95, crop_mode: "center", interpolation: "bilinear" },
        ...{ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
      },
    };
    small("config.json", JSON.stringify(config));
    large("model.safetensors", goldenCheckpoint({ ...resnetSpec("resnet18"), classes: 5 }, "bn2"));
    const model = await loadWith(runtime, "hf:o/r", { cache });
    expect(model.model.labels).toEqual(["a", "b", "c", "d", "e"]);
    expect(model.model.preprocess).toMatchObject({
      crop: [96, 96],
      resize: [101, 101],
      filter: "bilinear",
      std: [0.25, 0.25, 0.25],
    });
    await model.dispose();
  });
});
