import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ByteSource, type Folder, fromBytes } from "../../src/bytes.ts";
import type { Checkpoint } from "../../src/checkpoint.ts";
import { expectedGot, ModelError } from "../../src/errors.ts";
import { fold } from "../../src/fold.ts";
import { ONNX, openOnnx } from "../../src/formats/onnx/format.ts";
import { openCheckpoint } from "../../src/formats/open.ts";
import type { Node } from "../../src/graph.ts";
import { openModelWith } from "../../src/model.ts";
import { matchResnet } from "../../src/models/match.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { paramsOf } from "../../src/ops/ops.ts";
import { plan, planWeights } from "../../src/plan.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { run } from "../../src/tape.ts";
import { choose } from "../../src/variants.ts";
import { checkWeights, ensureMemory, packWeights } from "../../src/weights.ts";
import { goldenInput, goldenTensor } from "../golden/weights.ts";
import { kernelsOf } from "../wasm.ts";
import {
  exportGraph,
  floats,
  ints,
  node,
  type OnnxFile,
  type OnnxNode,
  type OnnxValue,
  onnxBytes,
  type Tensor,
} from "./onnx-file.ts";

type Files = Readonly<Record<string, Uint8Array>>;

function folder(files: Files): Folder {
  return {
    name: "folder",
    async open(path) {
      const bytes = files[path];
      if (bytes === undefined)
        throw new ModelError("malformed", expectedGot(`folder/${path}`, "a file", "no such file or folder"));
      return fromBytes(path, bytes);
    },
  };
}

const openBytes = (bytes: Uint8Array, files: Files = {}): Promise<Checkpoint> =>
  openOnnx(folder({ "m.onnx": bytes, ...files }), "m.onnx");
const open = (file: OnnxFile, files: Files = {}): Promise<Checkpoint> => openBytes(onnxBytes(file), files);

async function refuses(file: OnnxFile | Uint8Array, message: RegExp, files: Files = {}): Promise<void> {
  const opened = openBytes(file instanceof Uint8Array ? file : onnxBytes(file), files);
  await expect(opened).rejects.toThrow(ModelError);
  await expect(opened).rejects.toThrow(message);
}

/** Logits of `[n, h, w, 3]` images, in PyTorch's order of operations. */
async function logits(checkpoint: Checkpoint, input: Float32Array, shape: readonly number[]): Promise<Float32Array> {
  const [n, h, w] = shape as [number, number, number];
  checkWeights("test", checkpoint.graph!, checkpoint);
  const graph = fold(checkpoint.graph!);
  const weights = planWeights(graph, choose(graph, 0));
  const kernels = await kernelsOf("baseline", 1);
  await packWeights("test", graph, weights, checkpoint, kernels);
  const planned = plan(graph, weights, { build: "baseline", threads: 1 }, n, [h, w, 3], []);
  ensureMemory(kernels.memory, planned.end);
  new Float32Array(kernels.memory.buffer, planned.addresses.get("input")!, input.length).set(input);
  run(kernels.exports, planned.tape);
  const last = graph.nodes.at(-1)!;
  return new Float32Array(kernels.memory.buffer, planned.addresses.get(last.name)!, n * last.shape[2]).slice();
}

/** A classifier: `nodes` from `x` `[1, 3, 8, 8]` to an image `[c, h, w]` called `body`, then pooling and a linear layer. */
function classifier(
  c: number,
  nodes: readonly OnnxNode[],
  tensors: readonly Tensor[] = [],
  rest: Partial<OnnxFile> = {},
): OnnxFile {
  return {
    nodes: [
      ...nodes,
      node("GlobalAveragePool", ["body"], "pooled"),
      node("Flatten", ["pooled"], "flat"),
      node("Gemm", ["flat", "fc.weight", "fc.bias"], "y", { transB: 1 }),
    ],
    tensors: [...tensors, floats("fc.weight", [5, c]), floats("fc.bias", [5])],
    ...rest,
  };
}

const CONV_WEIGHT = floats("conv.weight", [4, 3, 3, 3]);
const conv = (attributes: OnnxNode["attributes"] = {}, out = "body"): OnnxNode =>
  node("Conv", ["x", "conv.weight"], out, attributes);

/** The imported node after the input, and the one after that … */
async function imported(file: OnnxFile): Promise<readonly Node[]> {
  return (await open(file)).graph!.nodes;
}

/** The image that went into the pooling, channel by channel, is the network's mean: what the numbers of a body are seen by. */
const IMAGE = Float32Array.from({ length: 8 * 8 * 3 }, (_, i) => ((i * 11) % 23) / 23 - 0.3);

/** Whether two files compute the same. */
async function expectSame(a: OnnxFile, b: OnnxFile): Promise<void> {
  const [x, y] = await Promise.all([a, b].map(async (file) => logits(await open(file), IMAGE, [1, 8, 8])));
  expect(Math.max(...x!.map(Math.abs))).toBeGreaterThan(0.01);
  for (let i = 0; i < y!.length; ++i) expect(x![i]).toBeCloseTo(y![i]!, 5);
}

interface Golden {
  readonly name: string;
  readonly arch: string;
  readonly spec: Partial<ResNetSpec>;
  readonly lastNorm: string | null;
  readonly input: readonly [number, number, number, number];
  readonly logits: readonly number[];
}

const { networks } = JSON.parse(readFileSync(new URL("../golden/logits.json", import.meta.url), "utf8")) as {
  readonly networks: readonly Golden[];
};

