/**
 * What each ONNX operator of a residual network becomes: a node of our graph, a weight of one, a new view of a value, or
 * nothing at all. Anything else is refused by name.
 */
import { NO_CLAMP, type Pads, pooled, RELU, windowed } from "../../graph.ts";
import type { Call } from "./call.ts";
import { axisOf, type Constant, type Dim, fold, plainNumbers, sliceLists, unsqueezed, vector } from "./constant.ts";
import {
  type Activation,
  activation,
  constantInput,
  emit,
  freshName,
  image,
  inputOf,
  type Network,
  storedWeight,
  subsampled,
  type Value,
  weightOf,
} from "./network.ts";
import { isFloat, locate, typeName } from "./stored.ts";

/** Reads one node; its first output is what is returned. */
type Operator = (call: Call, network: Network) => Promise<Value>;

const EVAL = "export the model in inference mode, after model.eval()";

/** Longest kernel, stride, dilation or pad. */
const MAX_WINDOW = 4096;

/** A pair of whole numbers among the attributes. */
function pair(call: Call, name: string, least: number): readonly [number, number] {
  const values = call.ints(name);
  if (values === undefined) return [1, 1];
  if (values.length === 2 && values.every((value) => value >= least && value <= MAX_WINDOW)) {
    return [values[0]!, values[1]!];
  }
  throw call.fail(`${name} of two numbers from ${least} to ${MAX_WINDOW}`, `[${values.join(", ")}]`);
}

function stillPads(call: Call, values: readonly number[]): Pads {
  if (values.length === 4 && values.every((value) => value >= 0 && value <= MAX_WINDOW)) {
    return [values[0]!, values[1]!, values[2]!, values[3]!];
  }
  throw call.fail(`four pads from 0 to ${MAX_WINDOW}`, `[${values.join(", ")}]`);
}

/** Where a kernel slides over an image of `[h, w]`. */
function sliding(
  call: Call,
  size: readonly [number, number],
  kernel: readonly [number, number],
): { stride: readonly [number, number]; dilation: readonly [number, number]; pads: Pads } {
  const stride = pair(call, "strides", 1);
  const dilation = pair(call, "dilations", 1);
  const auto = call.text("auto_pad", "NOTSET") || "NOTSET";
  if (auto === "NOTSET") return { stride, dilation, pads: stillPads(call, call.ints("pads") ?? [0, 0, 0, 0]) };
  if (auto === "VALID") return { stride, dilation, pads: [0, 0, 0, 0] };
  if (auto !== "SAME_UPPER" && auto !== "SAME_LOWER") {
    throw call.fail("auto_pad of NOTSET, VALID, SAME_UPPER or SAME_LOWER", `"${auto.slice(0, 40)}"`);
  }
  const sides = [0, 1].map((axis) => {
    const length = size[axis]!;
    const step = stride[axis]!;
    const reach = (kernel[axis]! - 1) * dilation[axis]! + 1;
    const total = Math.max(0, (Math.ceil(length / step) - 1) * step + reach - length);
    const less = Math.floor(total / 2);
    return auto === "SAME_UPPER" ? [less, total - less] : [total - less, less];
  });
  return { stride, dilation, pads: [sides[0]![0]!, sides[1]![0]!, sides[0]![1]!, sides[1]![1]!] };
}

function sum(a: Pads, b: Pads): Pads {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]];
}

function weightsInput(call: Call, network: Network, index: number): Value & { readonly kind: "tensor" } {
  const value = inputOf(network, call, index);
  if (value?.kind === "tensor") return value;
  throw call.fail(`input ${index} stored in the file`, value === undefined ? "none" : "one computed by the graph");
}

