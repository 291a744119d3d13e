/** What the numbers of the last layer mean, wherever it is said and however the model is written again. */
import { describe, expect, it } from "vitest";
import type { Classifier, LoadOptions } from "../src/classifier.ts";
import { ModelError, OptionError } from "../src/errors.ts";
import { writeSafetensors } from "../src/formats/safetensors.ts";
import type { Model, Source } from "../src/model.ts";
import { writeMetadata } from "../src/models/metadata.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../src/models/resnet.ts";
import { paramsOf } from "../src/ops/ops.ts";
import { OUTPUT_KINDS, type OutputKind, probabilitiesOf, softmax } from "../src/output.ts";
import { PRESETS, type Sides } from "../src/preprocess.ts";
import { convert, finetune, inspect, load, openModel, quantize } from "../src/runtimes/node.ts";
import { ImageSet } from "../src/train/dataset.ts";
import { goldenInput, goldenPixels, goldenTensor } from "./golden/weights.ts";

const SPEC: ResNetSpec = { ...resnetSpec("resnet20"), shortcut: "B", depths: [1, 1, 1] };
const PIXELS = { width: 40, height: 30, data: goldenPixels(40, 30) };

/** How a file is made: its classes, what it says, and what becomes of a tensor's values. */
interface Made {
  readonly classes?: number;
  readonly output?: OutputKind;
  readonly labels?: readonly string[];
  readonly size?: Sides;
  readonly headless?: boolean;
  readonly change?: (name: string, values: Float32Array) => void;
}

function file({ classes = 5, output, labels = [], size = [32, 32], headless = false, change }: Made = {}): Uint8Array {
  const spec = { ...SPEC, classes };
  const graph = resnet("small", spec, [...size, 3]);
  const tensors = paramsOf(graph).map(({ name, shape }) => {
    const values = goldenTensor(name, shape);
    change?.(name, values);
    return { name, dtype: "F32" as const, shape, bytes: new Uint8Array(values.buffer) };
  });
  const preprocess = { ...PRESETS.cifar, resize: size, crop: size };
  const described = { arch: "small", spec, graph: { ...graph, ...(output && { output }) }, preprocess, labels };
  // A file that describes itself has its head.
  return headless
    ? writeSafetensors(tensors.filter(({ name }) => !name.startsWith("fc.")))
    : writeSafetensors(tensors, writeMetadata(described));
}

async function using<T>(source: Source, options: LoadOptions, work: (model: Classifier) => Promise<T>): Promise<T> {
  const model = await load(source, options);
  try {
    return await work(model);
  } finally {
    await model.dispose();
  }
}

const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);

async function bytesOf(pieces: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Uint8Array> {
  const all: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of pieces) all.push(piece);
  return new Uint8Array(await new Blob(all).arrayBuffer());
}

describe("probabilitiesOf", () => {
  it.each([
    ["softmax", [1, 2, 3], 3, [0.09003057, 0.24472847, 0.66524096]],
    ["softmax", [1000, 0], 2, [1, 0]],
    ["sigmoid", [0, -1000, 1000], 3, [0.5, 0, 1]],
    ["sigmoid", [2], 1, [0.88079708]],
    ["sigmoid", [2], 2, [0.11920292, 0.88079708]],
  ] as const)("%s of %o for %i classes", (kind, logits, classes, want) => {
    const got = probabilitiesOf(kind, Float32Array.from(logits), classes);
    expect(got.length).toBe(classes);
    got.forEach((value, i) => {
      expect(value).toBeCloseTo(want[i]!, 7);
    });
  });
});

describe("classes that exclude each other", () => {
  it("have probabilities that sum to 1", async () => {
    await using(file(), {}, async (model) => {
      expect(model.output).toBe("softmax");
      const { data } = await model.logits(await model.preprocess(PIXELS));
      const want = softmax(data);
      const predictions = await model.classify(PIXELS);
      expect(sum(predictions.map(({ probability }) => probability))).toBeCloseTo(1, 5);
      for (const { index, probability } of predictions) expect(probability).toBeCloseTo(want[index]!, 5);
    });
  });
});