describe("whole networks give PyTorch's logits through ONNX", () => {
  const names = ["resnet18 97×131", "seresnet18", "resnet20 option A", "resnetv2_18", "plain20"];
  test.each(names)("%s", async (name) => {
    const golden = networks.find((each) => each.name === name)!;
    const [n, h, w] = golden.input;
    const spec = { ...resnetSpec(golden.arch), ...golden.spec };
    const built = resnet(golden.arch, spec, [h, w, 3]);
    const tensors = paramsOf(built).map(({ name: tensor, shape }) => {
      const values = goldenTensor(tensor, shape, golden.lastNorm);
      return { name: tensor, dims: shape, raw: new Uint8Array(values.buffer) };
    });
    const checkpoint = await openBytes(exportGraph(built, tensors));
    const found = matchResnet(checkpoint.graph!)!;
    expect(found.spec).toEqual(spec);
    expect(found.normsFolded).toBe(false);
    for (const [from, to] of found.rename) {
      if (checkpoint.tensors.has(`${to}.weight`)) expect(from).toBe(to);
    }
    const got = await logits(checkpoint, goldenInput(golden.input), [n, h, w]);
    const largest = Math.max(...golden.logits.map(Math.abs));
    golden.logits.forEach((logit, i) => {
      expect(Math.abs(got[i]! - logit) / largest).toBeLessThan(1e-5);
    });
  });
});