async function conv(call: Call, network: Network): Promise<Value> {
  const x = image(network, call, 0, "padded");
  const weight = weightsInput(call, network, 1);
  const { dims } = weight.stored;
  if (dims.length !== 4) throw call.fail("a weight [out, in, h, w]", `[${dims.join(", ")}]`);
  const [n, perGroup, kh, kw] = dims as [number, number, number, number];
  const [h, w, c] = x.shape;
  const given = call.ints("kernel_shape") ?? [kh, kw];
  if (`${given}` !== `${[kh, kw]}`)
    throw call.fail(`kernel_shape [${kh}, ${kw}] of its weight`, `[${given.join(", ")}]`);
  if (kh < 1 || kw < 1 || kh > MAX_WINDOW || kw > MAX_WINDOW || n < 1) {
    throw call.fail("a kernel with pixels and channels", `[${dims.join(", ")}]`);
  }
  const groups = call.int("group", 1);
  if (groups < 1 || perGroup * groups !== c || n % groups !== 0) {
    throw call.fail(`a weight for ${c} channels in ${groups} groups`, `[${dims.join(", ")}]`);
  }
  const { stride, dilation, pads: own } = sliding(call, [h, w], [kh, kw]);
  let pads = own;
  if (x.pending?.kind === "padded") {
    if (x.pending.value !== 0) throw call.fail("zeros around its input", `${x.pending.value} from ${x.pending.by}`);
    pads = stillPads(call, sum(own, x.pending.pads));
  }
  const name = freshName(network, call, weight);
  const bias = inputOf(network, call, 2);
  network.weights.set(`${name}.weight`, storedWeight(call, "a weight", weight, dims));
  if (bias !== undefined) network.weights.set(`${name}.bias`, storedWeight(call, "a bias", bias, [n]));
  const [top, left, bottom, right] = pads;
  const shape = [
    windowed(h, kh, stride[0], dilation[0], top + bottom),
    windowed(w, kw, stride[1], dilation[1], left + right),
    n,
  ] as const;
  const rest = { kernel: [kh, kw], stride, dilation, pads, groups, channels: c, clamp: NO_CLAMP } as const;
  const inputs = [x.node];
  return emit(network, call, { op: "conv", inputs, shape, ...rest, bias: bias !== undefined, residual: false }, name);
}

async function norm(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call);
  const [h, w, c] = x.shape;
  if (x.dims.length === 4) image(network, call);
  else if (x.dims[1] !== c) throw call.fail("channels in dimension 1", `[${x.dims.join(", ")}]`);
  if (call.int("training_mode", 0) !== 0) throw call.fail("fixed statistics", "training_mode 1", EVAL);
  if (call.node.output.slice(1).some((name) => (network.uses.get(name) ?? 0) > 0)) {
    throw call.fail("one output", "statistics of the batch that are used", EVAL);
  }
  if (call.int("spatial", 1) !== 1) throw call.fail("statistics of each channel", "spatial 0");
  const epsilon = call.float("epsilon", 1e-5);
  if (!(epsilon >= 0 && epsilon < Number.POSITIVE_INFINITY)) throw call.fail("an epsilon of 0 or more", `${epsilon}`);
  const scale = inputOf(network, call, 1);
  const name = freshName(network, call, scale?.kind === "tensor" ? scale : undefined);
  ["weight", "bias", "running_mean", "running_var"].forEach((part, i) => {
    network.weights.set(`${name}.${part}`, storedWeight(call, part, inputOf(network, call, i + 1), [c]));
  });
  const node = { op: "norm", inputs: [x.node], shape: [h, w, c], epsilon, clamp: NO_CLAMP } as const;
  return { ...emit(network, call, node, name), dims: x.dims };
}

/** An operator that acts on each element for itself. */
function clamp(call: Call, network: Network, lo: number, hi: number): Value {
  const x = activation(network, call);
  if (!(lo <= hi)) throw call.fail("a lower bound that is not above the upper", `${lo} and ${hi}`);
  if (lo === NO_CLAMP[0] && hi === NO_CLAMP[1]) return x;
  return { ...emit(network, call, { op: "clamp", inputs: [x.node], shape: x.shape, clamp: [lo, hi] }), dims: x.dims };
}

async function clip(call: Call, network: Network): Promise<Value> {
  const bound = async (name: string, index: number, open: number): Promise<number> => {
    let value = open;
    if (call.opset < 11) value = call.float(name, open);
    else if (inputOf(network, call, index) !== undefined) {
      const given = await constantInput(network, call, index);
      if (given?.data.length !== 1) throw call.fail(`${name} as one constant`, "something else");
      value = plainNumbers(call, given)[0]!;
    }
    // Exporters write the largest floats for "no bound".
    return Math.abs(value) > 3.4e38 ? Math.sign(value) * Number.POSITIVE_INFINITY : value;
  };
  const lo = await bound("min", 1, NO_CLAMP[0]);
  return clamp(call, network, lo, await bound("max", 2, NO_CLAMP[1]));
}

/** Whether an activation has no negative elements, so that zeros around it never win a maximum that they should not. */
function isPositive(network: Network, name: string): boolean {
  const node = network.nodes.get(name)!;
  if (node.op === "clamp") return node.clamp[0] >= 0;
  return node.op === "sigmoid";
}