describe("classes that do not exclude each other", () => {
  it("have a probability each, and those above the threshold are given", async () => {
    await using(file({ output: "sigmoid" }), {}, async (model) => {
      expect(model.output).toBe("sigmoid");
      const { data } = await model.logits(await model.preprocess(PIXELS));
      const all = await model.classify(PIXELS, { threshold: 0 });
      expect(all.length).toBe(5);
      for (const { index, probability } of all) expect(probability).toBeCloseTo(1 / (1 + Math.exp(-data[index]!)), 5);
      const present = all.filter(({ probability }) => probability >= 0.5);
      expect(await model.classify(PIXELS)).toEqual(present);
      expect(await model.classify(PIXELS, { threshold: 1 })).toEqual([]);
      expect((await model.classify(PIXELS, { threshold: 0, topK: 2 })).length).toBe(2);
      const averaged = await model.probabilities(PIXELS);
      for (const { index, probability } of all) expect(averaged[index]).toBeCloseTo(probability, 5);
    });
  });
  it.each([-0.1, 1.1, Number.NaN])("refuse a threshold of %d", async (threshold) => {
    await using(file(), {}, async (model) => {
      await expect(model.classify(PIXELS, { threshold })).rejects.toMatchObject({ option: "threshold" });
    });
  });
});

describe("one number", () => {
  it("is the logit of yes or no, which is announced, and is never 100 %", async () => {
    await using(file({ classes: 1 }), {}, async (model) => {
      expect(model.output).toBe("sigmoid");
      expect(model.model.guesses.map(({ key }) => key)).toContain("output");
      const { data } = await model.logits(await model.preprocess(PIXELS));
      const [only, ...rest] = await model.classify(PIXELS);
      expect(rest).toEqual([]);
      expect(only!.probability).toBeCloseTo(1 / (1 + Math.exp(-data[0]!)), 5);
    });
  });
  it("with two labels is the second against the first", async () => {
    await using(file({ classes: 1, output: "sigmoid" }), { labels: ["no", "yes"] }, async (model) => {
      expect(model.model.guesses.map(({ key }) => key)).not.toContain("output");
      const predictions = await model.classify(PIXELS);
      expect(predictions.map(({ label }) => label).sort()).toEqual(["no", "yes"]);
      expect(sum(predictions.map(({ probability }) => probability))).toBeCloseTo(1, 6);
      const { data } = await model.logits(await model.preprocess(PIXELS));
      expect(predictions.find(({ label }) => label === "yes")!.probability).toBeCloseTo(
        1 / (1 + Math.exp(-data[0]!)),
        5,
      );
    });
  });
  it("that the file calls a softmax is not taken for one", async () => {
    const model = await openModel(file({ classes: 1, output: "softmax" }));
    expect(model.graph.output).toBe("sigmoid");
    expect(model.guesses.map(({ key }) => key)).toContain("output");
    await model.close();
  });
});

describe("a network without a classifier", () => {
  it("has features, no classes, and learns some", async () => {
    const bytes = file({ headless: true });
    await using(bytes, { size: 32 }, async (model) => {
      expect(model.output).toBe("none");
      expect((await model.features(PIXELS)).shape).toEqual([1, 64]);
      for (const call of [model.classify(PIXELS), model.probabilities(PIXELS)]) {
        await expect(call).rejects.toMatchObject({ name: "ModelError", code: "no-classes" });
      }
    });
    const set = new ImageSet();
    for (let i = 0; i < 4; ++i) set.add(PIXELS, i % 2 === 0 ? "a" : "b");
    const mine = await finetune(bytes, set, { size: 32, epochs: 1, augment: "none" });
    await using(mine.bytes, {}, async (model) => {
      expect(model.output).toBe("softmax");
      expect((await model.classify(PIXELS)).length).toBe(2);
    });
  });
});

