/**
 * Checkpoints as people save them: one golden network, whose logits are PyTorch's (logits.test.ts), under other names, with
 * other heads and beside other tensors. Small files, made here; .ci/properties.py makes real ones with PyTorch.
 */
import { describe, expect, it } from "vitest";
import { loadWith } from "../../src/classifier.ts";
import { ModelError, OptionError } from "../../src/errors.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import type { ModelOptions } from "../../src/model.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { paramsOf } from "../../src/ops/ops.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { goldenInput, goldenTensor } from "../golden/weights.ts";

const SPEC: ResNetSpec = { ...resnetSpec("resnet20"), shortcut: "B", depths: [1, 1], width: 8, classes: 5 };
const FEATURES = 16;
const SHAPE = [2, 32, 32, 3] as const;
const INPUT = { shape: SHAPE, data: goldenInput(SHAPE) };

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

const tensor = (name: string, shape: readonly number[]): Tensor => ({ name, shape, values: goldenTensor(name, shape) });
const NETWORK = paramsOf(resnet("golden", SPEC)).map(({ name, shape }) => tensor(name, shape));
const TRUNK = NETWORK.filter(({ name }) => !name.startsWith("fc."));
const HEAD = NETWORK.filter(({ name }) => name.startsWith("fc."));
const under = (prefix: string, tensors: readonly Tensor[]): Tensor[] =>
  tensors.map((each) => ({ ...each, name: `${prefix}${each.name}` }));
const file = (tensors: readonly Tensor[]): Uint8Array<ArrayBuffer> =>
  writeSafetensors(
    tensors.map(({ name, shape, values }) => ({ name, shape, dtype: "F32", bytes: new Uint8Array(values.buffer) })),
  );

async function opened(tensors: readonly Tensor[], options: ModelOptions = {}) {
  const model = await loadWith(nodeRuntime(), file(tensors), options);
  try {
    const { data } = await model.logits(INPUT);
    const features = await model.features(INPUT);
    const { guesses, graph } = model.model;
    return { logits: data, features: features.data, keys: guesses.map(({ key }) => key), output: graph.output };
  } finally {
    await model.dispose();
  }
}

const PLAIN = await opened(NETWORK);

function close(a: ArrayLike<number>, b: ArrayLike<number>): void {
  expect(a.length).toBe(b.length);
  for (let i = 0; i < a.length; ++i) expect(Math.abs(a[i]! - b[i]!)).toBeLessThan(1e-4 * (1 + Math.abs(b[i]!)));
}

async function refusal(tensors: readonly Tensor[], options: ModelOptions = {}): Promise<ModelError> {
  const error = await opened(tensors, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ModelError);
  return error as ModelError;
}

describe("what stands before the network", () => {
  it.each([
    "module.",
    "module.module.",
    "_orig_mod.",
    "model.net.backbone.",
    "encoder_q.",
    "a.b.c.d.",
    "state_dict/model.",
  ])("%s", async (prefix) => close((await opened(under(prefix, NETWORK))).logits, PLAIN.logits));
  it("a head around the backbone", async () => {
    close((await opened([...under("model.backbone.", TRUNK), ...under("model.", HEAD)])).logits, PLAIN.logits);
  });
  it("children of a Sequential", async () => {
    const names: Readonly<Record<string, string>> = { conv1: "0", bn1: "1", layer1: "4", layer2: "5" };
    const numbered = TRUNK.map((each) => ({ ...each, name: each.name.replace(/^\w+/, (child) => names[child]!) }));
    close((await opened([...under("features.", numbered), ...HEAD])).logits, PLAIN.logits);
  });
});

describe("copies of the network", () => {
  const doubled = NETWORK.map((each) => ({ ...each, values: each.values.map((value) => 2 * value) }));
  it.each(["ema.", "momentum_encoder.module.", "teacher.", "state_dict_ema/"])(
    "%s is left out, and said",
    async (copy) => {
      for (const prefix of ["", "student."]) {
        for (const order of [
          [...under(copy, doubled), ...under(prefix, NETWORK)],
          [...under(prefix, NETWORK), ...under(copy, doubled)],
        ]) {
          const { logits, keys } = await opened(order);
          close(logits, PLAIN.logits);
          expect(keys).toContain("network");
        }
      }
    },
  );
  it("the key chooses one, or is refused", async () => {
    const both = [...under("ema.", NETWORK), ...under("net.", doubled)];
    const { logits, keys } = await opened(both, { key: "ema" });
    close(logits, PLAIN.logits);
    expect(keys).not.toContain("network");
    await expect(opened(both, { key: "other" })).rejects.toThrow(OptionError);
  });
  it("of contrastive training has embeddings, not classes", async () => {
    const queue = tensor("queue", [5, 32]);
    const { logits, output, keys } = await opened([
      ...under("encoder_q.", NETWORK),
      ...under("encoder_k.", doubled),
      queue,
    ]);
    close(logits, PLAIN.logits);
    expect([output, keys.includes("output")]).toEqual(["none", true]);
  });
});