async function pool(call: Call, network: Network): Promise<Value> {
  const x = image(network, call, 0, "padded");
  const [h, w, c] = x.shape;
  const isMax = call.node.opType === "MaxPool";
  const kernel = pair(call, "kernel_shape", 1);
  if (!call.has("kernel_shape")) throw call.fail("a kernel_shape", "none");
  const { stride, dilation, pads: own } = sliding(call, [h, w], kernel);
  if (dilation[0] !== 1 || dilation[1] !== 1) throw call.fail("dilations of 1", `[${dilation.join(", ")}]`);
  let pads = own;
  let countPads = !isMax && call.int("count_include_pad", 0) === 1;
  if (x.pending?.kind === "padded") {
    const { value, by } = x.pending;
    const plain = own.every((pad) => pad === 0);
    const harmless = value === 0 && isPositive(network, x.node);
    const fits = isMax ? value < -3.4e38 || harmless : value === 0 && (plain || countPads);
    if (!fits) throw call.fail("an input that is not padded", `${value} around it from ${by}`);
    countPads = !isMax;
    pads = stillPads(call, sum(own, x.pending.pads));
  }
  const [top, left, bottom, right] = pads;
  if (top >= kernel[0] || bottom >= kernel[0] || left >= kernel[1] || right >= kernel[1]) {
    throw call.fail("pads smaller than its kernel", `[${pads.join(", ")}] around [${kernel.join(", ")}]`);
  }
  const ceil = call.int("ceil_mode", 0) === 1;
  // What covers all pixels is a global pooling, and stays one at other sizes.
  if (!isMax && kernel[0] === h && kernel[1] === w && pads.every((pad) => pad === 0)) {
    return emit(network, call, { op: "globalpool", inputs: [x.node], shape: [1, 1, c] });
  }
  const shape = [
    pooled(h, kernel[0], stride[0], [top, bottom], ceil),
    pooled(w, kernel[1], stride[1], [left, right], ceil),
    c,
  ] as const;
  const op = isMax ? "maxpool" : "avgpool";
  return emit(network, call, { op, inputs: [x.node], shape, kernel, stride, pads, countPads, ceil });
}

async function globalPool(call: Call, network: Network): Promise<Value> {
  const x = image(network, call);
  return emit(network, call, { op: "globalpool", inputs: [x.node], shape: [1, 1, x.shape[2]] });
}

/** The axes of an operator, an attribute once and an input now. */
async function axesOf(call: Call, network: Network): Promise<readonly number[] | undefined> {
  const input = await constantInput(network, call, 1);
  return input === undefined ? call.ints("axes") : plainNumbers(call, input);
}

async function reduceMean(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call);
  const rank = x.dims.length;
  const axes = ((await axesOf(call, network)) ?? []).map((axis) => axisOf(call, axis, rank)).sort((a, b) => a - b);
  const [h, w, c] = x.shape;
  const spatial = x.dims.map((_, i) => i).slice(2);
  if (x.dims[1] !== c || rank < 3 || `${axes}` !== `${spatial}`) {
    throw call.fail("a mean over all pixels", `axes [${axes.join(", ")}] of [${x.dims.join(", ")}]`);
  }
  const keep = call.int("keepdims", 1) !== 0;
  const dims: Dim[] = keep ? ["n", c, ...spatial.map(() => 1)] : ["n", c];
  if (h * w === 1) return { ...x, dims, value: "" };
  return { ...emit(network, call, { op: "globalpool", inputs: [x.node], shape: [1, 1, c] }), dims };
}

/** The same elements under another shape, as long as that keeps pixels and channels apart. */
function reshaped(call: Call, x: Activation, rest: readonly Dim[]): Activation {
  const [h, w, c] = x.shape;
  const dims: Dim[] = ["n", ...rest];
  const known = [`${[c, h, w]}`, `${[c, h * w]}`];
  const isPixel = h * w === 1 && rest.filter((each) => each !== 1).length <= 1 && rest.includes(c);
  if (!isPixel && !known.includes(`${rest}`)) {
    const hint = h * w > 1 ? "a linear layer can follow only a pooling to one pixel" : undefined;
    throw call.fail(`[${c}, ${h}, ${w}] or one pixel's ${c} channels for each image`, `[${rest.join(", ")}]`, hint);
  }
  return { ...x, dims, value: "" };
}

async function flatten(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call, 0, "softmax");
  const axis = call.int("axis", 1);
  if (axis !== 1 && axis !== 1 - x.dims.length) throw call.fail("axis 1", `${axis}`);
  const [h, w, c] = x.shape;
  return reshaped(call, x, [h * w * c]);
}

