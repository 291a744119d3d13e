/** ONNX operators whose kernel slides over an image: convolution, pooling, and the padding before either. */
import { NO_CLAMP, type Pads, pooled, windowed } from "../../graph.ts";
import type { Call, Dim } from "./call.ts";
import { axisOf, plainNumbers } from "./constant.ts";
import {
  activation,
  axesOf,
  constantInput,
  emit,
  freshName,
  image,
  inputOf,
  type Network,
  storedWeight,
  subsampled,
  type Value,
  weightsInput,
} from "./network.ts";

/** Longest kernel, stride, dilation or pad. */
export const MAX_WINDOW = 4096;

/** A pair of whole numbers among the attributes. */
function pair(call: Call, name: string, least: number): readonly [number, number] {
  const values = call.ints(name);
  if (values === undefined) return [1, 1];
  if (values.length === 2 && values.every((value) => value >= least && value <= MAX_WINDOW)) {
    return [values[0]!, values[1]!];
  }
  throw call.fail(`${name} of two numbers from ${least} to ${MAX_WINDOW}`, `[${values.join(", ")}]`);
}

function checkedPads(call: Call, values: readonly number[]): Pads {
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
  if (auto === "NOTSET") return { stride, dilation, pads: checkedPads(call, call.ints("pads") ?? [0, 0, 0, 0]) };
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

export async function conv(call: Call, network: Network): Promise<Value> {
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
    pads = checkedPads(call, sum(own, x.pending.pads));
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

/** Whether an activation has no negative elements, so that zeros around it never win a maximum that they should not. */
function isPositive(network: Network, name: string): boolean {
  const node = network.nodes.get(name)!;
  if (node.op === "clamp") return node.clamp[0] >= 0;
  return node.op === "sigmoid";
}

export async function pool(call: Call, network: Network): Promise<Value> {
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
    pads = checkedPads(call, sum(own, x.pending.pads));
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

export async function globalPool(call: Call, network: Network): Promise<Value> {
  const x = image(network, call);
  return emit(network, call, { op: "globalpool", inputs: [x.node], shape: [1, 1, x.shape[2]] });
}

export async function reduceMean(call: Call, network: Network): Promise<Value> {
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

export async function pad(call: Call, network: Network): Promise<Value> {
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
    const pads = checkedPads(call, sum(around, inner?.pads ?? [0, 0, 0, 0]));
    return { ...from, value: "", pending: { kind: "padded", by: `Pad "${call.node.name}"`, pads, value } };
  }
  if (isAround || value !== 0) {
    throw call.fail("pads of channels alone, with zeros", `[${pads.join(", ")}] with ${value}`);
  }
  const from = x.pending?.kind === "sliced" && x.pending.steps[0] === x.pending.steps[1] ? x : image(network, call);
  return subsampled(network, call, from, before, after);
}
