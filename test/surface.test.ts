/** What each entry exports: the golden list of the public surface. A change here is a change for every user. */
import { describe, expect, it, vi } from "vitest";
import { defineRuntime } from "../src/define.ts";
import * as formats from "../src/formats/index.ts";
import * as lowlevel from "../src/lowlevel.ts";
import * as browser from "../src/runtimes/browser.ts";
import * as edge from "../src/runtimes/edge.ts";
import * as inline from "../src/runtimes/inline.ts";
import * as node from "../src/runtimes/node.ts";

// Nothing is computed here, and Vite imports no wasm by itself.
vi.mock("../wasm/baseline.wasm", () => ({ default: undefined }));
vi.mock("../wasm/relaxed.wasm", () => ({ default: undefined }));
vi.mock("../wasm/jpeg.wasm", () => ({ default: undefined }));
vi.mock("../wasm/solve.wasm", () => ({ default: undefined }));
vi.mock("../wasm/webp.wasm", () => ({ default: undefined }));

/** The functions that are bound to a runtime, the same everywhere. */
const LIBRARY = [
  "load",
  "finetune",
  "train",
  "quantize",
  "tune",
  "createTrainer",
  "createTeacher",
  "openModel",
  "inspect",
  "convert",
  ...["prefetch", "cached", "forget", "usage", "persist"],
] as const;

/** What every entry has besides. */
const COMMON = [
  ...["ArgumentTypeError", "DatasetError", "DivergedError", "ImageError", "ModelError", "OptionError", "StateError"],
  ...[
    "AUGMENTS",
    "BUILDS",
    "BYTE_LIMIT",
    "FILTERS",
    "HEADS",
    "METHODS",
    "LOSSES",
    "OPTIMIZERS",
    "OUTPUT_KINDS",
    "PARTS",
    "PIXEL_LIMIT",
    "PRESETS",
    "PRETRAINED",
  ],
  ...["RESNETS", "SAFETENSORS", "SCHEDULES", "STORAGE_DTYPES"],
  ...["ImageSet", "defineRuntime", "fromBytes", "fromStream", "mergeSums", "search", "similarity", "splitDataset"],
  ...["Teacher", "supportsRelaxed"],
];

const OWN = {
  node: ["createHandler", "enableWideVectors", "nodeRuntime"],
  browser: ["browserRuntime", "init"],
  inline: ["init", "inlineRuntime"],
  edge: ["createHandler", "edgeRuntime", "init"],
} as const;

const sorted = (names: Iterable<string>): readonly string[] => [...names].sort();

describe("an entry", () => {
  it.each([
    ["node", node],
    ["browser", browser],
    ["inline", inline],
    ["edge", edge],
  ] as const)("%s exports the golden list", (name, entry) => {
    expect(sorted(Object.keys(entry))).toEqual(sorted([...LIBRARY, ...COMMON, ...OWN[name]]));
  });
  it("has the functions of defineRuntime, with the same arguments", () => {
    const library = defineRuntime(node.nodeRuntime());
    expect(sorted(Object.keys(library))).toEqual(sorted(LIBRARY));
  });
});

describe("a sub-path", () => {
  it("lowlevel exports the golden list", () => {
    expect(sorted(Object.keys(lowlevel))).toEqual(
      sorted([
        ...["candidates", "checkBuildOptions", "checkWeights", "choose", "classCount", "createEngine", "defaultMemory"],
        ...["engineTarget", "ensureMemory", "finetuneNeeds", "fitWeights", "fold", "initialise", "inputShape"],
        ...["loadKernels", "loadModel", "macCount", "nodeOf", "opOf", "outputNode", "packWeights", "paramsOf"],
        ...[
          "parameterCount",
          "pickBuild",
          "plan",
          "planWeights",
          "printTape",
          "probabilitiesOf",
          "resize",
          "resnet",
          "resnetSpec",
        ],
        ...["run", "runStep", "softmax", "step", "trainWith", "trainingNeeds", "tuneGraph", "withClasses"],
      ]),
    );
  });
  it("formats exports the golden list", () => {
    expect(sorted(Object.keys(formats))).toEqual(
      sorted([
        ...["ONNX", "SAFETENSORS", "SHARDED", "TFJS", "TORCH"],
        ...["fromBytes", "fromStream", "openCheckpoint", "openSafetensors", "openSharded", "planSafetensors"],
        ...["readValues", "writeSafetensors"],
      ]),
    );
  });
});