async function reshape(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call, 0, "softmax");
  const shape = await constantInput(network, call, 1);
  if (shape === undefined) throw call.fail("a shape that is known", "one computed from activations");
  const [h, w, c] = x.shape;
  const zeroCopies = call.int("allowzero", 0) === 0;
  const target = shape.data.map((each, i) => (each === 0 && zeroCopies ? (x.dims[i] ?? 0) : each));
  const [batch, ...rest] = target;
  const isBatch = batch === "n" || batch === -1 || batch === (network.batch ?? 1);
  if (!isBatch || rest.includes("n")) throw call.fail("the batch first and alone", `[${target.join(", ")}]`);
  const known = rest.reduce((product: number, each) => product * (each === -1 ? 1 : (each as number)), 1);
  const open = rest.filter((each) => each === -1).length;
  if (open > 1 || (open === 1 && batch === -1) || (open === 0 ? known !== h * w * c : (h * w * c) % known !== 0)) {
    throw call.fail(`a shape of ${h * w * c} elements for each image`, `[${target.join(", ")}]`);
  }
  return reshaped(
    call,
    x,
    rest.map((each) => (each === -1 ? (h * w * c) / known : each)),
  );
}

async function squeeze(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call, 0, "softmax");
  const axes = (await axesOf(call, network))?.map((axis) => axisOf(call, axis, x.dims.length));
  const gone = x.dims.map((each, i) => (axes === undefined ? i > 0 && each === 1 : axes.includes(i)));
  const odd = x.dims.findIndex((each, i) => gone[i] && each !== 1);
  if (odd >= 0) throw call.fail(`dimension ${odd} to be 1`, `[${x.dims.join(", ")}]`);
  const rest = x.dims.filter((_, i) => i > 0 && !gone[i]);
  return reshaped(call, x, rest.length === 0 ? [1] : rest);
}

async function unsqueeze(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call);
  const [batch, ...rest] = unsqueezed(call, x.dims, (await axesOf(call, network)) ?? []);
  if (batch !== "n") throw call.fail("the batch to stay first", `[${[batch, ...rest].join(", ")}]`);
  return reshaped(call, x, rest);
}

async function transpose(call: Call, network: Network): Promise<Value> {
  const value = inputOf(network, call, 0);
  const order = call.ints("perm");
  if (value?.kind === "tensor") {
    const isMatrix = value.stored.dims.length === 2 && `${order ?? [1, 0]}` === "1,0";
    if (isMatrix) return { ...value, transposed: !value.transposed };
    throw call.fail("a matrix, where weights are transposed", `[${value.stored.dims.join(", ")}]`);
  }
  const x = activation(network, call);
  const [h, w] = x.shape;
  const identity = x.dims.map((_, i) => i);
  if (h * w === 1 && order?.[0] === 0 && `${[...order].sort((a, b) => a - b)}` === `${identity}`) {
    return reshaped(
      call,
      x,
      order.slice(1).map((each) => x.dims[each]!),
    );
  }
  if (`${order}` === `${identity}`) return x;
  const hint = "export the network with images as [n, c, h, w] (tf2onnx: --inputs-as-nchw)";
  throw call.fail("images [n, c, h, w] throughout", `perm [${order?.join(", ") ?? ""}]`, hint);
}

async function pad(call: Call, network: Network): Promise<Value> {
  const x = image(network, call, 0, "sliced", "padded");
  const mode = call.text("mode", "constant") || "constant";
  if (mode !== "constant") throw call.fail('mode "constant"', `"${mode.slice(0, 40)}"`);
  let value = call.float("value", 0);
  let given = call.ints("pads");
  let axes: readonly number[] = [0, 1, 2, 3];
  if (call.opset >= 11) {
    const list = await constantInput(network, call, 1);
    if (list === undefined) throw call.fail("pads that are known", "none, or some computed from activations");
    given = plainNumbers(call, list);
    const filler = await constantInput(network, call, 2);
    value = filler === undefined ? 0 : (plainNumbers(call, filler)[0] ?? 0);
    const chosen = await constantInput(network, call, 3);
    if (chosen !== undefined) axes = plainNumbers(call, chosen).map((axis) => axisOf(call, axis, 4));
  }
  const pads = given ?? [];
  const isWhole = pads.every((each) => Number.isInteger(each) && each >= 0 && each <= 1 << 20);
  if (pads.length !== 2 * axes.length || !isWhole) {
    throw call.fail(`${2 * axes.length} pads of 0 or more`, `[${pads.slice(0, 16).join(", ")}]`);
  }
  const at = (axis: number, side: number): number => {
    const i = axes.indexOf(axis);
    return i < 0 ? 0 : pads[i + side * axes.length]!;
  };
  if (at(0, 0) + at(0, 1) > 0) throw call.fail("pads of images", "pads of the batch");
  const [before, after] = [at(1, 0), at(1, 1)];
  const around: Pads = [at(2, 0), at(3, 0), at(2, 1), at(3, 1)];
  const isAround = around.some((each) => each > 0);
  if (before + after === 0) {
    if (!isAround) return x;
    const inner = x.pending?.kind === "padded" ? x.pending : undefined;
    const from = inner === undefined ? image(network, call) : x;
    if (inner !== undefined && inner.value !== value) throw call.fail(`${inner.value} once more`, `${value}`);
    const pads = stillPads(call, sum(around, inner?.pads ?? [0, 0, 0, 0]));
    return { ...from, value: "", pending: { kind: "padded", by: `Pad "${call.node.name}"`, pads, value } };
  }
  if (isAround || value !== 0) {
    throw call.fail("pads of channels alone, with zeros", `[${pads.join(", ")}] with ${value}`);
  }
  const from = x.pending?.kind === "sliced" && x.pending.steps[0] === x.pending.steps[1] ? x : image(network, call);
  return subsampled(network, call, from, before, after);
}

