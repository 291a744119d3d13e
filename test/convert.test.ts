/** Converting: the file alone is enough, and classifies to the same logits. */
import { describe, expect, it } from "vitest";
import { fromBytes } from "../src/bytes.ts";
import { type ConvertOptions, convertModel } from "../src/convert.ts";
import { openSafetensors, writeSafetensors } from "../src/formats/safetensors.ts";
import { type ModelOptions, openModelWith } from "../src/model.ts";
import { type ResNetSpec, resnetSpec } from "../src/models/resnet.ts";
import { PRESETS } from "../src/preprocess.ts";
import { load, nodeRuntime } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInput } from "./golden/weights.ts";

async function converted(
  source: Uint8Array,
  options: ModelOptions = {},
  how: ConvertOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const model = await openModelWith(nodeRuntime(), source, options);
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convertModel(model, how)) pieces.push(piece);
  await model.checkpoint.close();
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

const SHAPE = [1, 40, 40, 3] as const;

async function logitsOf(source: Uint8Array, options: ModelOptions = {}): Promise<Float32Array> {
  const model = await load(source, { ...options, winograd: false });
  const { data } = await model.logits({ data: goldenInput(SHAPE), shape: SHAPE });
  await model.dispose();
  return data;
}

const NETWORKS: readonly (readonly [string, Partial<ResNetSpec>])[] = [
  ["resnet20", {}],
  ["resnet20", { shortcut: "B" }],
  ["plain20", {}],
  ["resnet26", { classes: 10, stride: "1x1" }],
  ["resnet26d", { classes: 10 }],
  ["seresnet18", { classes: 10 }],
  ["resnetv2_18", { classes: 10 }],
  ["resnext50_32x4d", { classes: 10, depths: [1, 1, 1, 1] }],
];

describe.each(NETWORKS)("%s %j", (name, changes) => {
  const spec = { ...resnetSpec(name), ...changes };
  const labels = Array.from({ length: spec.classes }, (_, i) => `class ${i}`);
  // No table has such a network, so no name may be given for it.
  const isInTable = changes.depths === undefined && changes.shortcut === undefined;
  const options: ModelOptions = { ...(isInTable ? { arch: name } : {}), labels, preprocess: "caffe" };

  it("gives the same logits from the file alone", async () => {
    const source = goldenCheckpoint(spec);
    const file = await converted(source, options);
    expect([...(await logitsOf(file))]).toEqual([...(await logitsOf(source, options))]);
  });
  it("keeps what its maker said of it", async () => {
    const model = await openModelWith(nodeRuntime(), await converted(goldenCheckpoint(spec), options), {});
    expect(model.spec).toEqual(spec);
    expect(model.labels).toEqual(labels);
    expect(model.preprocess.order).toBe("bgr");
    expect(model.preprocess.mean).toEqual(PRESETS.caffe.mean);
    expect(model.guesses).toEqual([]);
  });
});

const SPEC: ResNetSpec = { ...resnetSpec("resnet20"), shortcut: "B" };
const SOURCE = goldenCheckpoint(SPEC);

describe("dtypes", () => {
  it.each([
    ["f16", 2, 2e-3],
    ["i8", 1, 5e-2],
  ] as const)("%s: weights of %i bytes, logits near", async (dtype, bytes, tolerance) => {
    const file = await converted(SOURCE, {}, { dtype });
    const { tensors } = await openSafetensors(fromBytes("x", file));
    expect(tensors.get("layer1.0.conv1.weight")!.dtype).toBe(dtype === "f16" ? "F16" : "I8");
    expect(tensors.get("bn1.running_var")!.dtype).toBe("F32");
    expect(file.byteLength).toBeLessThan(272_474 * bytes + 40_000);
    const [got, want] = [await logitsOf(file), await logitsOf(SOURCE)];
    const largest = Math.max(...want.map(Math.abs));
    for (const [i, logit] of want.entries()) expect(Math.abs(got[i]! - logit) / largest).toBeLessThan(tolerance);
  });
  it("f16 keeps numbers that f16 has, subnormal and negative ones too", async () => {
    const exact = [1, -1, 0, 2 ** -14, -(2 ** -15), 2 ** -24, 65504, -65504, 0.333251953125, 1023 * 2 ** -24];
    const source = goldenCheckpoint(SPEC, "bn2", (name, values) => {
      return name === "fc.weight" ? values.map((_, i) => exact[i % exact.length]!) : values;
    });
    const file = await converted(await converted(source, {}, { dtype: "f16" }));
    const checkpoint = await openSafetensors(fromBytes("x", file));
    const weights = new Float32Array((await checkpoint.read("fc.weight")).slice().buffer);
    expect([...weights.subarray(0, 20)]).toEqual([...exact, ...exact]);
  });
  it("f16 refuses a number it cannot hold, by its name", async () => {
    const source = goldenCheckpoint(SPEC, "bn2", (name, values) => {
      return name === "layer1.0.conv1.weight" ? values.fill(1e5, 3, 4) : values;
    });
    await expect(converted(source, {}, { dtype: "f16" })).rejects.toThrow(
      /"layer1\.0\.conv1\.weight": expected numbers within ±65504 for f16, got 100000/,
    );
  });
  it.each(["F64", "BF16"] as const)("reads %s", async (dtype) => {
    const checkpoint = await openSafetensors(fromBytes("x", SOURCE));
    const tensors = [];
    for (const [name, { shape }] of checkpoint.tensors) {
      const values = new Float32Array((await checkpoint.read(name)).slice().buffer);
      const stored =
        dtype === "F64" ? Float64Array.from(values) : Uint16Array.from(new Uint32Array(values.buffer), (x) => x >>> 16);
      tensors.push({ name, dtype, shape, bytes: new Uint8Array(stored.buffer) });
    }
    const source = writeSafetensors(tensors);
    expect([...(await logitsOf(await converted(source)))]).toEqual([...(await logitsOf(source))]);
  });
});

