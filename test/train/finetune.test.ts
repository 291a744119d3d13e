/** Fine-tuning end to end, on small networks and drawn images: what comes out, what a stop leaves, what is refused. */
import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { fromBytes } from "../../src/bytes.ts";
import { convertModel } from "../../src/convert.ts";
import { DivergedError, ModelError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/formats/safetensors.ts";
import type { Pixels } from "../../src/image.ts";
import { closable } from "../../src/model.ts";
import { uniform } from "../../src/models/random.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { PRESETS, type Preprocess } from "../../src/preprocess.ts";
import { quantizeWith } from "../../src/quantizer.ts";
import { load, nodeRuntime } from "../../src/runtimes/node.ts";
import { type Dataset, ImageSet } from "../../src/train/dataset.ts";
import {
  type Finetuned,
  type FinetuneOptions,
  finetuneNeeds,
  finetuneWith,
  type TrainProgress,
  trainNewWith,
} from "../../src/train/finetune.ts";
import { initialise } from "../../src/train/initialise.ts";

const runtime = nodeRuntime();
const SPEC: ResNetSpec = { ...resnetSpec("resnet18"), depths: [1, 1, 1, 1], width: 16, classes: 5 };

/** Stripes along one axis or the other, in noise: no single pixel or mean tells them apart. */
function stripes(across: boolean, seed: number): Pixels {
  const next = uniform(seed);
  const phase = Math.floor(next() * 6);
  const data = new Uint8Array(40 * 40 * 4);
  for (let y = 0; y < 40; ++y) {
    for (let x = 0; x < 40; ++x) {
      const light = ((across ? x : y) + phase) % 6 < 3 ? 170 : 70;
      for (let i = 0; i < 4; ++i) data[4 * (40 * y + x) + i] = light + 40 * next();
    }
  }
  return { width: 40, height: 40, data };
}

function drawn(count: number, seed: number): ImageSet {
  const set = new ImageSet();
  for (let i = 0; i < count; ++i) set.add(stripes(i % 2 === 1, seed + i), i % 2 === 1 ? "across" : "along");
  return set;
}

async function bytesOf(pieces: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Uint8Array> {
  const all: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of pieces) all.push(piece);
  return new Uint8Array(await new Blob(all).arrayBuffer());
}

function network(spec: ResNetSpec, seed: number): Promise<Uint8Array> {
  const graph = resnet("small", spec, [32, 32, 3]);
  const preprocess: Preprocess = { ...PRESETS["torchvision-v1"], resize: [36, 36], crop: [32, 32] };
  const model = closable({
    ...{ source: "small", arch: "small", spec, graph, preprocess, labels: [], guesses: [] },
    checkpoint: initialise(graph, seed),
  });
  return bytesOf(convertModel(model));
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let base: Uint8Array;
const TRAIN = drawn(24, 1);
const VAL = drawn(12, 1000);

beforeAll(async () => {
  base = await network(SPEC, 7);
});

const tune = (options: FinetuneOptions, data: Dataset = TRAIN): Promise<Finetuned> =>
  finetuneWith(runtime, base, data, options);

describe("the head", () => {
  test("learns, and the file that comes out classifies", async () => {
    const result = await tune({ val: VAL, epochs: 40 });
    expect(result.valTop1).toBeGreaterThanOrEqual(0.8);
    expect(result.history).toHaveLength(40);
    expect(result.history.at(-1)!.trainLoss).toBeLessThan(result.history[0]!.trainLoss);
    const model = await load(result.bytes);
    let right = 0;
    for (const { image, label } of VAL.examples) {
      const [best] = await model.classify(image());
      right += Number(best!.label === VAL.classes[Number(label)]);
    }
    expect(right / VAL.examples.length).toBeCloseTo(result.valTop1!, 5);
    await model.dispose();
  });
  test("is all that changes, and has PyTorch's names", async () => {
    const result = await tune({ epochs: 1 });
    const [before, after] = [
      await openSafetensors(fromBytes("a", base)),
      await openSafetensors(fromBytes("b", result.bytes)),
    ];
    expect([...after.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
    expect(after.tensors.get("fc.weight")!.shape).toEqual([2, 128]);
    for (const name of before.tensors.keys()) {
      if (!name.startsWith("fc.")) expect(digest(await after.read(name)), name).toBe(digest(await before.read(name)));
    }
  });
  test("becomes int8", async () => {
    const result = await tune({ val: VAL, epochs: 40 });
    const images = TRAIN.examples.map(({ image }) => image());
    const { bytes } = await quantizeWith(runtime, result.bytes, images);
    const model = await load(bytes);
    const answers = [];
    for (const { image } of VAL.examples) answers.push((await model.classify(image()))[0]!.label);
    const right = answers.filter((answer, i) => answer === VAL.classes[Number(VAL.examples[i]!.label)]).length;
    expect(right / answers.length).toBeGreaterThanOrEqual(0.7);
    await model.dispose();
  });
  test("goes on from itself, when the classes are the same", async () => {
    const first = await tune({ val: VAL, epochs: 10 });
    const second = await finetuneWith(runtime, first.bytes, TRAIN, { val: VAL, epochs: 1, learningRate: 1e-6 });
    expect(second.history[0]!.trainLoss).toBeLessThan(first.history[0]!.trainLoss);
  });
});

describe("more of the network", () => {
  test("layer4 moves, what is before it does not", async () => {
    const result = await tune({ train: "layer4", epochs: 2, learningRate: 1e-3 });
    const [before, after] = [
      await openSafetensors(fromBytes("a", base)),
      await openSafetensors(fromBytes("b", result.bytes)),
    ];
    const same = async (name: string): Promise<boolean> =>
      digest(await after.read(name)) === digest(await before.read(name));
    expect(await same("layer3.0.conv1.weight")).toBe(true);
    expect(await same("layer4.0.conv1.weight")).toBe(false);
  });
  test("all, from scratch, with live norms, learns", async () => {
    const result = await trainNewWith(runtime, "resnet20", drawn(48, 1), {
      ...{ val: drawn(16, 1000), epochs: 6, batch: 8, learningRate: 0.02, seed: 2 },
    });
    expect(result.history.at(-1)!.trainLoss).toBeLessThan(0.5 * result.history[0]!.trainLoss);
    const model = await load(result.bytes);
    expect(model.model.arch).toBe("resnet20");
    expect(model.model.labels).toEqual(["along", "across"]);
    await model.dispose();
  }, 120_000);
});

describe("several labels an image", () => {
  /** Stripes along either axis, both, or neither. */
  function several(count: number, seed: number): ImageSet {
    const set = new ImageSet();
    for (let i = 0; i < count; ++i) {
      const [a, b] = [stripes(false, seed + i), stripes(true, seed + i)];
      const shows = [i % 2 === 1, i % 4 > 1];
      const data = a.data.map((x, p) => 120 + (shows[0] ? x - 120 : 0) + (shows[1] ? b.data[p]! - 120 : 0));
      set.add(
        { ...a, data },
        ["along", "across"].filter((_, k) => shows[k]),
      );
    }
    return set;
  }
  test("are learnt, reported as average precision, and answered as independent probabilities", async () => {
    const result = await tune({ val: several(16, 1000), epochs: 60, train: "layer4", batch: 8 }, several(32, 1));
    expect(result.history.at(-1)!.trainLoss).toBeLessThan(result.history[0]!.trainLoss);
    expect(result.valMap).toBeGreaterThan(0.8);
    expect(result.valClasses.map(({ name, images }) => [name, images])).toEqual([
      ["along", 8],
      ["across", 8],
    ]);
    expect(result.answers[0]!.label).toBeInstanceOf(Array);
    const model = await load(result.bytes);
    expect(model.output).toBe("sigmoid");
    await model.dispose();
  }, 120_000);
  test("are refused for a loss of one", async () => {
    await expect(tune({ loss: "cross_entropy" }, several(8, 1))).rejects.toMatchObject({ option: "loss" });
  });
});

describe("a seed", () => {
  test("decides every byte", async () => {
    const options = { train: "layer4", epochs: 2, augment: "standard" } as const;
    const [one, two, other] = [await tune(options), await tune(options), await tune({ ...options, seed: 2 })];
    expect(digest(two.bytes)).toBe(digest(one.bytes));
    expect(digest(other.bytes)).not.toBe(digest(one.bytes));
  });
});

describe("a stop", () => {
  const OPTIONS = { train: "layer4", epochs: 3, batch: 4, val: VAL, ema: 0.9 } as const;
  test.each([2, 6, 9])("after step %i: what goes on from there has the bytes of a run without it", async (last) => {
    const whole = await tune(OPTIONS);
    const controller = new AbortController();
    let kept: Uint8Array | undefined;
    const stopped = tune({
      ...OPTIONS,
      signal: controller.signal,
      onCheckpoint: (bytes) => {
        kept = bytes;
      },
      onProgress(progress) {
        if (progress.phase === "train" && progress.step === last) controller.abort(new Error("enough"));
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    const rest = await tune({ ...OPTIONS, resume: kept! });
    expect(digest(rest.bytes)).toBe(digest(whole.bytes));
    const plain = ({ history }: Finetuned): unknown => history.map(({ imagesPerSecond: _, ...record }) => record);
    expect(plain(rest)).toEqual(plain(whole));
  });
  test("of the head goes on too", async () => {
    const options = { epochs: 6, batch: 4 } as const;
    const whole = await tune(options);
    let kept: Uint8Array | undefined;
    await tune({
      ...options,
      onCheckpoint(bytes) {
        kept ??= bytes;
      },
    });
    expect(digest((await tune({ ...options, resume: kept! })).bytes)).toBe(digest(whole.bytes));
  });
  test("by a loss that is not finite keeps the last good checkpoint", async () => {
    const kept: Uint8Array[] = [];
    const options = { train: "layer4", epochs: 4, batch: 4, schedule: "constant", warmup: 2 } as const;
    const diverges = tune({ ...options, learningRate: 1e18, onCheckpoint: (bytes) => void kept.push(bytes) });
    await expect(diverges).rejects.toThrow(DivergedError);
    for (const bytes of kept) {
      const file = await openSafetensors(fromBytes("kept", bytes));
      const values = new Float32Array((await file.read("fc.weight")).slice().buffer);
      expect(values.every(Number.isFinite)).toBe(true);
    }
  });
});

describe("what cannot be read", () => {
  test("is left out and named", async () => {
    const set = drawn(24, 1);
    set.add(new TextEncoder().encode("<html>"), "along", "page.jpg");
    const result = await tune({ epochs: 3, val: VAL }, set);
    expect(result.failed).toEqual([expect.stringMatching(/expected a JPEG/)]);
  });
  test("is all there is", async () => {
    const set = new ImageSet();
    for (const name of ["a", "b"]) set.add(new TextEncoder().encode("<html>"), name);
    await expect(tune({ epochs: 1 }, set)).rejects.toThrow(/training set: expected images that can be read, got none/);
  });
  test("is a stream", () => {
    expect(() => new ImageSet().add(new Response("x") as never, "a")).toThrow(/expected one that can be read again/);
  });
});

describe("refused", () => {
  const one = new ImageSet();
  one.add(stripes(true, 1), "only");
  const empty: Dataset = { classes: ["a", "b"], examples: one.examples };
  const wrong: Dataset = { classes: ["a", "b"], examples: [...TRAIN.examples, { ...one.examples[0]!, label: 2 }] };
  test.each<readonly [string, FinetuneOptions, Dataset, object]>([
    ["one class only", {}, one, { code: "classes" }],
    ["no images", {}, { classes: ["a", "b"], examples: [] }, { code: "empty" }],
    ["a class with no images", {}, empty, { code: "classes", message: expect.stringMatching(/: b: /) }],
    ["labels out of range", {}, wrong, { code: "classes" }],
    [
      "other classes to validate with",
      { val: { examples: VAL.examples, classes: ["x", "y"] } },
      TRAIN,
      { code: "classes" },
    ],
    ["a share of one", { val: 1 }, TRAIN, { option: "val" }],
    ["a batch larger than the set", { batch: 25 }, TRAIN, { option: "batch" }],
    ["a learning rate of 0", { learningRate: 0 }, TRAIN, { option: "learningRate" }],
    ["a learning rate that is no number", { learningRate: Number.NaN }, TRAIN, { option: "learningRate" }],
    ["no epochs", { epochs: 0 }, TRAIN, { option: "epochs" }],
    ["more warm-up than epochs", { epochs: 2, warmup: 3 }, TRAIN, { option: "warmup" }],
    ["an unknown schedule", { schedule: "up" as never }, TRAIN, { option: "schedule" }],
    ["an unknown part", { train: "layer9" as never }, TRAIN, { option: "train" }],
    ["an unknown variation", { augment: "wild" as never }, TRAIN, { option: "augment" }],
    ["a text for a number", { epochs: "3" as never }, TRAIN, { name: "ArgumentTypeError", option: "epochs" }],
  ])("%s", async (_, options, data, error) => {
    await expect(tune(options, data)).rejects.toMatchObject(error);
  });
  test("no validation set for a share of 0", async () => {
    expect((await tune({ val: 0, epochs: 1 })).valTop1).toBeUndefined();
  });
  test("a checkpoint of another architecture", async () => {
    let kept: Uint8Array | undefined;
    const keep = (bytes: Uint8Array): void => {
      kept ??= bytes;
    };
    const other = { batch: 8, epochs: 2, learningRate: 1e-3 } as const;
    await trainNewWith(runtime, "resnet20", TRAIN, { ...other, onCheckpoint: keep });
    const wrong = trainNewWith(runtime, "resnet32", TRAIN, { ...other, resume: kept! });
    await expect(wrong).rejects.toThrow(/checkpoint: expected architecture "resnet32", got "resnet20"/);
    await expect(tune({ resume: base })).rejects.toThrow(/checkpoint: expected one of a training/);
  });
  test("an int8 model", async () => {
    const { bytes } = await quantizeWith(runtime, base, [stripes(true, 1)]);
    await expect(finetuneWith(runtime, bytes, TRAIN)).rejects.toThrow(ModelError);
  });
});

test("progress: the plan first, then features, then steps to the last", async () => {
  const seen: TrainProgress[] = [];
  await tune({ train: "layer4", epochs: 1, onProgress: (progress) => seen.push(progress) });
  const phases = [...new Set(seen.map(({ phase }) => phase))];
  expect(phases).toEqual(["plan", "features", "head", "train"]);
  const last = seen.at(-1)!;
  expect(last.phase === "train" && last.step === last.steps && last.msLeft === 0).toBe(true);
  const graph = resnet("small", { ...SPEC, classes: 2 }, [32, 32, 3]);
  const [plan] = seen;
  expect(plan).toMatchObject({ phase: "plan", ...finetuneNeeds(graph, { train: "layer4" }) });
});