async function slice(call: Call, network: Network): Promise<Value> {
  const x = image(network, call, 0, "sliced");
  const inputs = await Promise.all(
    call.node.input.map((_, i) => (i === 0 ? undefined : constantInput(network, call, i))),
  );
  if (call.opset >= 10 && call.node.input.some((name, i) => i > 0 && name !== "" && inputs[i] === undefined)) {
    throw call.fail("bounds that are known", "some computed from activations");
  }
  const [starts, ends, axes, steps] = await sliceLists(call, inputs);
  const taken: [number, number] = x.pending?.kind === "sliced" ? [...x.pending.steps] : [1, 1];
  axes!.forEach((each, i) => {
    const axis = axisOf(call, each, 4);
    const full = axis === 0 ? (network.batch ?? Number.POSITIVE_INFINITY) : (x.dims[axis] as number);
    const isWhole = starts![i] === 0 && (ends![i]! >= full || ends![i]! >= 2 ** 31 - 1);
    const step = steps![i]!;
    if (!isWhole || !Number.isInteger(step) || step < 1 || (axis < 2 && step > 1)) {
      const got = `${starts![i]} to ${ends![i]} step ${step} of axis ${axis}, which has ${full}`;
      throw call.fail("all rows and columns, or every so many", got);
    }
    if (axis >= 2) taken[axis - 2]! *= step;
  });
  if (taken[0] === 1 && taken[1] === 1) return x;
  if (taken.some((step) => step > MAX_WINDOW)) throw call.fail(`steps to ${MAX_WINDOW}`, `${taken.join(" and ")}`);
  const [h, w] = network.nodes.get(x.node)!.shape;
  const dims = ["n", x.shape[2], Math.ceil(h / taken[0]), Math.ceil(w / taken[1])] as const;
  return {
    ...x,
    value: "",
    dims,
    pending: { kind: "sliced", by: `Slice "${call.node.name}"`, steps: taken },
  };
}

async function expand(call: Call, network: Network): Promise<Value> {
  const x = image(network, call, 0);
  const shape = await constantInput(network, call, 1);
  if (shape === undefined) throw call.fail("a shape that is known", "one computed from activations");
  const [h, w, c] = x.shape;
  const [batch, channels, ...size] = shape.data;
  const isImage = size.length === 2 && (batch === "n" || batch === 1 || batch === network.batch);
  if (h * w !== 1 || !isImage || (channels !== c && channels !== 1)) {
    throw call.fail("one pixel to be expanded to an image", `[${x.dims.join(", ")}] to [${shape.data.join(", ")}]`);
  }
  if (size.every((each) => each === 1)) return x;
  return { ...x, value: "", pending: { kind: "expanded", by: `Expand "${call.node.name}"` } };
}

