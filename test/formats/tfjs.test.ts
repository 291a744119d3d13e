import { describe, expect, test } from "vitest";
import { type Folder, fromBytes } from "../../src/bytes.ts";
import { expectedGot, ModelError } from "../../src/errors.ts";
import { TFJS } from "../../src/formats/json.ts";
import { openCheckpoint, SAFETENSORS } from "../../src/formats/open.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { openTfjs } from "../../src/formats/tfjs.ts";

const FORMATS = [SAFETENSORS, TFJS];

type Files = Record<string, string | Uint8Array>;

function folder(files: Files): Folder {
  return {
    name: "model",
    async open(path) {
      const file = files[path];
      if (file === undefined)
        throw new ModelError("malformed", expectedGot(`model/${path}`, "a file", "no such file or folder"));
      return fromBytes(`model/${path}`, typeof file === "string" ? new TextEncoder().encode(file) : file);
    },
  };
}

const layer = (name: string, kind: string, config: object) => ({ name, class_name: kind, config });
const conv = (name: string, size: number, strides: number, padding = "valid") =>
  layer(name, "Conv2D", { kernel_size: [size, size], strides: [strides, strides], padding });
const norm = (name: string, epsilon?: number) =>
  layer(name, "BatchNormalization", epsilon === undefined ? {} : { epsilon });

const FC = layer("fc1000", "Dense", {});
const LAYERS = [conv("conv1", 3, 2), norm("bn_conv1", 0.002), conv("res3a_branch2a", 1, 2), FC];
const CONV = { name: "conv1/kernel", shape: [3, 2, 4, 5], dtype: "float32" };
const GAMMA = { name: "bn_conv1/gamma", shape: [5], dtype: "float32" };
const DENSE = { name: "fc1000/kernel", shape: [5, 3], dtype: "float32" };
const COUNT = 120 + 5 + 15;

/** A model whose n-th float is n, in shards of 256 bytes. */
function model(changes: { layers?: unknown[]; weights?: unknown[]; json?: object; files?: Files } = {}): Files {
  const bytes = new Uint8Array(Float32Array.from({ length: COUNT }, (_, i) => i).buffer);
  const json = {
    format: "layers-model",
    modelTopology: { model_config: { class_name: "Model", config: { layers: changes.layers ?? LAYERS } } },
    weightsManifest: [{ paths: ["a.bin", "b.bin", "c.bin"], weights: changes.weights ?? [CONV, GAMMA, DENSE] }],
    ...changes.json,
  };
  return {
    "model.json": JSON.stringify(json),
    "a.bin": bytes.slice(0, 256),
    "b.bin": bytes.slice(256, 512),
    "c.bin": bytes.slice(512),
    ...changes.files,
  };
}

const open = (files: Files) => openTfjs(folder(files), "model.json");

async function refuses(files: Files, message: RegExp): Promise<void> {
  const opened = open(files);
  await expect(opened).rejects.toThrow(ModelError);
  await expect(opened).rejects.toThrow(message);
}

const floats = (bytes: Uint8Array) => new Float32Array(bytes.slice().buffer);