describe("options", () => {
  it.each(OUTPUT_KINDS)("%s replaces what the file says, and is kept by convert", async (output) => {
    for (const said of OUTPUT_KINDS) {
      const source = file({ output: said });
      const model = await openModel(await bytesOf(convert(source, { output })));
      expect(model.graph.output).toBe(output);
      expect((await inspect(source, { output })).output).toBe(output);
      await model.close();
    }
  });
  it.each<[string, LoadOptions, string]>([
    ["another kind", { output: "logits" as OutputKind }, "output"],
    ["a softmax of one number", { output: "softmax" }, "output"],
    ["three labels for one number", { labels: ["a", "b", "c"] }, "labels"],
  ])("refuse %s", async (_, options, option) => {
    const failure = await load(file({ classes: 1 }), options).catch((error) => error);
    expect(failure).toBeInstanceOf(OptionError);
    expect(failure.option).toBe(option);
  });
});

describe("a model that is written again", () => {
  it.each(["softmax", "sigmoid"] as const)("in int8 keeps %s", async (output) => {
    const { bytes } = await quantize(file({ output }), [PIXELS]);
    await using(bytes, {}, async (model) => expect(model.output).toBe(output));
  });
  it("keeps an input that is not square, as it classifies, quantizes and learns", async () => {
    const source = file({ size: [48, 32] });
    const want = await using(source, {}, (model) => model.classify(PIXELS));
    expect((await inspect(source)).input).toEqual([48, 32, 3]);
    const half = await bytesOf(convert(source));
    expect(await using(half, {}, (model) => model.classify(PIXELS))).toEqual(want);
    const set = new ImageSet();
    for (let i = 0; i < 4; ++i) set.add(PIXELS, i % 2 === 0 ? "a" : "b");
    const files = [
      (await quantize(source, [PIXELS])).bytes,
      (await finetune(source, set, { epochs: 1, augment: "none" })).bytes,
      await bytesOf(convert(file(), { size: [48, 32] })),
    ];
    for (const bytes of files) {
      await using(bytes, {}, async (model) => {
        const { graph, preprocess }: Model = model.model;
        expect([graph.nodes[0]!.shape, preprocess.crop]).toEqual([
          [48, 32, 3],
          [48, 32],
        ]);
        expect((await model.preprocess(PIXELS)).shape).toEqual([1, 48, 32, 3]);
      });
    }
  });
});

describe("an answer that is not finite", () => {
  it.each<[string, string, number]>([
    ["a norm that overflows", "bn1.weight", 3e38],
    ["a weight that overflows", "layer2.0.conv1.weight", 3e38],
    ["a bias that overflows", "fc.bias", 3.4e38],
  ])("because of %s is an error", async (_, tensor, value) => {
    const change = (name: string, values: Float32Array): void => {
      if (name === tensor) values.fill(value);
      if (value === 3.4e38 && name === "fc.weight") values.fill(1e37);
    };
    const run = async (call: (model: Classifier) => Promise<unknown>): Promise<unknown> => {
      return using(file({ change }), {}, call).catch((error) => error);
    };
    const input = { data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] as const };
    for (const call of [
      (model: Classifier) => model.classify(PIXELS),
      (model: Classifier) => model.probabilities(PIXELS),
      (model: Classifier) => model.logits(input),
    ]) {
      const failure = (await run(call)) as ModelError;
      expect(failure).toBeInstanceOf(ModelError);
      expect(failure.code).toBe("not-finite");
      expect(failure.subject).toMatch(tensor.startsWith("layer2") ? /^layer2\.0/ : /^(conv1|bn1|fc)/);
    }
  });
  it("because of the input names the input", async () => {
    await using(file(), {}, async (model) => {
      const data = goldenInput([1, 32, 32, 3]);
      data[100] = Number.NaN;
      await expect(model.logits({ data, shape: [1, 32, 32, 3] })).rejects.toMatchObject({ option: "images" });
    });
  });
});