describe("operators", () => {
  test("Conv with groups, dilations and asymmetric pads", async () => {
    const weight = floats("conv.weight", [6, 1, 3, 2]);
    const attributes = { group: 3, dilations: [2, 1], pads: [2, 0, 1, 1], strides: [2, 1], kernel_shape: [3, 2] };
    const [, body] = await imported(classifier(6, [conv(attributes)], [weight]));
    expect(body).toMatchObject({ name: "conv", groups: 3, dilation: [2, 1], pads: [2, 0, 1, 1], stride: [2, 1] });
    expect(body!.shape).toEqual([4, 8, 6]);
  });

  test.each([
    ["SAME_UPPER", [0, 0, 1, 1]],
    ["SAME_LOWER", [1, 1, 0, 0]],
    ["VALID", [0, 0, 0, 0]],
  ])("auto_pad %s", async (auto, pads) => {
    const [, body] = await imported(classifier(4, [conv({ auto_pad: auto, strides: [2, 2] })], [CONV_WEIGHT]));
    expect(body).toMatchObject({ pads });
  });

  test("Clip with bounds as attributes, and as inputs since opset 11", async () => {
    const body = (clip: OnnxNode): readonly OnnxNode[] => [conv({}, "c"), clip];
    const old = classifier(4, body(node("Clip", ["c"], "body", { min: { f: 0 }, max: { f: 6 } })), [CONV_WEIGHT]);
    const [, , six] = await imported({ ...old, opset: 9 });
    expect(six).toMatchObject({ op: "clamp", clamp: [0, 6] });
    const bound = [CONV_WEIGHT, floats("lo", [], [0])];
    const [, , relu] = await imported(classifier(4, body(node("Clip", ["c", "lo"], "body")), bound));
    expect(relu).toMatchObject({ op: "clamp", clamp: [0, Number.POSITIVE_INFINITY] });
  });

  test("pooling with ceil_mode, count_include_pad and pads", async () => {
    const window = { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 0, 0], ceil_mode: 1 };
    const average = node("AveragePool", ["x"], "body", { ...window, count_include_pad: 1 });
    const [, pool] = await imported(classifier(3, [average]));
    expect(pool).toMatchObject({ op: "avgpool", countPads: true, ceil: true, pads: [1, 1, 0, 0], shape: [4, 4, 3] });
    const [, max] = await imported(classifier(3, [node("MaxPool", ["x"], "body", window)]));
    expect(max).toMatchObject({ op: "maxpool", countPads: false, ceil: true });
  });

  test("an AveragePool over all pixels is a global pooling, which other sizes have too", async () => {
    const all = node("AveragePool", ["x"], "body", { kernel_shape: [8, 8], strides: [1, 1] });
    expect((await imported(classifier(3, [all])))[1]).toMatchObject({ op: "globalpool" });
  });

  test.each([
    ["axes as attribute", 13, ["x"], { axes: [2, 3], keepdims: 1 }],
    ["axes as input", 18, ["x", "axes"], { keepdims: 1 }],
    ["negative axes", 11, ["x"], { axes: [-1, -2] }],
  ] as const)("ReduceMean over pixels, %s", async (_name, opset, inputs, attributes) => {
    const mean = node("ReduceMean", inputs, "body", attributes);
    const file = { ...classifier(3, [mean], [ints("axes", [2, 3])]), opset };
    await expectSame(file, classifier(3, [node("GlobalAveragePool", ["x"], "body")]));
  });

  test("ReduceMean without keepdims goes straight into Gemm", async () => {
    const mean = node("ReduceMean", ["x"], "flat", { axes: [2, 3], keepdims: 0 });
    const whole = classifier(3, []);
    const nodes = [mean, ...whole.nodes.slice(2)];
    const [, pooled, last] = await imported({ ...whole, nodes });
    expect([pooled!.op, last!.op]).toEqual(["globalpool", "linear"]);
  });

  test("Pad before Conv and before pooling becomes their pads", async () => {
    const pad = (from: string, out: string, mode = "constant"): OnnxNode => node("Pad", [from, "pads"], out, { mode });
    const pads = ints("pads", [0, 0, 1, 2, 0, 0, 1, 0]);
    const [, body] = await imported(
      classifier(4, [pad("x", "p"), node("Conv", ["p", "conv.weight"], "body")], [CONV_WEIGHT, pads]),
    );
    expect(body).toMatchObject({ op: "conv", pads: [1, 2, 1, 0] });
    const window = { kernel_shape: [3, 3], strides: [2, 2] };
    const pooled = [node("Relu", ["x"], "r"), pad("r", "p"), node("MaxPool", ["p"], "body", window)];
    const [, , max] = await imported(classifier(3, pooled, [pads]));
    expect(max).toMatchObject({ op: "maxpool", pads: [1, 2, 1, 0] });
    const averaged = [pad("x", "p"), node("AveragePool", ["p"], "body", window)];
    const [, average] = await imported(classifier(3, averaged, [pads]));
    expect(average).toMatchObject({ op: "avgpool", pads: [1, 2, 1, 0], countPads: true });
    // Zeros around negative numbers would be the largest.
    const negative = [pad("x", "p"), node("MaxPool", ["p"], "body", window)];
    await refuses(classifier(3, negative, [pads]), /MaxPool "MaxPool_body": expected an input that is not padded/);
    await refuses(
      classifier(3, [pad("x", "body")], [pads]),
      /GlobalAveragePool.*Pad "Pad_body", which needs a convolution/,
    );
    const reflected = [pad("x", "p", "reflect"), node("Conv", ["p", "conv.weight"], "body")];
    await refuses(
      classifier(4, reflected, [pads, CONV_WEIGHT]),
      /Pad "Pad_p": expected mode "constant", got "reflect"/,
    );
  });

  test("option A as PyTorch 1.13 exports it without folding: the pads come out of a chain of shape arithmetic", async () => {
    const constant = (out: string, t: Tensor): OnnxNode => node("Constant", [], out, { value: { t } });
    const nodes = [
      ...["two", "three"].flatMap((axis, i) => [
        constant(`${axis}.start`, ints("", [0])),
        constant(`${axis}.end`, { dims: [1], type: 7, int64s: [2 ** 63 - 1024] }),
        constant(`${axis}.axis`, ints("", [i + 2])),
        constant(`${axis}.step`, ints("", [2])),
      ]),
      node("Slice", ["x", "two.start", "two.end", "two.axis", "two.step"], "rows"),
      node("Slice", ["rows", "three.start", "three.end", "three.axis", "three.step"], "pixels"),
      // [0, 0, 0, 0, 1, 2]: last axis first, begin and end side by side; the batch's are not written.
      constant("torch", ints("", [0, 0, 0, 0, 1, 2])),
      constant("extra", ints("", [2])),
      node("ConstantOfShape", ["extra"], "zeros", { value: { t: ints("", [0]) } }),
      node("Concat", ["torch", "zeros"], "all", { axis: 0 }),
      constant("pairs", ints("", [-1, 2])),
      node("Reshape", ["all", "pairs"], "table"),
      constant("last", ints("", [-1])),
      constant("first", { dims: [1], type: 7, int64s: [-(2 ** 63)] }),
      constant("zero", ints("", [0])),
      node("Slice", ["table", "last", "first", "zero", "last"], "reversed"),
      node("Transpose", ["reversed"], "turned", { perm: [1, 0] }),
      node("Reshape", ["turned", "last"], "flattened"),
      node("Cast", ["flattened"], "pads", { to: 7 }),
      constant("value", floats("", [], [0])),
      node("Pad", ["pixels", "pads", "value"], "body", { mode: "constant" }),
    ];
    const [, shortcut] = await imported(classifier(6, nodes));
    expect(shortcut).toMatchObject({ op: "shortcut", stride: 2, before: 1, shape: [4, 4, 6] });
  });

  test("the batch's size may go round through Shape, Gather, Unsqueeze and Concat", async () => {
    const whole = classifier(3, [node("GlobalAveragePool", ["x"], "body")]);
    const chain = [
      whole.nodes[0]!,
      whole.nodes[1]!,
      node("Shape", ["pooled"], "shape"),
      node("Constant", [], "zero", { value: { t: ints("", [0], []) } }),
      node("Gather", ["shape", "zero"], "batch", { axis: 0 }),
      node("Unsqueeze", ["batch"], "batch1", { axes: [0] }),
      node("Constant", [], "rest", { value: { t: ints("", [-1]) } }),
      node("Concat", ["batch1", "rest"], "target", { axis: 0 }),
      node("Reshape", ["pooled", "target"], "flat"),
      whole.nodes[3]!,
    ];
    const inputs = [{ name: "x", dims: ["n", 3, 8, 8] }];
    await expectSame({ ...whole, nodes: chain, inputs, opset: 11 }, whole);
  });

  test("Gemm with alpha, beta and without transB; MatMul and Add", async () => {
    const pooled = node("ReduceMean", ["x"], "flat", { axes: [2, 3], keepdims: 0 });
    const tall = floats("w", [3, 2], [1, 2, 3, 4, 5, 6]);
    const wide = floats("v", [2, 3], [1, 3, 5, 2, 4, 6]);
    const [bias, half] = [floats("b", [2], [0.5, -1]), floats("h", [2], [1, -2])];
    const file = (...nodes: OnnxNode[]): OnnxFile => ({ nodes: [pooled, ...nodes], tensors: [tall, wide, bias, half] });
    const plain = file(node("Gemm", ["flat", "v", "b"], "y", { transB: 1 }));
    await expectSame(file(node("Gemm", ["flat", "w", "b"], "y")), plain);
    await expectSame(file(node("MatMul", ["flat", "w"], "p"), node("Add", ["b", "p"], "y")), plain);
    const turned = [node("Transpose", ["v"], "t", { perm: [1, 0] }), node("MatMul", ["flat", "t"], "p")];
    await expectSame(file(...turned, node("Add", ["p", "b"], "y")), plain);
    const doubled = file(
      node("Gemm", ["flat", "w", "h"], "twice", { alpha: { f: 2 } }),
      node("Mul", ["twice", "k"], "y"),
    );
    await expectSame({ ...doubled, tensors: [...doubled.tensors!, floats("k", [], [0.5])] }, plain);
    const halved = file(node("Gemm", ["flat", "w", "h"], "y", { beta: { f: 0.5 } }));
    await expectSame(halved, plain);
    await refuses(file(node("Gemm", ["flat", "v", "b"], "y", { transA: 1 })), /Gemm "Gemm_y": expected transA 0/);
  });

  test("linear layers inside the network are convolutions of one pixel; a 1×1 convolution at the end is the linear layer", async () => {
    const nodes = [
      node("ReduceMean", ["x"], "m", { axes: [2, 3], keepdims: 0 }),
      node("Gemm", ["m", "fc1.weight"], "s", { transB: 1 }),
      node("Relu", ["s"], "r"),
      node("Gemm", ["r", "fc2.weight"], "e", { transB: 1 }),
      node("Sigmoid", ["e"], "g"),
      node("Reshape", ["g", "shape"], "gate"),
      node("Shape", ["x"], "size"),
      node("Expand", ["gate", "size"], "wide"),
      node("Mul", ["x", "wide"], "se"),
      node("GlobalAveragePool", ["se"], "p"),
      node("Conv", ["p", "head.weight"], "c"),
      node("Flatten", ["c"], "y"),
    ];
    const tensors = [
      floats("fc1.weight", [2, 3]),
      floats("fc2.weight", [3, 2]),
      floats("head.weight", [5, 3, 1, 1]),
      ints("shape", [1, 3, 1, 1]),
    ];
    const checkpoint = await open({ nodes, tensors });
    const ops = checkpoint.graph!.nodes.map(({ op }) => op);
    const expected = ["input", "globalpool", "conv", "clamp", "conv", "sigmoid", "gate", "globalpool", "linear"];
    expect(ops).toEqual(expected);
    expect(checkpoint.tensors.get("fc1.weight")!.shape).toEqual([2, 3, 1, 1]);
    expect(checkpoint.tensors.get("head.weight")!.shape).toEqual([5, 3]);
    expect((await logits(checkpoint, IMAGE, [1, 8, 8])).every(Number.isFinite)).toBe(true);
  });

  test("pixels normalised inside the graph are one norm, and the metadata says so", async () => {
    const tensors = [
      floats("mean", [1, 3, 1, 1], [0.5, 0.4, 0.3]),
      floats("std", [3, 1, 1], [0.25, 0.5, 0.2]),
      floats("most", [], [255]),
      CONV_WEIGHT,
    ];
    const steps = [node("Sub", ["x", "mean"], "a"), node("Div", ["a", "std"], "b")];
    const body = node("Conv", ["b", "conv.weight"], "body", { pads: [1, 1, 1, 1] });
    const checkpoint = await open(classifier(4, [...steps, body], tensors));
    expect(checkpoint.graph!.nodes.slice(0, 3).map(({ op }) => op)).toEqual(["input", "norm", "conv"]);
    expect(checkpoint.metadata.normalises_input).toBe("1");
    const got = await logits(checkpoint, IMAGE, [1, 8, 8]);
    const before = IMAGE.map((pixel, i) => (pixel - [0.5, 0.4, 0.3][i % 3]!) / [0.25, 0.5, 0.2][i % 3]!);
    const plain = await open(classifier(4, [conv({ pads: [1, 1, 1, 1] })], [CONV_WEIGHT]));
    const expected = await logits(plain, before, [1, 8, 8]);
    got.forEach((logit, i) => {
      expect(logit).toBeCloseTo(expected[i]!, 5);
    });
    const bytes = [node("Div", ["x", "most"], "x1"), node("Sub", ["x1", "mean"], "a"), steps[1]!, body];
    expect((await open(classifier(4, bytes, tensors))).metadata.normalises_input).toBe("255");
  });

  test("Softmax at the end is dropped, and the metadata says so", async () => {
    const plain = classifier(3, [node("Relu", ["x"], "body")]);
    const nodes = [...plain.nodes.slice(0, -1), { ...plain.nodes.at(-1)!, out: ["l"] }, node("Softmax", ["l"], "y")];
    const checkpoint = await open({ ...plain, nodes });
    expect(checkpoint.graph?.output).toBe("softmax");
    expect(checkpoint.graph!.nodes.at(-1)).toMatchObject({ op: "linear" });
    const inside = [node("Softmax", ["x"], "body", { axis: 1 })];
    await refuses(classifier(3, inside), /Softmax "Softmax_body": expected probabilities/);
  });

  test("Identity, Dropout in inference and Cast between floats do nothing, to weights either", async () => {
    const nodes = [
      node("Identity", ["conv.weight"], "w"),
      node("Cast", ["w"], "w16", { to: 10 }),
      node("Cast", ["x"], "x16", { to: 10 }),
      node("Conv", ["x16", "w16"], "c"),
      node("Identity", ["c"], "i"),
      node("Dropout", ["i"], "body", { ratio: { f: 0.5 } }),
    ];
    await expectSame(classifier(4, nodes, [CONV_WEIGHT]), classifier(4, [conv()], [CONV_WEIGHT]));
    const training = { ...node("Dropout", ["x", "", "on"], "body"), name: "drop" };
    const on = { name: "on", dims: [], type: 9, raw: Uint8Array.of(1) };
    await refuses(classifier(3, [training], [on]), /Dropout "drop": expected inference.*\n.*model\.eval/);
  });

  test("a batch norm of a linear layer's output", async () => {
    const parts = ["weight", "bias", "running_mean"].map((part) => floats(`bn.${part}`, [5]));
    const tensors = [...parts, floats("bn.running_var", [5], [1, 2, 3, 4, 5])];
    const plain = classifier(3, [node("Relu", ["x"], "body")], tensors);
    const norm = node("BatchNormalization", ["l", ...tensors.map(({ name }) => name!)], "y", { epsilon: { f: 1e-3 } });
    const nodes = [...plain.nodes.slice(0, -1), { ...plain.nodes.at(-1)!, out: ["l"] }, norm];
    const last = (await imported({ ...plain, nodes })).at(-1)!;
    expect(last).toMatchObject({ op: "norm", name: "bn", epsilon: 1e-3, shape: [1, 1, 5] });
  });
});

