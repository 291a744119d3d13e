/** Features of sets: computed once, found again, and computed again when anything that they depend on is another. */
import { beforeAll, describe, expect, test } from "vitest";
import { convertModel } from "../../src/convert.ts";
import type { Pixels } from "../../src/image.ts";
import { closable, type Model, openModelWith } from "../../src/model.ts";
import { uniform } from "../../src/models/random.ts";
import { resnet, resnetSpec } from "../../src/models/resnet.ts";
import { PRESETS, type Preprocess } from "../../src/preprocess.ts";
import type { Runtime } from "../../src/runtime.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { type Dataset, ImageSet } from "../../src/train/dataset.ts";
import type { FeatureStore } from "../../src/train/feature-store.ts";
import { FeatureExtractor, type FeatureOptions, openFeatures } from "../../src/train/features.ts";
import { type FinetuneOptions, finetuneWith, type TrainProgress } from "../../src/train/finetune.ts";
import { initialise } from "../../src/train/initialise.ts";

const plain = nodeRuntime();
const SPEC = { ...resnetSpec("resnet18"), depths: [1, 1, 1, 1] as const, width: 16, classes: 5 };
const PREPROCESS: Preprocess = { ...PRESETS["torchvision-v1"], resize: [36, 36], crop: [32, 32] };

async function network(seed: number, preprocess = PREPROCESS): Promise<Uint8Array> {
  const graph = resnet("small", SPEC, [32, 32, 3]);
  const model = closable({
    ...{ source: "small", arch: "small", spec: SPEC, graph, preprocess, labels: [], guesses: [] },
    checkpoint: initialise(graph, seed),
  });
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convertModel(model)) pieces.push(piece);
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

function picture(seed: number): Pixels {
  const next = uniform(seed);
  const data = Uint8Array.from(
    { length: 4 * 48 * 40 },
    (_, i) => 128 + 100 * Math.sin(i * (1 + (seed % 7))) + 20 * next(),
  );
  return { width: 48, height: 40, data };
}

function pictures(seeds: readonly number[]): ImageSet {
  const set = new ImageSet();
  for (const seed of seeds) set.add(picture(seed), seed % 2 === 0 ? "even" : "odd", `picture ${seed}`);
  return set;
}

class Kept implements FeatureStore {
  readonly rows = new Map<string, Uint8Array>();
  puts = 0;
  async get(key: string): Promise<Uint8Array | undefined> {
    return this.rows.get(key);
  }
  async put(key: string, bytes: Uint8Array): Promise<void> {
    this.puts += 1;
    this.rows.set(key, bytes);
  }
}

/** A runtime that counts the workers that it starts. */
function counting(): Runtime & { replicas: number } {
  const runtime = {
    ...plain,
    replicas: 0,
    startWorker(...given: Parameters<Runtime["startWorker"]>) {
      if (given[2] === "replica") runtime.replicas += 1;
      return plain.startWorker(...given);
    },
  };
  return runtime;
}

let base: Uint8Array;
let model: Model;
const SEEDS = Array.from({ length: 12 }, (_, i) => i + 1);

beforeAll(async () => {
  base = await network(7);
  model = await openModelWith(plain, base);
});

/** Features of a set by a fresh extractor, and how many were known. */
async function features(
  set: Dataset,
  options: FeatureOptions = {},
  of = model,
): Promise<{
  readonly rows: readonly (Float32Array | undefined)[];
  readonly known: number;
  readonly failed: string[];
}> {
  const extractor = new FeatureExtractor(plain, of, { replicas: 1, ...options });
  let known = 0;
  const failed = new Map<string, string>();
  const source = { count: 0, batch: () => Promise.reject(new Error("not asked")) };
  try {
    const { rows } = await extractor.featuresOf(set.examples, [{ source }], failed, undefined, (_, more) => {
      known += more;
    });
    return { rows: rows[0]!, known, failed: [...failed.values()] };
  } finally {
    await extractor.dispose();
  }
}

