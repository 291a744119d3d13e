/**
 * What each ONNX operator of a residual network becomes: a node of our graph, a weight of one, a new view of a value, or
 * nothing at all. Anything else is refused by name.
 */
import { RELU } from "../../graph.ts";
import { add, clamp, clip, elementwise, gemm, norm } from "./arithmetic.ts";
import type { Call } from "./call.ts";
import { axisOf, fold, vector } from "./constant.ts";
import { expand, flatten, reshape, shape, slice, squeeze, transpose, unsqueeze } from "./layout.ts";
import { activation, axesOf, constantInput, emit, inputOf, type Network, type Value } from "./network.ts";
import { isFloat, locate, typeName } from "./stored.ts";
import { conv, globalPool, pad, pool, reduceMean } from "./window.ts";

/** Reads one node; its first output is what is returned. */
type Operator = (call: Call, network: Network) => Promise<Value>;

const EVAL = "export the model in inference mode, after model.eval()";

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
  throw call.fail("constants", "an activation", "only shapes may be computed by this operator");
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
const FOLDABLE = new Set(
  "Add Sub Mul Div Equal Where Shape Gather Unsqueeze Squeeze Concat Slice Reshape Transpose ConstantOfShape Cast".split(
    " ",
  ),
);

/** Reads a node: by arithmetic where all its inputs are small constants, else by its operator. */
export async function apply(call: Call, network: Network): Promise<Value> {
  const inputs = call.node.input.map((_, i) => inputOf(network, call, i));
  const { opType } = call.node;
  if (FOLDABLE.has(opType) && inputs.length > 0 && inputs.every((each) => each?.kind !== "activation")) {
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