describe("tensors", () => {
  const values = [0.5, -1, 2, 0.25, -0.125, 1.5];
  const half = [0x3800, 0xbc00, 0x4000, 0x3400, 0xb000, 0x3e00];
  const brain = [0x3f00, 0xbf80, 0x4000, 0x3e80, 0xbe00, 0x3fc0];
  const words = (list: readonly number[]): Uint8Array => new Uint8Array(Uint16Array.from(list).buffer);
  const file = (weight: Tensor, files: Files = {}): Promise<Checkpoint> => {
    const tensors = [{ ...weight, name: "fc.weight" }, floats("fc.bias", [2], [0, 0])];
    const pooled = node("ReduceMean", ["x"], "flat", { axes: [2, 3], keepdims: 0 });
    const gemm = node("Gemm", ["flat", "fc.weight", "fc.bias"], "y", { transB: 1 });
    return open({ nodes: [pooled, gemm], tensors }, files);
  };
  const raw = new Uint8Array(Float32Array.from(values).buffer);
  const dims = [2, 3];

  test.each<[string, Tensor, string]>([
    ["raw_data", { dims, raw }, "F32"],
    ["float_data", { dims, floats: values }, "F32"],
    ["double_data", { dims, type: 11, doubles: values }, "F64"],
    ["float16 in raw_data", { dims, type: 10, raw: words(half) }, "F16"],
    ["float16 in int32_data", { dims, type: 10, int32s: half }, "F16"],
    ["bfloat16 in raw_data", { dims, type: 16, raw: words(brain) }, "BF16"],
    ["bfloat16 in int32_data", { dims, type: 16, int32s: brain }, "BF16"],
  ])("%s", async (_name, weight, dtype) => {
    const checkpoint = await file(weight);
    expect(checkpoint.tensors.get("fc.weight")).toEqual({ dtype, shape: dims });
    const got = await logits(checkpoint, IMAGE, [1, 8, 8]);
    const expected = await logits(await file({ dims, raw }), IMAGE, [1, 8, 8]);
    expect([...got]).toEqual([...expected]);
  });

  test("external data is read at its place in the file beside", async () => {
    const data = new Uint8Array(32);
    data.set(raw, 8);
    const external = { location: "weights/m.data", offset: "8", length: "24" };
    const checkpoint = await file({ dims, external }, { "weights/m.data": data });
    expect([...(await checkpoint.read("fc.weight"))]).toEqual([...raw]);
  });

  test.each(["../m.data", "a/../../m.data", "/etc/passwd", "..\\m.data", "C:\\m.data", "file:///m.data", ""])(
    "external data at %j is refused by name",
    async (location) => {
      await expect(file({ dims, external: { location } })).rejects.toThrow(
        `m.onnx: "fc.weight": expected external data in the model's own folder, got ${JSON.stringify(location)}`,
      );
    },
  );

  test("external data that is cut short, missing or of another length", async () => {
    const short = file({ dims, external: { location: "d" } }, { d: raw.subarray(0, 20) });
    await expect(short).rejects.toThrow(/"fc.weight" in d: expected at least 24 bytes, got 20/);
    await expect(file({ dims, external: { location: "d" } })).rejects.toThrow("folder/d: expected a file");
    const other = file({ dims, external: { location: "d", length: "20" } }, { d: raw });
    await expect(other).rejects.toThrow('"fc.weight": expected 24 bytes for FLOAT [2, 3], got a length of 20');
    const negative = file({ dims, external: { location: "d", offset: "-4" } }, { d: raw });
    await expect(negative).rejects.toThrow('expected an offset into its external data, got "-4"');
  });

  test("a file is read where its weights are, not as a whole", async () => {
    const weight = floats("conv.weight", [256, 3, 16, 16]);
    const nodes = [conv({ pads: [8, 8, 8, 8] })];
    const bytes = onnxBytes(classifier(256, nodes, [weight]));
    const lengths: number[] = [];
    const source: ByteSource = {
      name: "m.onnx",
      size: bytes.length,
      async read(offset, length) {
        lengths.push(length);
        return bytes.slice(offset, offset + length);
      },
      async close() {},
    };
    const checkpoint = await openOnnx({ name: "", open: async () => source }, "m.onnx");
    expect(bytes.length).toBeGreaterThan(700_000);
    expect(lengths.reduce((a, b) => a + b, 0)).toBeLessThan(200_000);
    lengths.length = 0;
    await checkpoint.read("conv.weight");
    expect(lengths).toEqual([256 * 3 * 16 * 16 * 4]);
  });

  test("data that does not fill its dimensions", async () => {
    const short = file({ dims, raw: raw.subarray(0, 20) });
    await expect(short).rejects.toThrow('"fc.weight": expected 24 bytes, 6 elements for FLOAT [2, 3], got 20');
    const halves = file({ dims, type: 10, int32s: half.slice(1) });
    await expect(halves).rejects.toThrow("expected 6 elements for FLOAT16 [2, 3], got 5");
    const none = file({ dims });
    await expect(none).rejects.toThrow("expected 24 bytes, 6 elements for FLOAT [2, 3], got 0");
    const twice = file({ dims, raw, floats: values });
    await expect(twice).rejects.toThrow("expected its data in one piece, got several kinds");
  });

  test.each([
    [[2 ** 40, 2 ** 40], "dimensions of less than 2^53 bytes"],
    [[-2, -3], "dimensions of less than 2^53 bytes"],
  ])("dimensions of %j", async (huge, message) => {
    await expect(file({ dims: huge, raw })).rejects.toThrow(message);
  });

  test("integers for weights", async () => {
    const eight = file({ dims, type: 3, raw: raw.subarray(0, 6) });
    await expect(eight).rejects.toThrow(/Gemm "Gemm_y": expected a matrix of floating-point numbers, got "fc.weight"/);
    await expect(file({ dims, type: 8, raw })).rejects.toThrow('"fc.weight": expected numbers, got STRING');
  });
});