describe("one photo", () => {
  test("has the classifier's features, kept or not", async () => {
    const store = new Kept();
    const direct = await openFeatures(plain, model);
    const first = await direct.features(picture(1));
    expect(first).toHaveLength(128);
    await direct.dispose();
    for (let i = 0; i < 2; ++i) {
      const extractor = await openFeatures(plain, model, { store });
      expect(await extractor.features(picture(1))).toEqual(first);
      await extractor.dispose();
    }
    expect(store.puts).toBe(1);
  });
  test("is the same one whether it comes alone or in a set", async () => {
    const store = new Kept();
    const extractor = await openFeatures(plain, model, { store });
    const one = await extractor.features(picture(3));
    await extractor.dispose();
    const { rows, known } = await features(pictures([1, 2, 3]), { store });
    expect(known).toBe(1);
    expect(rows[2]).toEqual(one);
  });
});

describe("a set", () => {
  test("is computed once; a changed photo and a new one alone are computed again, whatever the order", async () => {
    const store = new Kept();
    const first = await features(pictures(SEEDS), { store });
    expect([first.known, store.puts]).toEqual([0, 12]);
    const again = await features(pictures([...SEEDS].reverse()), { store });
    expect([again.known, store.puts]).toEqual([12, 12]);
    expect([...again.rows].reverse()).toEqual(first.rows);
    const changed = await features(pictures([...SEEDS.slice(1), 100, 101]), { store });
    expect([changed.known, store.puts]).toEqual([11, 14]);
  });
  test("goes on where a stopped one was", async () => {
    const store = new Kept();
    const stop = new AbortController();
    const put = store.put.bind(store);
    store.put = async (key, bytes) => {
      await put(key, bytes);
      if (store.puts === 5) stop.abort(new Error("enough"));
    };
    const extractor = new FeatureExtractor(plain, model, { store, replicas: 1 });
    const source = { count: 0, batch: () => Promise.reject(new Error("not asked")) };
    const given = [pictures(SEEDS).examples, [{ source }], new Map(), stop.signal, () => {}] as const;
    await expect(extractor.featuresOf(...given)).rejects.toThrow("enough");
    await extractor.dispose();
    const kept = store.puts;
    expect(kept).toBeGreaterThanOrEqual(5);
    expect(kept).toBeLessThan(12);
    store.put = put;
    expect((await features(pictures(SEEDS), { store })).known).toBe(kept);
    expect(store.puts).toBe(12);
  });
  test("is computed again by other weights, another preprocessing, another decoding, int8", async () => {
    const store = new Kept();
    await features(pictures(SEEDS), { store });
    const others: readonly [Model, FeatureOptions][] = [
      [await openModelWith(plain, await network(8)), {}],
      [await openModelWith(plain, await network(7, { ...PREPROCESS, resize: [40, 40] })), {}],
      [model, { decode: "fast" }],
      [model, { winograd: false }],
      [model, { features: "int8", samples: pictures(SEEDS).examples }],
    ];
    for (const [other, options] of others) {
      expect((await features(pictures(SEEDS), { store, ...options }, other)).known).toBe(0);
      expect((await features(pictures(SEEDS), { store, ...options }, other)).known).toBe(12);
    }
  });
  test("of a model with another classifier is the same", async () => {
    const store = new Kept();
    await features(pictures(SEEDS), { store });
    const { bytes } = await finetuneWith(plain, base, pictures(SEEDS), { epochs: 1 });
    const taught = await openModelWith(plain, bytes);
    expect((await features(pictures(SEEDS), { store }, taught)).known).toBe(12);
  });
  test("is computed again where what was kept is damaged", async () => {
    const store = new Kept();
    const first = await features(pictures(SEEDS), { store });
    const [a, b, c] = [...store.rows.keys()];
    store.rows.set(a!, store.rows.get(a!)!.slice(4));
    store.rows.set(b!, new Uint8Array(512).fill(255));
    store.rows.delete(c!);
    const again = await features(pictures(SEEDS), { store });
    expect(again.known).toBe(9);
    expect(again.rows).toEqual(first.rows);
  });
  test("takes what a Buffer of Node's pool holds", async () => {
    const store = new Kept();
    const first = await features(pictures(SEEDS), { store });
    for (const [key, bytes] of store.rows) {
      store.rows.set(key, Buffer.concat([Buffer.alloc(3), bytes, Buffer.alloc(5)]).subarray(3, 3 + bytes.length));
    }
    const again = await features(pictures(SEEDS), { store });
    expect(again.known).toBe(12);
    expect(again.rows).toEqual(first.rows);
  });
  test("names what cannot be read, and keeps the rest", async () => {
    const store = new Kept();
    const set = pictures(SEEDS);
    set.add(new Uint8Array([1, 2, 3]), "odd", "no photo");
    const examples = [
      ...set.examples,
      {
        name: "gone",
        label: 0,
        image: () => {
          throw new Error("it is gone");
        },
      },
    ];
    const { rows, failed } = await features({ classes: set.classes, examples }, { store });
    expect(rows.filter((row) => row === undefined)).toHaveLength(2);
    expect(failed.sort().join()).toMatch(/^image: expected .*it is gone$/s);
    expect(store.puts).toBe(12);
  });
});

