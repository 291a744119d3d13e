/** Weight files of every format, through the door that users take: load, then classify. */
import { type Folder, fromBytes } from "../../../src/bytes.ts";
import { loadWith } from "../../../src/classifier.ts";
import { ModelError } from "../../../src/errors.ts";
import { openCheckpoint } from "../../../src/formats/open.ts";
import { readConfig } from "../../../src/models/config.ts";
import type { Runtime } from "../../../src/runtime.ts";
import { nodeRuntime } from "../../../src/runtimes/node.ts";
import { goldenInput, goldenPixels } from "../../golden/weights.ts";
import { bundle, inBundle, jsonFile, protobuf, safetensors, unbundle, zip } from "../containers.ts";
import { converted, f32, int8, onnx, packed, shards, torch } from "../seeds.ts";
import type { Target } from "../target.ts";

const runtime = nodeRuntime();
const PHOTO = { width: 40, height: 36, data: goldenPixels(40, 36) };
/** Enough for every seed. */
const MEMORY = 128 * 2 ** 20;

/** Loads a model and classifies a photo and an input by it; a model that loads must answer in numbers. */
async function answers(source: Uint8Array | string, from: Runtime = runtime): Promise<ArrayLike<number>> {
  const classifier = await loadWith(from, source, { memoryBytes: MEMORY });
  try {
    const { crop } = classifier.model.preprocess;
    const [h, w] = typeof crop === "number" ? [crop, crop] : (crop as unknown as [number, number]);
    if (h * w > 1 << 18) return [];
    const predictions = await classifier.classify(PHOTO);
    const { data } = await classifier.logits({ data: goldenInput([1, h, w, 3]), shape: [1, h, w, 3] });
    return [...predictions.map(({ probability }) => probability), ...data];
  } finally {
    await classifier.dispose();
  }
}

/** The files of a bundle as a folder. */
function folderOf(files: ReadonlyMap<string, Uint8Array>): Folder {
  return {
    name: "bundle",
    async open(path) {
      const bytes = files.get(path);
      if (bytes === undefined) throw new ModelError("not-found", `bundle/${path}: expected a file, got none`);
      return fromBytes(`bundle/${path}`, bytes);
    },
  };
}

/** A runtime whose every source is a bundle. */
function runtimeOf(bytes: Uint8Array, entry: string): Runtime {
  const folder = folderOf(unbundle(bytes));
  return { ...runtime, locate: async () => ({ folder, entry, hints: (wanted) => readConfig(folder, wanted) }) };
}

const CONFIG = {
  ...{ model_type: "resnet", architectures: ["ResNetForImageClassification"], layer_type: "basic", num_channels: 3 },
  ...{ id2label: Object.fromEntries(Array.from({ length: 10 }, (_, i) => [i, `class ${i}`])) },
};
const TIMM = {
  architecture: "resnet18",
  num_classes: 10,
  pretrained_cfg: {
    input_size: [3, 32, 32],
    crop_pct: 0.95,
    interpolation: "bicubic",
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
  },
};
const PROCESSOR = {
  ...{ image_processor_type: "ConvNextImageProcessor", size: { shortest_edge: 32 }, crop_pct: 0.875, resample: 3 },
  ...{ image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225], do_resize: true, do_normalize: true },
};

const TFJS = {
  format: "layers-model",
  modelTopology: {
    class_name: "Model",
    config: {
      layers: [
        { class_name: "Conv2D", name: "conv1", config: { kernel_size: [3, 3], strides: [2, 2], padding: "valid" } },
        { class_name: "BatchNormalization", name: "bn_conv1", config: { epsilon: 0.001 } },
      ],
    },
  },
  weightsManifest: [
    {
      paths: ["a.bin", "b.bin"],
      weights: [
        { name: "conv1/kernel", shape: [3, 3, 3, 4], dtype: "float32" },
        { name: "bn_conv1/gamma", shape: [4], dtype: "float32" },
      ],
    },
  ],
};

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const structured = (name: string) => (/\.json$/.test(name) ? [jsonFile, jsonFile] : [safetensors]);

export const weights: readonly Target[] = [
  {
    name: "safetensors",
    seeds: async () => [f32(), await converted(f32(), "f16", runtime), await packed(f32(), runtime)],
    mutators: [safetensors, safetensors, safetensors],
    run: (bytes) => answers(bytes),
  },
  {
    name: "int8",
    seeds: async () => [int8(), await converted(f32(), "i8", runtime), await packed(int8(), runtime)],
    mutators: [safetensors, safetensors, safetensors],
    run: (bytes) => answers(bytes),
  },
  {
    name: "graph",
    // What convert makes of an ONNX file keeps the network in its metadata.
    seeds: async () => [await converted(await onnx(), "f32", runtime)],
    mutators: [safetensors, safetensors, safetensors, safetensors],
    run: (bytes) => answers(bytes),
  },
  {
    name: "onnx",
    seeds: async () => [await onnx()],
    mutators: [protobuf, protobuf, protobuf],
    run: (bytes) => answers(bytes),
  },
  {
    name: "torch",
    seeds: async () => [await torch()],
    mutators: [zip, zip, zip],
    run: (bytes) => answers(bytes),
  },
  {
    name: "sharded",
    seeds: async () => [bundle(await shards())],
    mutators: [inBundle(structured), inBundle(structured)],
    run: (bytes) => answers("bundle", runtimeOf(bytes, "model.safetensors.index.json")),
  },
  {
    name: "config",
    seeds: async () =>
      [{}, CONFIG, TIMM].map((config) =>
        bundle({
          "model.safetensors": f32(),
          "config.json": json(config),
          "preprocessor_config.json": json(PROCESSOR),
        }),
      ),
    mutators: [inBundle((name) => (/config/.test(name) ? [jsonFile, jsonFile, jsonFile] : []))],
    run: (bytes) => answers("bundle", runtimeOf(bytes, "model.safetensors")),
  },
  {
    name: "tfjs",
    seeds: async () => [
      bundle({ "model.json": json(TFJS), "a.bin": new Uint8Array(256), "b.bin": new Uint8Array(192) }),
    ],
    mutators: [inBundle(structured), inBundle(structured)],
    async run(bytes) {
      const checkpoint = await openCheckpoint(folderOf(unbundle(bytes)), "model.json", runtime.formats);
      for (const name of checkpoint.tensors.keys()) await checkpoint.read(name);
      await checkpoint.close();
      return [checkpoint.tensors.size];
    },
  },
];