/** `x · wᵀ + b`, in plain loops. */
function linear(x: readonly number[], weight: Tensor, bias?: Tensor): number[] {
  const [outputs, inputs] = weight.shape as [number, number];
  return Array.from({ length: outputs }, (_, o) => {
    let sum = bias?.values[o] ?? 0;
    for (let i = 0; i < inputs; ++i) sum += x[i]! * weight.values[o * inputs + i]!;
    return sum;
  });
}

function norm(x: readonly number[], [weight, bias, mean, variance]: readonly Tensor[]): number[] {
  return x.map((value, i) => {
    const deviation = Math.sqrt(variance!.values[i]! + 1e-5);
    return ((value - mean!.values[i]!) / deviation) * weight!.values[i]! + bias!.values[i]!;
  });
}

const relu = (x: readonly number[]): number[] => x.map((value) => Math.max(0, value));
const normed = (name: string, c: number): Tensor[] =>
  ["weight", "bias", "running_mean", "running_var"].map((part) => tensor(`${name}.${part}`, [c]));
const perImage = (head: (x: readonly number[]) => number[]): number[] =>
  [0, 1].flatMap((image) => head([...PLAIN.features.slice(image * FEATURES, (image + 1) * FEATURES)]));

describe("heads", () => {
  it.each(["head", "classifier", "last_linear", "fc_out", "anything", "fc.1", "classifier.0.3", "head.fc"])(
    "of one layer called %s",
    async (name) => {
      const renamed = HEAD.map((each) => ({ ...each, name: each.name.replace("fc", name) }));
      close((await opened([...TRUNK, ...renamed])).logits, PLAIN.logits);
    },
  );
  it("without a bias", async () => {
    const weight = HEAD[0]!;
    close(
      (await opened([...TRUNK, weight])).logits,
      perImage((x) => linear(x, weight)),
    );
  });
  it("of two layers, with a ReLU where there is room for one", async () => {
    const [a, b] = [
      [tensor("fc.0.weight", [12, FEATURES]), tensor("fc.0.bias", [12])],
      [tensor("fc.3.weight", [5, 12]), tensor("fc.3.bias", [5])],
    ] as const;
    const { logits, keys } = await opened([...TRUNK, ...a, ...b]);
    close(
      logits,
      perImage((x) => linear(relu(linear(x, a[0]!, a[1])), b[0]!, b[1])),
    );
    expect(keys).toContain("head");
  });
  it("of two layers without room for one", async () => {
    const [a, b] = [tensor("head.0.weight", [12, FEATURES]), tensor("head.1.weight", [5, 12])];
    close(
      (await opened([...TRUNK, a, b])).logits,
      perImage((x) => linear(linear(x, a), b)),
    );
  });
  it("of linear layer, norm, ReLU, dropout, linear layer", async () => {
    const [a, b, n] = [tensor("fc.0.weight", [12, FEATURES]), tensor("fc.4.weight", [5, 12]), normed("fc.1", 12)];
    const { logits } = await opened([...TRUNK, a, ...n, b]);
    close(
      logits,
      perImage((x) => linear(relu(norm(linear(x, a), n)), b)),
    );
  });
  it("of norm, dropout, linear layer", async () => {
    const [n, b] = [normed("fc.0", FEATURES), tensor("fc.2.weight", [5, FEATURES])];
    close(
      (await opened([...TRUNK, ...n, b])).logits,
      perImage((x) => linear(norm(x, n), b)),
    );
  });
  it("of one output is a sigmoid", async () => {
    const { output, keys } = await opened([...TRUNK, tensor("fc.weight", [1, FEATURES])]);
    expect([output, keys.includes("output")]).toEqual(["sigmoid", true]);
  });
  it("absent: features", async () => {
    const { logits, features, output } = await opened(TRUNK);
    close(logits, PLAIN.features);
    close(features, PLAIN.features);
    expect(output).toBe("none");
  });
});