describe("int8", () => {
  test("is close to f32, and the same from any order of the samples", async () => {
    const set = pictures(SEEDS);
    const { rows: exact } = await features(set);
    const { rows } = await features(set, { features: "int8", samples: set.examples });
    for (const [i, row] of rows.entries()) {
      let [dot, a, b] = [0, 0, 0];
      row!.forEach((value, j) => {
        dot += value * exact[i]![j]!;
        a += value * value;
        b += exact[i]![j]! ** 2;
      });
      expect(dot / Math.sqrt(a * b), `picture ${i}`).toBeGreaterThan(0.99);
      expect(row).not.toEqual(exact[i]);
    }
    const samples = [...set.examples].reverse();
    expect((await features(set, { features: "int8", samples })).rows).toEqual(rows);
  });
  test("of a model that is int8 already needs no samples", async () => {
    const { quantizeWith } = await import("../../src/quantizer.ts");
    const images = SEEDS.map(picture);
    const { bytes } = await quantizeWith(plain, model, images);
    const int8 = await openModelWith(plain, bytes);
    const set = pictures(SEEDS);
    const direct = await features(set, { features: "int8" }, int8);
    expect(direct.rows).toEqual((await features(set, {}, int8)).rows);
  });
});

describe("finetune", () => {
  const SET = pictures(SEEDS);
  const tune = async (options: FinetuneOptions & { replicas?: number }, runtime = plain) => {
    const known: number[] = [];
    const onProgress = (progress: TrainProgress): void => {
      if (progress.phase === "features") known.push(progress.known);
    };
    const { bytes } = await finetuneWith(runtime, base, SET, { epochs: 3, onProgress, ...options });
    return { bytes, known: known.at(-1) };
  };
  test("starts no replica, and gives the same bytes, when all features are known", async () => {
    const featureStore = new Kept();
    const runtime = counting();
    const fresh = await tune({ replicas: 2 }, runtime);
    const first = await tune({ replicas: 2, featureStore }, runtime);
    expect(runtime.replicas).toBe(4);
    const again = await tune({ replicas: 2, featureStore }, runtime);
    expect(runtime.replicas).toBe(4);
    expect([first.known, again.known]).toEqual([0, 12]);
    expect(again.bytes).toEqual(first.bytes);
    expect(first.bytes).toEqual(fresh.bytes);
  });
  test("knows variations too, of the same seed", async () => {
    const featureStore = new Kept();
    const options = { featureStore, augment: "light" } as const;
    const first = await tune(options);
    expect(featureStore.puts).toBe(24);
    const again = await tune(options);
    expect([first.known, again.known]).toEqual([0, 24]);
    expect(again.bytes).toEqual(first.bytes);
    // What is not varied does not depend on the seed.
    expect((await tune({ ...options, seed: 2 })).known).toBe(12);
  });
  test("takes int8 features, and an unknown kind is refused", async () => {
    const f32 = await tune({});
    const int8 = await tune({ features: "int8" });
    expect(int8.bytes).not.toEqual(f32.bytes);
    await expect(tune({ features: "f16" as "f32" })).rejects.toThrow("features: expected f32, int8, got f16");
  });
});