describe("inputs, outputs and names", () => {
  const inputOf = async (inputs: readonly OnnxValue[], nodes = [conv()]): Promise<readonly number[]> =>
    (await open(classifier(4, nodes, [CONV_WEIGHT], { inputs }))).graph!.nodes[0]!.shape;

  test("initialisers listed as inputs, as before IR version 4", async () => {
    const inputs = [
      { name: "x", dims: [1, 3, 8, 8] },
      { name: "conv.weight", dims: [4, 3, 3, 3] },
      { name: "fc.weight", dims: [5, 4] },
      { name: "fc.bias", dims: [5] },
    ];
    expect(await inputOf(inputs)).toEqual([8, 8, 3]);
  });

  test("an open size is 224, or 32 for a stem that keeps small images' size", async () => {
    const inputs = [{ name: "x", dims: ["n", 3, "h", "w"] }];
    expect(await inputOf(inputs, [conv({ strides: [2, 2] })])).toEqual([224, 224, 3]);
    expect(await inputOf(inputs)).toEqual([32, 32, 3]);
    expect(await inputOf([{ name: "x" }])).toEqual([32, 32, 3]);
    const checkpoint = await open(classifier(4, [conv()], [CONV_WEIGHT], { inputs }));
    expect(checkpoint.metadata.input_size).toBe("open");
  });

  test("an open size is what a pooling of a fixed window needs", async () => {
    const pool = node("AveragePool", ["c"], "body", { kernel_shape: [30, 30] });
    const inputs = [{ name: "x", dims: ["n", 3, "h", "w"] }];
    const file = classifier(4, [conv({}, "c"), pool], [CONV_WEIGHT], { inputs });
    const nodes = file.nodes.filter(({ op }) => op !== "GlobalAveragePool");
    const flat = { ...nodes.find(({ op }) => op === "Flatten")!, in: ["body"] };
    const rewired = nodes.map((each) => (each.op === "Flatten" ? flat : each));
    expect((await imported({ ...file, nodes: rewired }))[0]!.shape).toEqual([32, 32, 3]);
  });

  test.each<[string, OnnxValue, RegExp]>([
    [
      "channels last",
      { name: "x", dims: [1, 8, 8, 3] },
      /input "x": expected images \[n, 3, h, w\].*\n.*inputs-as-nchw/,
    ],
    ["four channels", { name: "x", dims: [1, 4, 8, 8] }, /input "x": expected images .* for gray, got \[1, 4, 8, 8\]/],
    ["bytes", { name: "x", dims: [1, 3, 8, 8], type: 2 }, /input "x": expected a tensor of floating-point.*UINT8/],
    ["huge sides", { name: "x", dims: [1, 3, 1e9, 1e9] }, /input "x": expected images of at most 16384 pixels/],
  ])("an input of %s is refused", async (_name, input, message) => {
    await refuses(classifier(4, [conv()], [CONV_WEIGHT], { inputs: [input] }), message);
  });

  test("two inputs that are both read", async () => {
    const inputs = [
      { name: "x", dims: [1, 3, 8, 8] },
      { name: "x2", dims: [1, 3, 8, 8] },
    ];
    const file = classifier(3, [node("Add", ["x", "x2"], "body")], [], { inputs });
    await refuses(file, /expected one input, the images, got "x", "x2"/);
  });

  test("of several outputs the classifier's is taken, and what only the others need is not read", async () => {
    const extra = [node("NonZero", ["body"], "features")];
    const outputs = [{ name: "features" }, { name: "y" }];
    const file = classifier(4, [conv(), ...extra], [CONV_WEIGHT], { outputs });
    expect((await imported(file)).map(({ op }) => op)).toEqual(["input", "conv", "globalpool", "linear"]);
    await refuses(
      { ...file, outputs: [{ name: "features" }, { name: "body" }] },
      /expected one output.*"features", "body"/,
    );
  });

  test("features without a classifier", async () => {
    await refuses({ nodes: [conv({}, "y")], tensors: [CONV_WEIGHT] }, /output "y": expected a number for each class/);
  });

  test("names come from weights, from recent exporters' paths, from nodes", async () => {
    const path = (name: string, out: string, from: string): OnnxNode => ({
      ...node("Conv", [from, out], out.replace("onnx::", "")),
      name,
    });
    const nodes = [
      conv({ pads: [1, 1, 1, 1] }, "a"),
      path("/layer1/layer1.0/conv1/Conv", "onnx::Conv_9", "a"),
      path("", "onnx::Conv_8", "Conv_9"),
      { ...node("Relu", ["Conv_8"], "body"), name: "/layer1/layer1.0/relu/Relu" },
    ];
    const square = (name: string): Tensor => floats(name, [4, 4, 1, 1]);
    const tensors = [CONV_WEIGHT, square("onnx::Conv_9"), square("onnx::Conv_8")];
    const checkpoint = await open(classifier(4, nodes, tensors));
    const names = checkpoint.graph!.nodes.map(({ name }) => name);
    expect(names.slice(0, 5)).toEqual(["input", "conv", "layer1.0.conv1", "Conv_8", "layer1.0.relu.Relu"]);
    expect([...checkpoint.tensors.keys()].slice(0, 3)).toEqual([
      "conv.weight",
      "layer1.0.conv1.weight",
      "Conv_8.weight",
    ]);
  });

  test("a weight of two nodes names one of them", async () => {
    const square = floats("same.weight", [3, 3, 1, 1]);
    const nodes = [node("Conv", ["x", "same.weight"], "a"), node("Conv", ["a", "same.weight"], "body")];
    const checkpoint = await open(classifier(3, nodes, [square]));
    expect(checkpoint.graph!.nodes.slice(1, 3).map(({ name }) => name)).toEqual(["same", "Conv_body"]);
    expect([...(await checkpoint.read("Conv_body.weight"))]).toEqual([...square.raw!]);
  });

  test("metadata has producer, opset and the file's own", async () => {
    const file = classifier(4, [conv()], [CONV_WEIGHT], { metadata: { author: "me", __proto__x: "y" }, opset: 15 });
    const { metadata } = await open(file);
    expect(metadata).toEqual({
      format: "onnx",
      producer: "test 1.0",
      opset: "15",
      "onnx.author": "me",
      "onnx.__proto__x": "y",
    });
  });

  test("openCheckpoint knows ONNX by its content", async () => {
    const bytes = onnxBytes(classifier(4, [conv()], [CONV_WEIGHT]));
    const checkpoint = await openCheckpoint(folder({ model: bytes }), "model", [ONNX]);
    expect(checkpoint.metadata.format).toBe("onnx");
  });

  test("an unknown tensor", async () => {
    const checkpoint = await open(classifier(4, [conv()], [CONV_WEIGHT]));
    await expect(checkpoint.read("nothing")).rejects.toThrow('m.onnx: expected a tensor "nothing"');
  });
});