describe("a layers model", () => {
  test("has torchvision's names and shapes, and its bytes in place", async () => {
    const checkpoint = await open(model());
    expect([...checkpoint.tensors.keys()]).toEqual(["conv1.weight", "bn1.weight", "fc.weight"]);
    const { shape, strides } = checkpoint.tensors.get("conv1.weight")!;
    expect(shape).toEqual([5, 4, 3, 2]);
    // HWIO element (h, w, i, o) is number ((h · 2 + w) · 4 + i) · 5 + o.
    const [o, i, h, w] = [3, 2, 1, 1];
    const at = o * strides![0]! + i * strides![1]! + h * strides![2]! + w * strides![3]!;
    expect(floats(await checkpoint.read("conv1.weight"))[at]).toBe(((h * 2 + w) * 4 + i) * 5 + o);
    expect(checkpoint.tensors.get("fc.weight")).toEqual({ dtype: "F32", shape: [3, 5], strides: [1, 3] });
    expect(floats(await checkpoint.read("bn1.weight"))).toEqual(Float32Array.of(120, 121, 122, 123, 124));
    await checkpoint.close();
  });

  test("classifiers of any name and of several layers, with what their description says", async () => {
    const head = [
      layer("global", "GlobalAveragePooling2D", {}),
      layer("hidden", "Dense", { activation: "relu" }),
      layer("drop", "Dropout", { rate: 0.5 }),
      layer("cats_and_dogs", "Dense", { activation: "linear" }),
      layer("probabilities", "Activation", { activation: "softmax" }),
    ];
    const weights = [CONV, GAMMA, { ...DENSE, name: "hidden/kernel" }].concat({
      ...DENSE,
      name: "cats_and_dogs/kernel",
    });
    const bytes = new Uint8Array(48 + 60);
    const { tensors, metadata } = await open(
      model({ layers: [...LAYERS.slice(0, 3), ...head], weights, files: { "c.bin": bytes } }),
    );
    expect([...tensors.keys()]).toEqual(["conv1.weight", "bn1.weight", "fc.0.weight", "fc.2.weight"]);
    expect(metadata.output_kind).toBe("softmax");
    const one = model({
      layers: [...LAYERS.slice(0, 3), layer("my_head", "Dense", { activation: "sigmoid" })],
      weights: [CONV, GAMMA, { ...DENSE, name: "my_head/kernel" }],
    });
    expect([...(await open(one)).tensors.keys()]).toEqual(["conv1.weight", "bn1.weight", "fc.weight"]);
    expect((await open(one)).metadata.output_kind).toBe("sigmoid");
  });
  test.each([
    ["an activation that is not run", [layer("a", "Dense", { activation: "tanh" })], /"a": .* got tanh/],
    [
      "another kind of layer",
      [layer("a", "Dense", {}), layer("b", "LayerNormalization", {})],
      /"b": .* got LayerNormalization/,
    ],
    [
      "layers behind probabilities",
      [layer("a", "Dense", { activation: "softmax" }), layer("b", "Dense", {})],
      /"b": expected nothing behind/,
    ],
  ])("a classifier with %s is refused by name", (_, head, message) =>
    refuses(model({ layers: [...LAYERS.slice(0, 3), ...head] }), message),
  );

  test("says its epsilon and where its strides are", async () => {
    expect((await open(model())).metadata).toEqual({ format: "tfjs", norm_epsilon: "0.002", stride_in_1x1: "true" });
    const v15 = [conv("conv3_block1_1_conv", 1, 1), conv("conv3_block1_2_conv", 3, 2), norm("conv1_bn"), FC];
    expect((await open(model({ layers: v15 }))).metadata).toMatchObject({
      norm_epsilon: "0.001",
      stride_in_1x1: "false",
    });
    expect((await open(model({ layers: [conv("res3a_branch2a", 3, 2), FC] }))).metadata).toEqual({ format: "tfjs" });
  });

  test("may hold a model in a model, and sit in a folder of the package", async () => {
    const inner = [layer("resnet", "Model", { layers: LAYERS })];
    const files = Object.entries(model({ layers: inner })).map(([path, file]) => [`deep/${path}`, file] as const);
    const checkpoint = await openTfjs(folder(Object.fromEntries(files)), "deep/model.json");
    expect(checkpoint.metadata.stride_in_1x1).toBe("true");
  });

  test("may be quantised to float16", async () => {
    const half = { ...GAMMA, quantization: { dtype: "float16", original_dtype: "float32" } };
    const checkpoint = await open(
      model({
        json: { weightsManifest: [{ paths: ["h.bin"], weights: [half] }] },
        files: { "h.bin": new Uint8Array(10) },
      }),
    );
    expect(checkpoint.tensors.get("bn1.weight")).toEqual({ dtype: "F16", shape: [5] });
  });
});

