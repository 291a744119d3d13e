/** Networks as ONNX files. What onnxruntime computes of them: .ci/onnx.ts. */
import { describe, expect, it } from "vitest";
import { fromBytes } from "../src/bytes.ts";
import type { ConvertOptions } from "../src/convert.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import type { ModelOptions } from "../src/model.ts";
import { type ResNetSpec, resnetSpec } from "../src/models/resnet.ts";
import { convert, load, nodeRuntime, openModel } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInt8 } from "./golden/int8.ts";
import { goldenInput } from "./golden/weights.ts";

async function written(
  source: Uint8Array<ArrayBuffer>,
  options: ConvertOptions & ModelOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convert(source, { ...options, format: "onnx" })) pieces.push(piece);
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

async function logitsOf(source: Uint8Array<ArrayBuffer>, side: number): Promise<Float32Array> {
  await using model = await load(source, { winograd: false, size: side });
  const shape = [2, side, side, 3] as const;
  return (await model.logits({ data: goldenInput(shape), shape })).data;
}

const labels = Array.from({ length: 10 }, (_, i) => `class ${i}`);
/** Every kind of stem, block, shortcut and pool of the table. */
const NETWORKS: readonly (readonly [string, Partial<ResNetSpec>, number])[] = [
  ["resnet20", {}, 32],
  ["resnet20", { shortcut: "B" }, 32],
  ["plain20", {}, 32],
  ["resnet26", { classes: 10 }, 65],
  ["resnet26d", { classes: 10 }, 66],
  ["resnet26d", { classes: 10 }, 75],
  ["seresnet18", { classes: 10 }, 64],
  ["resnetv2_18", { classes: 10 }, 64],
  ["resnext50_32x4d", { classes: 10, depths: [1, 1, 1, 1] }, 64],
];

describe.each(NETWORKS)("%s %j, images of %i pixels", (name, changes, side) => {
  const spec = { ...resnetSpec(name), ...changes };
  const source = goldenCheckpoint(spec) as Uint8Array<ArrayBuffer>;
  const options = { labels, size: side, preprocess: "caffe" } as const;

  it("gives the same logits when it is read again", async () => {
    const [again, first] = [await logitsOf(await written(source, options), side), await logitsOf(source, side)];
    const largest = Math.max(...first.map(Math.abs));
    for (const [i, value] of again.entries()) expect(Math.abs(value - first[i]!)).toBeLessThan(1e-5 * largest);
  });
  it("says its labels and its preprocessing", async () => {
    await using model = await openModel(await written(source, options));
    expect(model.labels).toEqual(labels);
    expect(model.preprocess.order).toBe("bgr");
    expect(model.guesses).toEqual([]);
  });
});

const SOURCE = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }) as Uint8Array<ArrayBuffer>;

describe("smaller weights", () => {
  it("takes half the bytes in f16, a quarter in i8", async () => {
    const [f32, f16, i8] = [
      await written(SOURCE),
      await written(SOURCE, { dtype: "f16" }),
      await written(SOURCE, { dtype: "i8" }),
    ];
    expect(f16.length / f32.length).toBeGreaterThan(0.5);
    expect(f16.length / f32.length).toBeLessThan(0.55);
    expect(i8.length / f32.length).toBeLessThan(0.31);
  });
});

describe("int8 networks", () => {
  it("are pairs of QuantizeLinear and DequantizeLinear around integers", async () => {
    const file = await written(goldenInt8("resnet20", resnetSpec("resnet20")));
    const text = new TextDecoder("latin1").decode(file);
    const count = (word: string): number => text.split(word).length - 1;
    expect(count("DequantizeLinear")).toBeGreaterThan(60);
    // 270,000 weights of a byte each.
    expect(file.length).toBeLessThan(350_000);
    // As it is not a network of floats, it is not read here, and says why.
    const opened = openCheckpoint(
      { name: "folder", open: async () => fromBytes("m.onnx", file) },
      "m.onnx",
      nodeRuntime().formats,
    );
    await expect(opened).rejects.toThrow(/quantised model/);
  });
});

describe("refuses", () => {
  it.each([
    [{ format: "pth" as never }, /^format: expected safetensors, onnx, got "pth"/],
    [{ layout: "packed" } as const, /^layout: expected plain for an ONNX file, got packed/],
  ])("%j", async (options, message) => {
    const pieces = async (): Promise<void> => {
      for await (const _ of convert(SOURCE, { format: "onnx", ...options })) {
      }
    };
    await expect(pieces()).rejects.toThrow(message);
  });
  it("weights that are packed", async () => {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for await (const piece of convert(SOURCE, { layout: "packed", build: "baseline" })) pieces.push(piece);
    const packed = new Uint8Array(await new Blob(pieces).arrayBuffer());
    await expect(written(packed)).rejects.toThrow(/expected weights in their plain order, got packed ones/);
  });
});