describe("a file that contradicts itself", () => {
  const changed = async (change: (metadata: Record<string, string>) => void): Promise<Uint8Array> => {
    const checkpoint = await openSafetensors(fromBytes("x", await converted(SOURCE, { labels: [..."0123456789"] })));
    const metadata = { ...checkpoint.metadata };
    change(metadata);
    const tensors = [];
    for (const [name, { dtype, shape }] of checkpoint.tensors) {
      tensors.push({ name, dtype, shape, bytes: await checkpoint.read(name) });
    }
    return writeSafetensors(tensors, metadata);
  };
  it.each([
    ["spec", '{"block":"basic"}', /expected a ResNet's description as "spec"/],
    ["spec", "{", /expected JSON as "spec"/],
    [
      "spec",
      JSON.stringify({ ...SPEC, depths: [3, 3, 4] }),
      /configuration: expected depths \[3,3,3\], as the tensors have it, got \[3,3,4\]/,
    ],
    ["preprocess", "[]", /expected an object with resize, crop, filter, mean, std and order as "preprocess"/],
    ["labels", '["one"]', /labels: expected 10, one for each class, got 1/],
    ["labels", "7", /expected an array of names as "labels"/],
    ["norm_epsilon", "-1", /expected a number above 0 as "norm_epsilon"/],
    ["graph", '{"nodes":[]}', /expected a name, got nothing/],
    ["quantization", "{}", /expected scales and weightSums/],
  ])("%s %s is refused", async (key, value, message) => {
    const bytes = await changed((metadata) => {
      metadata[key] = value;
    });
    await expect(load(bytes)).rejects.toThrow(message);
  });
  it("an unexplained tensor inside the network is refused, unless the network is named", async () => {
    const checkpoint = await openSafetensors(fromBytes("x", SOURCE));
    const tensors = [];
    for (const [name, { dtype, shape }] of checkpoint.tensors) {
      tensors.push({ name, dtype, shape, bytes: await checkpoint.read(name) });
    }
    tensors.push({ name: "layer1.0.attention.weight", dtype: "F32" as const, shape: [1], bytes: new Uint8Array(4) });
    const bytes = writeSafetensors(tensors);
    await expect(load(bytes)).rejects.toThrow(/expected only tensors of .*, got also "layer1\.0\.attention\.weight"/);
    const named = await openModelWith(nodeRuntime(), bytes, { arch: "resnet20" });
    expect(named.guesses.map(({ key }) => key)).toContain("unused");
  });
  it("a scale missing from weights stored in int8 is refused by name", async () => {
    const file = await converted(SOURCE, {}, { dtype: "i8" });
    const checkpoint = await openSafetensors(fromBytes("x", file));
    const tensors = [];
    for (const [name, { dtype, shape }] of checkpoint.tensors) {
      if (name !== "fc.weight_scale") tensors.push({ name, dtype, shape, bytes: await checkpoint.read(name) });
    }
    await expect(load(writeSafetensors(tensors, checkpoint.metadata))).rejects.toThrow(
      /"fc\.weight_scale": expected F32 \[10\], got none/,
    );
  });
});