describe("ways a layers model can lie", () => {
  test("model.json missing", () => refuses({}, /model\/model.json: expected a file/));
  test("model.json is a web page", () => refuses({ "model.json": "\n<!DOCTYPE html><p>404" }, /got a web page/));
  test("model.json is cut short", () => refuses({ "model.json": '{"format":' }, /model.json: expected JSON/));
  test("model.json is empty", () => refuses({ "model.json": "" }, /got an empty file/));
  test("a graph model", () => refuses(model({ json: { format: "graph-model" } }), /got a graph model\n {2}hint/));
  test("no topology", () => refuses(model({ json: { modelTopology: null } }), /expected a modelTopology/));
  test("no layers", () => refuses(model({ layers: [] }), /expected layers/));
  test("no manifest", () => refuses(model({ json: { weightsManifest: [] } }), /expected a weightsManifest/));
  test("a group without paths", () =>
    refuses(model({ json: { weightsManifest: [{ weights: [] }] } }), /expected paths/));
  test("a weight without name", () => refuses(model({ weights: [{ shape: [1] }] }), /expected a named weight/));
  test("a weight of another network", () =>
    refuses(model({ weights: [{ ...CONV, name: "block1_conv1/kernel" }] }), /"block1_conv1\/kernel": .*Keras ResNet/));
  test("int32 weights", () =>
    refuses(model({ weights: [{ ...CONV, dtype: "int32" }] }), /"conv1\/kernel": expected float32, got int32/));
  test("uint8 quantisation", () =>
    refuses(
      model({ weights: [{ ...CONV, quantization: { dtype: "uint8" } }] }),
      /"conv1\/kernel": .*uint8 quantisation/,
    ));
  test("a negative shape", () =>
    refuses(model({ weights: [{ ...GAMMA, shape: [-5] }] }), /"bn_conv1\/gamma": .*whole/));
  test("a kernel of 3 dimensions", () =>
    refuses(model({ weights: [{ ...CONV, shape: [3, 3, 3] }] }), /2 or 4 dimensions/));
  test("one weight twice", () =>
    refuses(
      model({ weights: [CONV, GAMMA, DENSE].concat(CONV), files: { "c.bin": new Uint8Array(COUNT * 4 - 512 + 480) } }),
      /one weight for "conv1.weight"/,
    ));
  test("a shard missing", () => {
    const { "b.bin": _, ...rest } = model();
    return refuses(rest, /model\/b.bin: expected a file/);
  });
  test("the last shard short", () =>
    refuses(model({ files: { "c.bin": new Uint8Array(40) } }), /c.bin: expected 48 bytes, got 40/));
  test("a middle shard short", () =>
    refuses(model({ files: { "b.bin": new Uint8Array(200) } }), /b.bin: expected 256 bytes, got 200/));
  test("a shard too long", () =>
    refuses(model({ files: { "c.bin": new Uint8Array(52) } }), /c.bin: expected 48 bytes, got 52/));
  test("a shard empty", () => refuses(model({ files: { "a.bin": "" } }), /a.bin: expected 256 bytes, got 0/));
  test("a shard is a web page", () =>
    refuses(model({ files: { "b.bin": "<html>gone</html>" } }), /b.bin: expected 256 bytes, got a web page/));
  test("a shard outside of the folder", () =>
    refuses(model({ json: { weightsManifest: [{ paths: ["../x"], weights: [] }] } }), /\.\.\/x/));
  test("two epsilons", () => refuses(model({ layers: [norm("b", 1), ...LAYERS] }), /one epsilon/));
  test("strides in both places", () =>
    refuses(model({ layers: [conv("res4a_branch2b", 3, 2), ...LAYERS] }), /one place/));
  test("TensorFlow's lopsided padding", () =>
    refuses(model({ layers: [conv("conv1", 7, 2, "same"), FC] }), /"conv1": expected padding "valid"/));
});

describe("openCheckpoint tells by content", () => {
  const at = (file: string | Uint8Array) => openCheckpoint(folder({ ...model(), "x.bin": file }), "x.bin", FORMATS);
  const tensor = (name: string) => ({ name, dtype: "U8", shape: [1], bytes: Uint8Array.of(5) }) as const;

  test("safetensors, whose names become torchvision's", async () => {
    const names = ["layer2.0.shortcut.0.weight", "bn1.num_batches_tracked"];
    const checkpoint = await at(writeSafetensors(names.map(tensor)));
    expect([...checkpoint.tensors.keys()]).toEqual(["layer2.0.downsample.0.weight"]);
    expect(await checkpoint.read("layer2.0.downsample.0.weight")).toEqual(Uint8Array.of(5));
  });
  test("TensorFlow.js", async () => {
    expect((await openCheckpoint(folder(model()), "model.json", FORMATS)).metadata.format).toBe("tfjs");
  });
  test("two tensors of one name", () =>
    expect(at(writeSafetensors(["stem.conv.bias", "conv1.bias"].map(tensor)))).rejects.toThrow(
      /two, "stem.conv.bias" and "conv1.bias"/,
    ));
  test.each([
    ["<!doctype html><html>", /got a web page/],
    ["", /got an empty file/],
    ["version https://git-lfs.github.com/spec/v1\n", /Git LFS pointer/],
    [Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0), /zip archive/],
    [Uint8Array.of(0x80, 2, 0x8a, 10), /pickle/],
    ["hello", /expected a safetensors file or the model.json .*, got bytes of no known format/],
  ])("%j is refused", (file, message) => expect(at(file)).rejects.toThrow(message));
  test("noise named .safetensors gets the safetensors reader's error", () =>
    expect(openCheckpoint(folder({ "x.safetensors": "0123456789" }), "x.safetensors", FORMATS)).rejects.toThrow(
      /header of at most/,
    ));
});
