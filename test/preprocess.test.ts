/** What is assumed about pixels when nobody describes it, and how that is checked against the network. */
import { describe, expect, it } from "vitest";
import { writeSafetensors } from "../src/formats/safetensors.ts";
import { openModelWith } from "../src/model.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../src/models/resnet.ts";
import { paramsOf } from "../src/ops/ops.ts";
import { PRESETS, type PreprocessOptions } from "../src/preprocess.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { goldenTensor } from "./golden/weights.ts";

const PHOTOS: ResNetSpec = { ...resnetSpec("resnet18"), depths: [1, 1], width: 8, classes: 3 };
const SMALL: ResNetSpec = { ...resnetSpec("resnet20"), shortcut: "B", depths: [1, 1], width: 8 };

function file(spec: ResNetSpec, metadata: Record<string, string>): Uint8Array {
  const graph = resnet("x", spec, [32, 32, 3]);
  const tensors = paramsOf(graph).map(({ name, shape }) => {
    const values = goldenTensor(name, shape, null);
    return { name, shape, dtype: "F32" as const, bytes: new Uint8Array(values.buffer) };
  });
  return writeSafetensors(tensors, metadata);
}

describe("what nobody describes", () => {
  it.each([
    ["a file with torchvision's names", file(PHOTOS, {}), "torchvision-v1"],
    ["a file with Keras's names", file(PHOTOS, { format: "tfjs" }), "caffe"],
    ["a network for small images", file(SMALL, {}), "cifar"],
  ] as const)("is, for %s, the preset %s", async (_title, bytes, name) => {
    const model = await openModelWith(nodeRuntime(), bytes, {});
    const { mean, std, order } = PRESETS[name];
    expect(model.preprocess).toMatchObject({ mean, std, order });
    expect(model.guesses).toContainEqual({ key: "preprocess", message: `preprocessing of the ${name} preset` });
    await model.checkpoint.close();
  });
});

describe("what a caller describes", () => {
  const described = (change: object): PreprocessOptions => ({ ...PRESETS.timm, ...change }) as PreprocessOptions;
  it("may be two sides, squashed", async () => {
    const preprocess = described({ resize: [300, 200], crop: [280, 180], squash: true });
    const model = await openModelWith(nodeRuntime(), file(PHOTOS, {}), { preprocess, size: [280, 180] });
    expect(model.preprocess).toMatchObject({ resize: [300, 200], crop: [280, 180], squash: true });
    expect(model.guesses.map(({ key }) => key)).not.toContain("preprocess");
    await model.checkpoint.close();
  });
  it.each([
    [{ preprocess: described({ filter: "cubic" }) }, /preprocess\.filter: expected one of nearest, .*, got "cubic"/],
    [{ preprocess: described({ std: [1, 1] }) }, /preprocess\.std: expected three numbers/],
    [{ preprocess: "imagenet" }, /preprocess: expected one of torchvision-v1, /],
    [{ mean: [1e308, 0, 0] }, /preprocess\.std: expected numbers above 0 by which the mean can be divided/],
    [{ preprocess: "gray" }, /order "rgb" or "bgr" for 3 channels, got "gray"/],
    [{ size: [0, 5] }, /size: expected a whole number of pixels/],
  ])("%j is refused as an option", async (options, message) => {
    const opened = openModelWith(nodeRuntime(), file(PHOTOS, {}), options as never);
    await expect(opened).rejects.toMatchObject({ name: "OptionError" });
    await expect(opened).rejects.toThrow(message);
  });
});