describe("a model from an ONNX file", () => {
  const model = (file: OnnxFile): ReturnType<typeof openModelWith> => openModelWith(nodeRuntime(), onnxBytes(file), {});

  test.each([
    ["1", 1, 1],
    ["255", 255, 1 / 255],
  ])("whose graph normalises pixels of 0…%s gets them so", async (_name, largest, std) => {
    const tensors = [floats("mean", [1, 3, 1, 1], [0.5, 0.4, 0.3]), floats("largest", [], [largest]), CONV_WEIGHT];
    const nodes = [
      node("Div", ["x", "largest"], "a"),
      node("Sub", ["a", "mean"], "b"),
      node("Conv", ["b", "conv.weight"], "body"),
    ];
    const { preprocess } = await model(classifier(4, nodes, tensors));
    expect(preprocess).toMatchObject({ mean: [0, 0, 0], std: [std, std, std] });
  });

  test("of no known family is not given a crop of small images", async () => {
    const small = await model(classifier(4, [conv()], [CONV_WEIGHT]));
    expect(small.spec).toBeUndefined();
    expect(small.guesses).toContainEqual({ key: "preprocess", message: "preprocessing of the cifar preset" });
    const inputs = [{ name: "x", dims: [1, 3, 224, 224] }];
    const large = await model(classifier(4, [conv()], [CONV_WEIGHT], { inputs }));
    expect(large.guesses).toContainEqual({ key: "preprocess", message: "preprocessing of the torchvision-v1 preset" });
  });

  test("of open size says that its size is a guess", async () => {
    const inputs = [{ name: "x", dims: ["n", 3, "h", "w"] }];
    const { guesses } = await model(classifier(4, [conv()], [CONV_WEIGHT], { inputs }));
    expect(guesses).toContainEqual({
      key: "size",
      message: "images of 32×32 pixels, a size that the file leaves open",
    });
    const fixed = await model(classifier(4, [conv()], [CONV_WEIGHT]));
    expect(fixed.guesses.map(({ key }) => key)).not.toContain("size");
  });
});