/** `a · b + c` of a matrix: the classifier, or a layer of a squeeze-and-excitation block. */
async function gemm(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call);
  const c = x.shape[2];
  const isProduct = call.node.opType === "MatMul";
  const last = x.dims.at(-1);
  if (x.shape[0] * x.shape[1] !== 1 || last !== c || (!isProduct && x.dims.length !== 2)) {
    const hint = "a linear layer can follow only a pooling to one pixel";
    throw call.fail("one pixel's channels [n, c]", `[${x.dims.join(", ")}]`, hint);
  }
  const matrix = weightsInput(call, network, 1);
  if (matrix.stored.dims.length !== 2) throw call.fail("a matrix", `[${matrix.stored.dims.join(", ")}]`);
  if (call.int("transA", 0) !== 0) throw call.fail("transA 0", "1");
  const flipped = call.int("transB", 0) === 0;
  const weight = { ...matrix, transposed: matrix.transposed !== flipped };
  const n = weight.stored.dims[weight.transposed ? 1 : 0]!;
  if (n < 1) throw call.fail("a matrix with outputs", `[${matrix.stored.dims.join(", ")}]`);
  const name = freshName(network, call, matrix);
  const alpha = call.float("alpha", 1);
  const beta = call.float("beta", 1);
  if (!Number.isFinite(alpha) || !Number.isFinite(beta)) throw call.fail("finite alpha and beta", `${alpha}, ${beta}`);
  network.weights.set(`${name}.weight`, storedWeight(call, "a matrix", weight, [n, c], alpha));
  const addend = isProduct ? undefined : inputOf(network, call, 2);
  if (addend !== undefined) {
    const scalar = addend.kind === "activation" || n === 1 ? undefined : await oneNumber(call, network, 2);
    const bias =
      scalar === undefined
        ? storedWeight(call, "a bias", addend, [n], beta)
        : weightOf(Array.from({ length: n }, () => scalar * beta));
    network.weights.set(`${name}.bias`, bias);
  }
  const shape = [1, 1, n] as const;
  const node = { op: "linear", inputs: [x.node], shape, channels: c, bias: addend !== undefined } as const;
  return { ...emit(network, call, node, name), dims: [...x.dims.slice(0, -1), n] };
}

/** An input's number, when it is only one. */
async function oneNumber(call: Call, network: Network, index: number): Promise<number | undefined> {
  const value = inputOf(network, call, index);
  const count = value?.kind === "tensor" ? value.stored.dims.reduce((a, b) => a * b, 1) : 0;
  if (value?.kind === "tensor" && count !== 1) return undefined;
  const constant = await constantInput(network, call, index);
  return constant?.data.length === 1 ? plainNumbers(call, constant)[0] : undefined;
}

/** A constant operand as a number for each channel of `x`. */
function perChannel(call: Call, x: Activation, operand: Constant): readonly number[] {
  const c = x.shape[2];
  const values = plainNumbers(call, operand);
  const axis = x.shape[0] * x.shape[1] > 1 ? 1 : Math.max(1, x.dims.lastIndexOf(c));
  const fits =
    operand.dims.length <= x.dims.length &&
    operand.dims.every((size, i) => {
      const at = i + x.dims.length - operand.dims.length;
      return size === 1 || (at === axis && size === c);
    });
  if (!fits) throw call.fail(`a constant for each of ${c} channels`, `[${operand.dims.join(", ")}]`);
  return values.length === 1 ? Array.from({ length: c }, () => values[0]!) : values;
}

/** `x · scale + shift`, channel by channel: a batch norm whose statistics are those numbers, so that it folds like one. */
function affine(
  call: Call,
  network: Network,
  x: Activation,
  scale: readonly number[],
  shift: readonly number[],
): Activation {
  if (![...scale, ...shift].every(Number.isFinite)) throw call.fail("finite constants", "one that is not");
  const before = network.affines.get(x.node);
  const alone = x.value !== "" && network.uses.get(x.value) === 1;
  let name = x.node;
  let result: Activation = { ...x, value: call.node.output[0] ?? "" };
  let product = { scale, shift };
  if (before !== undefined && alone) {
    product = {
      scale: scale.map((each, i) => each * before.scale[i]!),
      shift: shift.map((each, i) => before.shift[i]! * scale[i]! + each),
    };
  } else {
    const node = { op: "norm", inputs: [x.node], shape: x.shape, epsilon: 0, clamp: NO_CLAMP } as const;
    result = { ...emit(network, call, node), dims: x.dims };
    name = result.node;
    const zeros = scale.map(() => 0);
    network.weights.set(`${name}.running_mean`, weightOf(zeros));
    network.weights.set(`${name}.running_var`, weightOf(scale.map(() => 1)));
  }
  network.affines.set(name, product);
  network.weights.set(`${name}.weight`, weightOf(product.scale));
  network.weights.set(`${name}.bias`, weightOf(product.shift));
  return result;
}