describe("weights in parts", () => {
  const changed = (parts: (each: Tensor) => readonly Tensor[]): Tensor[] =>
    NETWORK.flatMap((each) => (each.shape.length > 1 ? parts(each) : [each]));
  it("pruned", async () => {
    const pruned = changed(({ name, shape, values }) => [
      { name: `${name}_orig`, shape, values: values.map((value, i) => (i % 3 === 0 ? 7 : value)) },
      { name: `${name}_mask`, shape, values: values.map((_, i) => (i % 3 === 0 ? 0 : 1)) },
    ]);
    const whole = NETWORK.map((each) => ({
      ...each,
      values: each.shape.length > 1 ? each.values.map((v, i) => (i % 3 === 0 ? 0 : v)) : each.values,
    }));
    close((await opened(pruned)).logits, (await opened(whole)).logits);
  });
  it.each([
    ["_g", "_v", ""],
    [".original0", ".original1", "parametrizations."],
  ])("of a length %s and a direction %s", async (g, v, scope) => {
    const normalised = changed(({ name, shape, values }) => {
      const at = name.replace(/weight$/, `${scope}weight`);
      const each = values.length / shape[0]!;
      const lengths = Float32Array.from({ length: shape[0]! }, (_, o) =>
        Math.hypot(...values.slice(o * each, (o + 1) * each)),
      );
      const direction = values.map((value) => 3 * value);
      return [
        { name: `${at}${g}`, shape: [shape[0]!, ...shape.slice(1).map(() => 1)], values: lengths },
        { name: `${at}${v}`, shape, values: direction },
      ];
    });
    close((await opened(normalised)).logits, PLAIN.logits);
  });
});

describe("nothing is left out in silence", () => {
  it.each([
    ["a second classifier", [tensor("fc2.weight", [3, 5])], "fc2.weight"],
    [
      "attention behind the network",
      [tensor("ca.fc1.weight", [4, FEATURES, 1, 1]), tensor("ca.fc2.weight", [FEATURES, 4, 1, 1])],
      "ca.fc1.weight",
    ],
    ["a norm before the classifier", normed("bottleneck", FEATURES), "bottleneck.weight"],
    ["a tensor of the trunk", [tensor("layer1.0.extra.weight", [3])], "layer1.0.extra.weight"],
    ["a module around it", [tensor("../x", [1]), tensor("decoder.weight", [4, 4])], "../x"],
  ])("%s is refused by name, or said where --arch names the network", async (_, extra, subject) => {
    const error = await refusal([...NETWORK, ...extra]);
    expect([error.code, error.subject]).toEqual(["tensor-unused", subject]);
    const { logits, keys } = await opened([...NETWORK, ...extra], { arch: "basic-1-1" });
    close(logits, PLAIN.logits);
    expect(keys).toContain("unused");
  });
  it("counters, losses and metrics are understood", async () => {
    const extra = ["criterion.weight", "val_acc.total", "loss_fn.centers", "layer1.total_ops"].map((name) =>
      tensor(name, [5]),
    );
    const { logits, keys } = await opened([...under("net.", NETWORK), ...extra]);
    close(logits, PLAIN.logits);
    expect(keys).not.toContain("unused");
  });
  it("a stem that the file leaves open is said", async () => {
    expect(PLAIN.keys).toContain("stem");
  });
});

describe("what is no such network", () => {
  it("says what is missing, and gives no hint that would not help", async () => {
    const error = await refusal([tensor("blocks.0.attn.qkv.weight", [4, 4])]);
    expect([error.code, error.subject]).toEqual(["architecture", "conv1.weight"]);
    expect(error.message).not.toMatch(/option arch/);
    const named = await refusal([tensor("blocks.0.attn.qkv.weight", [4, 4])], { arch: "resnet18" });
    expect([named.code, named.subject]).toEqual(["tensor-missing", "conv1.weight"]);
  });
  it("an --arch that is no network's name is an option out of range", async () => {
    for (const arch of ["constructor", "resnet1"]) await expect(opened(NETWORK, { arch })).rejects.toThrow(OptionError);
  });
  it("images of other channels are refused by naming them", async () => {
    const four = NETWORK.map((each) => (each.name === "conv1.weight" ? tensor("conv1.weight", [8, 4, 3, 3]) : each));
    const error = await refusal(four);
    expect([error.code, error.subject]).toEqual(["unsupported", "conv1.weight"]);
    expect(error.message).toMatch(/4 in/);
  });
  it("a gray network runs", async () => {
    const gray = NETWORK.map((each) => (each.name === "conv1.weight" ? tensor("conv1.weight", [8, 1, 3, 3]) : each));
    const model = await loadWith(nodeRuntime(), file(gray));
    const data = goldenInput([1, 32, 32, 1]);
    expect((await model.logits({ data, shape: [1, 32, 32, 1] })).data.every(Number.isFinite)).toBe(true);
    await model.dispose();
  });
  it.each([
    ["layer1.0.bn1.running_var", -1, "malformed"],
    ["layer1.0.conv1.weight", 3e38, "not-finite"],
    ["bn1.running_mean", Number.NaN, "not-finite"],
    ["fc.bias", Number.POSITIVE_INFINITY, "not-finite"],
  ])("%s of %d is refused by name", async (name, value, code) => {
    const spoilt = NETWORK.map((each) =>
      each.name === name ? { ...each, values: each.values.map(() => value) } : each,
    );
    const error = await refusal(spoilt);
    expect([error.code, error.subject]).toEqual([code, name]);
  });
});
