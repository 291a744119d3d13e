/** Int8 networks: one result everywhere, what a file may lie about, and the quantizer. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fromBytes } from "../src/bytes.ts";
import { type LoadOptions, loadWith } from "../src/classifier.ts";
import { openSafetensors, writeSafetensors } from "../src/formats/safetensors.ts";
import type { Build } from "../src/kernels.ts";
import { METHODS } from "../src/methods.ts";
import { type ResNetSpec, resnetSpec } from "../src/models/resnet.ts";
import { load, nodeRuntime, quantize } from "../src/runtimes/node.ts";
import type { Algorithm, Tuning } from "../src/variants.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInt8 } from "./golden/int8.ts";
import { goldenInput, goldenPixels } from "./golden/weights.ts";
import { shipped } from "./shipped.ts";
import { RUNNABLE } from "./wasm.ts";

/** sha256 of the logits, first 16 digits: the same in every build, engine and number of threads. */
const DIGESTS: readonly (readonly [
  name: string,
  spec: Partial<ResNetSpec>,
  shape: readonly [number, number, number, number],
  digest: string,
])[] = [
  ["resnet20", {}, [2, 32, 32, 3], "20f0cffd5070197f"],
  ["resnet20", { shortcut: "B" }, [1, 29, 35, 3], "89cb2a696f5fff91"],
  ["resnet18", { classes: 10 }, [1, 97, 131, 3], "4381b81b5461c137"],
  ["resnet50d", { classes: 10 }, [1, 64, 64, 3], "c9b7a179ce57c2be"],
  ["resnext50_32x4d", { classes: 10 }, [1, 64, 64, 3], "aca3b49c498d0d1b"],
];

function digestOf(logits: Float32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength))
    .digest("hex")
    .slice(0, 16);
}

describe.each(DIGESTS)("%s %j", (name, changes, shape, digest) => {
  const bytes = goldenInt8(name, { ...resnetSpec(name), ...changes });
  const ways: readonly (readonly [string, LoadOptions])[] = RUNNABLE.flatMap((build) => [
    [`${build}`, { build }],
    [`${build}, direct sums`, { build, winograd: false }],
    [`${build}, 2 threads`, { build, threads: 2 }],
  ]);
  it.each(ways)("gives the golden logits: %s", async (_way, options) => {
    const model = await loadWith(await shipped(), bytes, options);
    const { data } = await model.logits({ data: goldenInput(shape), shape });
    expect(new Set(data).size).toBeGreaterThan(5);
    expect(digestOf(data)).toBe(digest);
    await model.dispose();
  });
  const forced = RUNNABLE.flatMap((build) => {
    const products = build === "relaxed" ? (["dot8", "dot16"] as const) : (["dot16"] as const);
    return [...products, "winograd4" as const].map((algorithm) => [build, algorithm] as const);
  });
  it.each(forced)("gives them by each way to compute: %s, %s", async (build, algorithm) => {
    const model = await load(bytes, { build, tuning: preferring(build, algorithm) });
    const { data } = await model.logits({ data: goldenInput(shape), shape });
    expect(digestOf(data)).toBe(digest);
    await model.dispose();
  });
});

/** A tuning in which an algorithm is the fastest way to compute any convolution that it can compute. */
function preferring(build: Build, algorithm: Algorithm): Tuning {
  return { build, ms: new Proxy({}, { get: () => ({ [algorithm]: 0 }) }) };
}

const SPEC: ResNetSpec = { ...resnetSpec("resnet20"), shortcut: "B" };
const F32 = goldenCheckpoint(SPEC);
const PHOTOS = Array.from({ length: 4 }, (_, i) => ({ width: 32 + i, height: 40, data: goldenPixels(32 + i, 40) }));