/** Addition, subtraction, multiplication and division, of activations or with constants. */
async function elementwise(call: Call, network: Network): Promise<Value> {
  const op = call.node.opType;
  if (call.node.input.length !== 2) throw call.fail("two inputs", `${call.node.input.length}`);
  const at = [0, 1].find((i) => inputOf(network, call, i)?.kind !== "activation");
  if (at === undefined) return op === "Add" ? add(call, network) : gate(call, network);
  const x = activation(network, call, 1 - at);
  const c = x.shape[2];
  const node = network.nodes.get(x.node)!;
  const alone = x.value !== "" && network.uses.get(x.value) === 1;
  const operand = inputOf(network, call, at)!;
  // The bias of a linear layer or convolution that was exported as a product and a sum.
  if (
    op === "Add" &&
    alone &&
    operand.kind === "tensor" &&
    (node.op === "linear" || node.op === "conv") &&
    !node.bias
  ) {
    const { dims } = operand.stored;
    const axis = dims.length - x.dims.length + (node.op === "linear" ? x.dims.length - 1 : 1);
    if (c > 1 && dims[axis] === c && dims.every((size, i) => size === 1 || i === axis)) {
      network.weights.set(`${node.name}.bias`, storedWeight(call, "a bias", operand, [c]));
      network.nodes.set(node.name, { ...node, bias: true });
      return { ...x, value: call.node.output[0] ?? "" };
    }
  }
  const constant = await constantInput(network, call, at);
  if (constant === undefined) throw call.fail("a constant for each channel", "a matrix");
  const values = perChannel(call, x, constant);
  const [ones, zeros] = [values.map(() => 1), values.map(() => 0)];
  if (op === "Add") return affine(call, network, x, ones, values);
  if (op === "Mul") return affine(call, network, x, values, zeros);
  const negative = values.map((value) => -value);
  if (op === "Sub") {
    if (at === 1) return affine(call, network, x, ones, negative);
    const minus = values.map(() => -1);
    return affine(call, network, x, minus, values);
  }
  if (at === 0) throw call.fail("a division by constants", "one by an activation");
  const inverse = values.map((value) => 1 / value);
  return affine(call, network, x, inverse, zeros);
}

async function add(call: Call, network: Network): Promise<Activation> {
  let result = activation(network, call, 0);
  const { dims } = result;
  for (let i = 1; i < call.node.input.length; ++i) {
    const other = activation(network, call, i);
    if (`${other.shape}` !== `${result.shape}` || `${other.dims}` !== `${dims}`) {
      throw call.fail(`two operands [${dims.join(", ")}]`, `[${other.dims.join(", ")}] as the second`);
    }
    const inputs = [result.node, other.node];
    result = { ...emit(network, call, { op: "add", inputs, shape: result.shape, clamp: NO_CLAMP }), dims };
  }
  return result;
}

async function gate(call: Call, network: Network): Promise<Activation> {
  const op = call.node.opType;
  const [a, b] = [activation(network, call, 0, "expanded"), activation(network, call, 1, "expanded")];
  const isPixel = ({ shape: [h, w] }: Activation): boolean => h * w === 1;
  const [x, factor] = isPixel(b) ? [a, b] : [b, a];
  const sameRank = x.dims.length === factor.dims.length || x.dims.length === 4;
  if (op !== "Mul" || !isPixel(factor) || x.pending !== undefined || !sameRank || factor.dims[1] !== x.dims[1]) {
    const hint = op === "Mul" && !isPixel(factor) ? "activations such as SiLU are not part of a ResNet" : undefined;
    const got = `[${a.dims.join(", ")}] and [${b.dims.join(", ")}]`;
    throw call.fail("a constant, or an image and a factor for each of its channels", got, hint);
  }
  if (factor.shape[2] !== x.shape[2] || (x.dims.length === 4 && factor.dims.length !== 4)) {
    throw call.fail(`a factor for each of ${x.shape[2]} channels`, `[${factor.dims.join(", ")}]`);
  }
  return { ...emit(network, call, { op: "gate", inputs: [x.node, factor.node], shape: x.shape }), dims: x.dims };
}

async function softmax(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call);
  const rank = x.dims.length;
  const axis = axisOf(call, call.int("axis", call.opset < 13 ? 1 : -1), rank);
  const rest = x.dims.filter((_, i) => i > 0 && i !== axis);
  if (axis === 0 || (x.dims[axis] !== x.shape[2] && call.opset >= 13) || rest.some((each) => each !== 1)) {
    throw call.fail("probabilities of each image's classes", `axis ${axis} of [${x.dims.join(", ")}]`);
  }
  return { ...x, value: "", pending: { kind: "softmax", by: `${call.node.opType} "${call.node.name}"` } };
}

async function identity(call: Call, network: Network): Promise<Value> {
  const value = inputOf(network, call, 0);
  if (value === undefined) throw call.fail("an input", "none");
  // One pixel's or image's new name is not the node's own: what follows may not be merged into the node.
  return value.kind === "activation" ? { ...value, value: "" } : value;
}

async function dropout(call: Call, network: Network): Promise<Value> {
  const mode = await constantInput(network, call, 2);
  if (mode !== undefined && mode.data[0] !== 0) throw call.fail("inference", "training_mode true", EVAL);
  return identity(call, network);
}