describe("what cannot be read is refused by operator and node", () => {
  const one = (op: string, attributes: OnnxNode["attributes"] = {}): OnnxFile =>
    classifier(3, [node(op, ["x"], "body", attributes)]);

  test.each([
    ["HardSigmoid", /HardSigmoid "HardSigmoid_body": expected operators that residual networks are made of/],
    ["LeakyRelu", /LeakyRelu "LeakyRelu_body"/],
    ["DequantizeLinear", /DequantizeLinear "DequantizeLinear_body".*\n.*quantised model; use the one it was made from/],
    ["ConvInteger", /quantised/],
    ["If", /If "If_body".*\n.*graphs inside nodes are not read/],
    ["Loop", /Loop "Loop_body".*\n.*graphs inside nodes/],
  ])("%s", async (op, message) => {
    await refuses(one(op), message);
  });

  test("an operator of another domain, as of a function", async () => {
    const file = classifier(3, [{ ...node("Relu", ["x"], "body"), domain: "com.microsoft" }]);
    await refuses(file, /Relu "Relu_body".*got com\.microsoft\.Relu\n.*without functions/);
  });

  test("Transpose to channels last", async () => {
    await refuses(one("Transpose", { perm: [0, 2, 3, 1] }), /Transpose "Transpose_body".*perm \[0, 2, 3, 1\]\n.*nchw/);
  });

  test("x · sigmoid(x)", async () => {
    const nodes = [node("Sigmoid", ["x"], "s"), node("Mul", ["x", "s"], "body")];
    await refuses(classifier(3, nodes), /Mul "Mul_body": expected a constant, or an image and a factor.*\n.*SiLU/);
  });

  test("dilated pooling, and pooling whose windows may lie in the padding", async () => {
    const window = { kernel_shape: [2, 2], strides: [2, 2] };
    await refuses(one("MaxPool", { ...window, dilations: [2, 2] }), /MaxPool "MaxPool_body": expected dilations of 1/);
    await refuses(one("MaxPool", { ...window, pads: [2, 0, 0, 0] }), /expected pads smaller than its kernel/);
  });

  test("a linear layer on more than one pixel", async () => {
    const whole = classifier(192, []);
    const flat = node("Flatten", ["x"], "flat");
    await refuses({ ...whole, nodes: [flat, whole.nodes[2]!] }, /Flatten "Flatten_flat".*got \[192\]\n.*one pixel/);
  });

  test("a batch norm or Dropout still in training", async () => {
    const parts = ["weight", "bias", "mean", "var"].map((part) => floats(part, [3]));
    const norm = node("BatchNormalization", ["x", "weight", "bias", "mean", "var"], "body", { training_mode: 1 });
    await refuses(classifier(3, [norm], parts), /BatchNormalization "BatchNormalization_body": expected fixed/);
  });

  test.each([6, 28, undefined])("opset %s", async (opset) => {
    const bytes = onnxBytes(classifier(4, [conv()], [CONV_WEIGHT], { opset: opset ?? 0 }));
    await refuses(bytes, /expected opset 7 to 27, got (6|28|0)\n.*opset_version=17/);
  });
});