describe("quantize", () => {
  it.each(METHODS)("agrees with f32, ranges by %s", async (method) => {
    const { bytes, images, layers } = await quantize(F32, PHOTOS, { method });
    expect(images).toBe(PHOTOS.length);
    // 21 convolutions and the pooled features.
    expect(layers.length).toBe(22);
    const [exact, rounded] = [await load(F32), await load(bytes)];
    for (const photo of PHOTOS) {
      const input = await exact.preprocess(photo);
      const [want, got] = [(await exact.logits(input)).data, (await rounded.logits(input)).data];
      const largest = Math.max(...want.map(Math.abs));
      for (const [i, logit] of want.entries()) expect(Math.abs(got[i]! - logit) / largest).toBeLessThan(0.03);
      // Pixels and the same image preprocessed are one input.
      const features = await rounded.features(photo);
      expect(features.shape).toEqual([1, 64]);
      expect((await rounded.classify(photo, { topK: 1 }))[0]!.index).toBe(got.indexOf(Math.max(...got)));
    }
    await Promise.all([exact.dispose(), rounded.dispose()]);
  });
  it("takes preprocessed pixels back to the bytes they were", async () => {
    const { bytes } = await quantize(F32, PHOTOS);
    const model = await load(bytes);
    const photo = PHOTOS[0]!;
    const { data } = await model.logits(await model.preprocess(photo));
    const [best] = await model.classify(photo, { topK: 1 });
    expect(best!.index).toBe(data.indexOf(Math.max(...data)));
    await model.dispose();
  });
  it("skips images that cannot be read, and counts them", async () => {
    const { images, failed } = await quantize(F32, [PHOTOS[0]!, Uint8Array.of(1, 2, 3), "no/such/file.png"]);
    expect(images).toBe(1);
    expect(failed).toEqual([expect.stringMatching(/expected a JPEG/), expect.stringMatching(/no such file/)]);
  });
  it("refuses when no image can be read", async () => {
    await expect(quantize(F32, [])).rejects.toMatchObject({ code: "option", option: "images" });
  });
  it("does not quantize an int8 model twice", async () => {
    const { bytes } = await quantize(F32, PHOTOS.slice(0, 1));
    await expect(quantize(bytes, PHOTOS)).rejects.toMatchObject({ name: "ModelError", code: "unsupported" });
  });
  it.each(["seresnet18", "resnetv2_18"])("refuses %s by the layer it cannot compute", async (name) => {
    const bytes = goldenCheckpoint({ ...resnetSpec(name), classes: 10, depths: [1, 1] });
    await expect(quantize(bytes, PHOTOS)).rejects.toMatchObject({
      code: "unsupported",
      subject: expect.stringMatching(/^layer1\.0\.(se\.|bn1$)/),
    });
  });
  it("divides by no range of zero", async () => {
    const dead = goldenCheckpoint(SPEC, "bn1");
    const checkpoint = await openSafetensors(fromBytes("dead", dead));
    const tensors = [];
    for (const [name, { dtype, shape }] of checkpoint.tensors) {
      const bytes = (await checkpoint.read(name)).slice();
      if (/layer1\.0\.bn1\.(weight|bias)$/.test(name)) bytes.fill(0);
      tensors.push({ name, dtype, shape, bytes });
    }
    const { bytes } = await quantize(writeSafetensors(tensors, checkpoint.metadata), PHOTOS);
    const model = await load(bytes);
    const { data } = await model.logits({ data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] });
    expect(data.every(Number.isFinite)).toBe(true);
    await model.dispose();
  });
  it("needs no more memory for a batch than its activations", async () => {
    const { bytes } = await quantize(F32, PHOTOS.slice(0, 1));
    const model = await load(bytes);
    const shape = [8, 32, 32, 3] as const;
    const together = (await model.logits({ data: goldenInput(shape), shape })).data;
    for (let i = 0; i < 8; ++i) {
      const one = goldenInput(shape).subarray(i * 3072, (i + 1) * 3072);
      const { data } = await model.logits({ data: one, shape: [1, 32, 32, 3] });
      expect([...data]).toEqual([...together.subarray(10 * i, 10 * (i + 1))]);
    }
    await model.dispose();
  });
});

describe("an int8 file", () => {
  /** The file with tensors and metadata changed. */
  async function changed(
    change: (name: string, bytes: Uint8Array) => Uint8Array | undefined,
    metadata: (old: Readonly<Record<string, string>>) => Record<string, string> = (old) => ({ ...old }),
  ): Promise<Uint8Array> {
    const checkpoint = await openSafetensors(fromBytes("int8", goldenInt8("resnet20", SPEC)));
    const tensors = [];
    for (const [name, { dtype, shape }] of checkpoint.tensors) {
      const bytes = change(name, (await checkpoint.read(name)).slice());
      if (bytes !== undefined) tensors.push({ name, dtype, shape, bytes });
    }
    return writeSafetensors(tensors, metadata(checkpoint.metadata));
  }
  const open = (bytes: Uint8Array): Promise<unknown> => loadWith(nodeRuntime(), bytes);
  it("without a scale is refused by its name", async () => {
    const bytes = await changed((name, old) => (name === "layer1.0.conv1.weight_scale" ? undefined : old));
    await expect(open(bytes)).rejects.toThrow(/"layer1\.0\.conv1\.weight_scale" \[16\], got no such tensor/);
  });
  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("with a scale of %d is refused by its name", async (scale) => {
    const bytes = await changed((name, old) => {
      if (name === "layer2.0.conv2.weight_scale") new DataView(old.buffer).setFloat32(12, scale, true);
      return old;
    });
    await expect(open(bytes)).rejects.toThrow(
      /"layer2\.0\.conv2\.weight_scale".*(scales above 0, got .*|got) .* at element 3|finite numbers in "layer2\.0\.conv2\.weight_scale", got \w+ at element 3/,
    );
  });
  it.each([0, -0.5, null])("with a scale of %j is refused by its node", async (scale) => {
    const bytes = await changed(
      (_, old) => old,
      (old) => {
        const quantization = JSON.parse(old.quantization!);
        quantization.scales["layer1.1.conv1"] = scale;
        return { ...old, quantization: JSON.stringify(quantization) };
      },
    );
    await expect(open(bytes)).rejects.toThrow(/layer1\.1\.conv1|scales and weightSums/);
  });
  it("with a scale too few is refused by its node", async () => {
    const bytes = await changed(
      (_, old) => old,
      (old) => {
        const quantization = JSON.parse(old.quantization!);
        delete quantization.scales.avgpool;
        return { ...old, quantization: JSON.stringify(quantization) };
      },
    );
    await expect(open(bytes)).rejects.toMatchObject({ code: "metadata", subject: "avgpool" });
  });
  it("whose weights are larger than it says is refused: Winograd would not be exact", async () => {
    const bytes = await changed((name, old) => (name === "layer1.0.conv1.weight" ? old.fill(127) : old));
    const options = { build: "baseline", tuning: preferring("baseline", "winograd4") } as const;
    await expect(loadWith(nodeRuntime(), bytes, options)).rejects.toThrow(
      /"layer1\.0\.conv1\.weight": expected magnitudes that sum to at most/,
    );
  });
  it("keeps its own mean and deviation", async () => {
    await expect(loadWith(nodeRuntime(), goldenInt8("resnet20", SPEC), { mean: [0, 0, 0] })).rejects.toThrow(
      /preprocess: expected none for an int8 model/,
    );
  });
});