async function cast(call: Call, network: Network): Promise<Value> {
  const to = call.int("to", 0);
  if (!isFloat(to)) throw call.fail("floating-point numbers", typeName(to));
  return identity(call, network);
}

async function shape(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call, 0, "sliced", "padded", "expanded");
  if (x.pending?.kind === "padded" || x.pending?.kind === "expanded") {
    throw call.fail("the shape of what a node puts out", `that of ${x.pending.by}`);
  }
  const rank = x.dims.length;
  const bound = (at: number): number => Math.min(Math.max(at < 0 ? at + rank : at, 0), rank);
  return vector(x.dims.slice(bound(call.int("start", 0)), bound(call.int("end", rank))));
}

async function constant(call: Call, network: Network): Promise<Value> {
  const attribute = call.node.attribute.find(({ name }) => name === "value");
  if (attribute?.t !== undefined) {
    const stored = await locate(`${network.where}: Constant "${call.node.output[0]}"`, attribute.t, network.store);
    return { kind: "tensor", stored, transposed: false };
  }
  if (call.has("value_int")) return { ...vector([call.int("value_int", 0)]), dims: [] };
  if (call.has("value_ints")) return vector(call.ints("value_ints") ?? []);
  if (call.has("value_float")) return { ...vector([call.float("value_float", 0)]), dims: [], integer: false };
  const floats = call.node.attribute.find(({ name }) => name === "value_floats")?.floats;
  if (floats !== undefined) return { ...vector(floats), integer: false };
  throw call.fail("a value of numbers", call.node.attribute.map(({ name }) => name).join(", ") || "none");
}

/** Operators that only make and change constants. */
const never: Operator = async (call) => {
  throw call.fail("constants", "an activation", "only shapes may be computed this way");
};

/** Everything a residual network is exported as. */
export const OPERATORS: ReadonlyMap<string, Operator> = new Map<string, Operator>([
  ["Add", elementwise],
  ["AveragePool", pool],
  ["BatchNormalization", norm],
  ["Cast", cast],
  ["Clip", clip],
  ["Concat", never],
  ["Constant", constant],
  ["ConstantOfShape", never],
  ["Conv", conv],
  ["Div", elementwise],
  ["Dropout", dropout],
  ["Equal", never],
  ["Expand", expand],
  ["Flatten", flatten],
  ["Gather", never],
  ["Gemm", gemm],
  ["GlobalAveragePool", globalPool],
  ["Identity", identity],
  ["LogSoftmax", softmax],
  ["MatMul", gemm],
  ["MaxPool", pool],
  ["Mul", elementwise],
  ["Pad", pad],
  ["ReduceMean", reduceMean],
  ["Relu", async (call, network) => clamp(call, network, ...RELU)],
  ["Reshape", reshape],
  ["Shape", shape],
  [
    "Sigmoid",
    async (call, network) => {
      const x = activation(network, call);
      return { ...emit(network, call, { op: "sigmoid", inputs: [x.node], shape: x.shape }), dims: x.dims };
    },
  ],
  ["Slice", slice],
  ["Softmax", softmax],
  ["Squeeze", squeeze],
  ["Sub", elementwise],
  ["Sum", add],
  ["Transpose", transpose],
  ["Unsqueeze", unsqueeze],
  ["Where", never],
]);

/** Operators whose result is a constant when their inputs are. */
const SHAPELY = new Set(
  "Add Sub Mul Div Equal Where Shape Gather Unsqueeze Squeeze Concat Slice Reshape Transpose ConstantOfShape Cast".split(
    " ",
  ),
);

/** Reads a node: by arithmetic where all its inputs are small constants, else by its operator. */
export async function apply(call: Call, network: Network): Promise<Value> {
  const inputs = call.node.input.map((_, i) => inputOf(network, call, i));
  const { opType } = call.node;
  if (SHAPELY.has(opType) && inputs.length > 0 && inputs.every((each) => each?.kind !== "activation")) {
    const weight = inputs[0];
    // Weights only change their view; the rest is small.
    if (weight?.kind === "tensor" && weight.stored.dtype !== undefined && weight.stored.dims.length > 1) {
      if (opType === "Transpose" || opType === "Cast") return OPERATORS.get(opType)!(call, network);
    }
    const constants = await Promise.all(inputs.map((_, i) => constantInput(network, call, i)));
    const isAxes = opType === "Squeeze" || opType === "Unsqueeze";
    const folded = await fold(call, constants, isAxes ? await axesOf(call, network) : undefined);
    if (folded !== undefined) return folded;
  }
  return OPERATORS.get(opType)!(call, network);
}