describe("ways a file can lie", () => {
  test.each([
    [{ strides: [0, 1] }, /Conv "Conv_body": expected strides of two numbers from 1 to 4096, got \[0, 1\]/],
    [{ strides: [-1, -1] }, /strides of two numbers/],
    [{ strides: [1] }, /strides of two numbers.*got \[1\]/],
    [{ dilations: [2 ** 40, 1] }, /dilations of two numbers/],
    [{ pads: [0, 0, -1, 0] }, /four pads from 0 to 4096, got \[0, 0, -1, 0\]/],
    [{ kernel_shape: [5, 5] }, /expected kernel_shape \[3, 3\] of its weight, got \[5, 5\]/],
    [{ group: 2 }, /expected a weight for 3 channels in 2 groups, got \[4, 3, 3, 3\]/],
    [{ group: 0 }, /in 0 groups/],
    [{ dilations: [9, 9] }, /expected at least one pixel of output/],
    [{ auto_pad: "SAME" }, /expected auto_pad of NOTSET, VALID/],
  ])("a convolution with %j", async (attributes, message) => {
    await refuses(classifier(4, [conv(attributes)], [CONV_WEIGHT]), message);
  });

  test("a weight for other channels than there are", async () => {
    await refuses(classifier(4, [conv()], [floats("conv.weight", [4, 2, 3, 3])]), /expected a weight for 3 channels/);
    const bias = classifier(4, [node("Conv", ["x", "conv.weight", "b"], "body")], [CONV_WEIGHT, floats("b", [3])]);
    await refuses(bias, /Conv "Conv_body": expected a bias \[4\], got "b" \[3\]/);
    await refuses(
      classifier(3, [conv()], [CONV_WEIGHT]),
      /Gemm "Gemm_y": expected a matrix \[5, 4\], got "fc.weight" \[5, 3\]/,
    );
  });

  test("a cycle", async () => {
    const nodes = [node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"], "body")];
    await refuses(classifier(3, nodes), /: expected a graph without a cycle, got one through this node/);
  });

  test("nodes in any order are one graph all the same", async () => {
    const file = classifier(4, [conv()], [CONV_WEIGHT]);
    expect((await imported({ ...file, nodes: file.nodes.toReversed() })).map(({ op }) => op)).toEqual([
      "input",
      "conv",
      "globalpool",
      "linear",
    ]);
  });

  test("a missing initializer", async () => {
    await refuses(
      classifier(4, [conv()]),
      /Conv "Conv_body": expected something that makes "conv.weight", got nothing/,
    );
  });

  test("an output that no node makes", async () => {
    await refuses(
      classifier(4, [conv()], [CONV_WEIGHT], { outputs: [{ name: "z" }] }),
      /expected something that makes "z"/,
    );
  });

  test("two nodes that make one value", async () => {
    await refuses(
      classifier(4, [conv(), conv()], [CONV_WEIGHT]),
      /Conv "Conv_body": expected to be all that makes "body", got two nodes/,
    );
    const over = [conv(), node("Relu", ["x"], "conv.weight")];
    await refuses(classifier(4, over, [CONV_WEIGHT]), /got a node and an input or initializer/);
    await refuses(classifier(4, [conv()], [CONV_WEIGHT, CONV_WEIGHT]), /a name of its own for each initializer/);
  });

  test("a second output that is used", async () => {
    const window = { kernel_shape: [2, 2] };
    const nodes = [{ ...node("MaxPool", ["x"], "m", window), out: ["m", "i"] }, node("Relu", ["i"], "body")];
    await refuses(classifier(3, nodes), /Relu "Relu_body": expected first outputs only, got "i", another output/);
  });

  test("a chain of a hundred thousand nodes neither overflows nor hangs", async () => {
    const chain = Array.from({ length: 1e5 }, (_, i) => node("Identity", [i === 0 ? "x" : `${i}`], `${i + 1}`));
    const file = classifier(3, [...chain, node("Relu", ["100000"], "body")]);
    expect((await imported(file)).map(({ op }) => op)).toEqual(["input", "clamp", "globalpool", "linear"]);
  });

  test("shape arithmetic that would fill memory", async () => {
    const nodes = [
      node("ConstantOfShape", ["huge"], "c", { value: { t: ints("", [1]) } }),
      node("Reshape", ["x", "c"], "body"),
    ];
    const file = classifier(3, nodes, [ints("huge", [2 ** 31, 2 ** 31])]);
    await refuses(file, /ConstantOfShape "ConstantOfShape_c": expected a shape of at most 65536 elements/);
  });

  test("an activation that would fill memory", async () => {
    const weight = floats("conv.weight", [64, 3, 1, 1]);
    const inputs = [{ name: "x", dims: [1, 3, 16384, 16384] }];
    await refuses(classifier(64, [conv()], [weight], { inputs }), /Conv "Conv_body": expected at most \d+ elements/);
  });

  test("a file cut short anywhere is refused, and never runs", async () => {
    const bytes = onnxBytes(classifier(4, [conv()], [CONV_WEIGHT]));
    for (let length = 0; length < bytes.length; ++length) {
      await expect(openBytes(bytes.subarray(0, length)), `${length} bytes`).rejects.toThrow(ModelError);
    }
  });

  test("a byte changed anywhere gives a graph or a ModelError", async () => {
    const bytes = onnxBytes(classifier(4, [conv({ strides: [2, 2] })], [CONV_WEIGHT]));
    let refused = 0;
    for (let at = 0; at < bytes.length; ++at) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const damaged = bytes.slice();
        damaged[at]! ^= flip;
        try {
          await openBytes(damaged);
        } catch (error) {
          expect(error, `byte ${at}`).toBeInstanceOf(ModelError);
          ++refused;
        }
      }
    }
    expect(refused).toBeGreaterThan(bytes.length / 4);
  });

  test("a length that lies, a wire type that is none, a number without end", async () => {
    await refuses(
      Uint8Array.of(0x08, 0x07, 0x3a, 0xff, 0xff, 0xff, 0x7f),
      /ModelProto: expected 268435455 bytes, got 0/,
    );
    await refuses(Uint8Array.of(0x08, 0x07, 0x3b), /expected a protobuf field, got field 7 of wire type 3 at byte 2/);
    await refuses(new Uint8Array(64).fill(0xff), /expected a number of at most 10 bytes/);
    await refuses(Uint8Array.of(0x08, 0x07), /expected opset 7 to 27, got none/);
  });

  test("millions of empty fields end soon", async () => {
    const bytes = new Uint8Array(9e6).map((_, i) => (i % 2 === 0 ? 0x78 : 0));
    await refuses(bytes, /expected at most 4000000 fields, got more/);
  });

  test("two graphs", async () => {
    const bytes = onnxBytes(classifier(4, [conv()], [CONV_WEIGHT]));
    const twice = new Uint8Array(2 * bytes.length);
    twice.set(bytes);
    twice.set(bytes, bytes.length);
    await refuses(twice, /ModelProto\.graph: expected one, got two/);
  });
});
