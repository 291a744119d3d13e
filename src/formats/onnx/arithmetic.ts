/** ONNX operators that compute with values: norms, bounds, matrix products, sums and products by channel. */
import { NO_CLAMP } from "../../graph.ts";
import type { Call, Constant } from "./call.ts";
import { plainNumbers } from "./constant.ts";
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
  type Value,
  weightOf,
  weightsInput,
} from "./network.ts";

const EVAL = "export the model in inference mode, after model.eval()";

export async function norm(call: Call, network: Network): Promise<Value> {
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
export function clamp(call: Call, network: Network, lo: number, hi: number): Value {
  const x = activation(network, call);
  if (!(lo <= hi)) throw call.fail("a lower bound that is not above the upper", `${lo} and ${hi}`);
  if (lo === NO_CLAMP[0] && hi === NO_CLAMP[1]) return x;
  return { ...emit(network, call, { op: "clamp", inputs: [x.node], shape: x.shape, clamp: [lo, hi] }), dims: x.dims };
}

export async function clip(call: Call, network: Network): Promise<Value> {
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

/** `a · b + c` of a matrix: the classifier, or a layer of a squeeze-and-excitation block. */
export async function gemm(call: Call, network: Network): Promise<Value> {
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
export async function elementwise(call: Call, network: Network): Promise<Value> {
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

export async function add(call: Call, network: Network): Promise<Activation> {
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
