/**
 * What is known while an ONNX graph is read: what each of its values is, and the nodes and weights it has become so far.
 */
import type { Node, Pads, Shape } from "../../graph.ts";
import type { TensorInfo } from "../../tensor.ts";
import { type Call, type Constant, callOf, type Dim } from "./call.ts";
import { plainNumbers } from "./constant.ts";
import type { NodeProto } from "./proto.ts";
import { elementReader, numbersOf, type Store, type Stored } from "./stored.ts";

/** Something an ONNX node did that only the next one can give a meaning. */
export type Pending =
  /** Pixels around the image, for the convolution or pooling that follows. */
  | { readonly kind: "padded"; readonly by: string; readonly pads: Pads; readonly value: number }
  /** Every so many rows and columns, for a shortcut without parameters. */
  | { readonly kind: "sliced"; readonly by: string; readonly steps: readonly [h: number, w: number] }
  /** One pixel, said to be as large as an image: the factor of a gate. */
  | { readonly kind: "expanded"; readonly by: string }
  /** Probabilities, which only a classifier's end may be. */
  | { readonly kind: "softmax"; readonly by: string };

/** The output of one of our nodes. */
export interface Activation {
  readonly kind: "activation";
  readonly node: string;
  readonly shape: Shape;
  /** As ONNX has them: `[n, c, h, w]`, or any arrangement of one pixel's channels behind the batch. */
  readonly dims: readonly Dim[];
  /** The ONNX value that is exactly the node's output; another is the same under a new shape. */
  readonly value: string;
  readonly pending?: Pending;
}

/** A weight that is stored in the file. */
export interface Weights {
  readonly kind: "tensor";
  readonly stored: Stored;
  /** A matrix read column by column. */
  readonly transposed: boolean;
}

export type Value = Activation | Weights | Constant;

/** A tensor of the checkpoint to be. */
export interface Weight {
  readonly info: TensorInfo;
  read(): Promise<Uint8Array>;
}

export interface Network {
  readonly where: string;
  readonly opset: number;
  /** The batch where the file fixes it. */
  readonly batch: number | undefined;
  readonly store: Store;
  /** By ONNX name. */
  readonly values: Map<string, Value>;
  /** How many inputs of nodes each ONNX value is. */
  readonly uses: ReadonlyMap<string, number>;
  /** By name, in the order they run. */
  readonly nodes: Map<string, Node>;
  readonly weights: Map<string, Weight>;
  /** Norms made of constants: what they multiply by and add, channel by channel. */
  readonly affines: Map<string, { readonly scale: readonly number[]; readonly shift: readonly number[] }>;
}

/** Most elements of one activation: 4 GB of f32. */
const MAX_ELEMENTS = 2 ** 30;

export function begin(network: Network, node: NodeProto): Call {
  return callOf(network.where, node, network.opset, network.store);
}

/** The value of a node's input; undefined where an optional one is left out. */
export function inputOf(network: Network, call: Call, index: number): Value | undefined {
  const name = call.node.input[index];
  return name === undefined || name === "" ? undefined : network.values.get(name);
}

/** An input's numbers, where it is a constant. */
export async function constantInput(network: Network, call: Call, index: number): Promise<Constant | undefined> {
  const value = inputOf(network, call, index);
  if (value?.kind === "constant") return value;
  if (value?.kind !== "tensor" || value.transposed) return undefined;
  const { stored } = value;
  const data = await numbersOf(`${network.where}: "${stored.name}"`, stored);
  return { kind: "constant", dims: stored.dims, data, integer: stored.dtype === undefined };
}

/** How an error calls what a pending node left behind. */
const PENDING_USES: Readonly<Record<Pending["kind"], string>> = {
  padded: "a convolution or a pooling after it",
  sliced: "the same step on both axes",
  expanded: "a multiplication after it",
  softmax: "the end of the network after it",
};

/** An input that must be an activation, with nothing left to be done to it but what `allowed` says. */
export function activation(
  network: Network,
  call: Call,
  index = 0,
  ...allowed: readonly Pending["kind"][]
): Activation {
  const value = inputOf(network, call, index);
  if (value === undefined) throw call.fail(`an input ${index}`, "none");
  if (value.kind !== "activation") throw call.fail(`an activation as input ${index}`, "a constant");
  const { pending } = value;
  if (pending === undefined || allowed.includes(pending.kind)) return value;
  if (pending.kind === "sliced" && pending.steps[0] === pending.steps[1]) return subsampled(network, call, value);
  throw call.fail(
    "an input that this runtime can give it",
    `that of ${pending.by}, which needs ${PENDING_USES[pending.kind]}`,
  );
}

/** An input that is an image: `[n, c, h, w]`. */
export function image(network: Network, call: Call, index = 0, ...allowed: readonly Pending["kind"][]): Activation {
  const value = activation(network, call, index, ...allowed);
  const [h, w, c] = value.shape;
  const isWhole = value.pending?.kind === "sliced" || (value.dims[2] === h && value.dims[3] === w);
  if (value.dims.length === 4 && value.dims[1] === c && isWhole) return value;
  throw call.fail("an image [n, c, h, w]", `[${value.dims.join(", ")}]`);
}

/** Every `step`-th pixel, with channels of zeros around those there are. */
export function subsampled(network: Network, call: Call, from: Activation, before = 0, after = 0): Activation {
  const [h, w, c] = from.shape;
  const step = from.pending?.kind === "sliced" ? from.pending.steps[0] : 1;
  const shape: Shape = [Math.ceil(h / step), Math.ceil(w / step), before + c + after];
  return emit(network, call, { op: "shortcut", inputs: [from.node], shape, stride: step, before });
}

type WithoutName<N> = N extends Node ? Omit<N, "name"> : never;

/** Adds a node. Its output is an image `[n, c, h, w]`. */
export function emit(
  network: Network,
  call: Call,
  node: WithoutName<Node>,
  name: string = freshName(network, call),
): Activation {
  const { shape } = node;
  const [h, w, c] = shape;
  if (h < 1 || w < 1) throw call.fail("at least one pixel of output", `${h}×${w}`);
  if (h * w * c > MAX_ELEMENTS) throw call.fail(`at most ${MAX_ELEMENTS} elements of output`, `${h}×${w}×${c}`);
  network.nodes.set(name, { ...node, name } as Node);
  return { kind: "activation", node: name, shape, dims: ["n", c, h, w], value: call.node.output[0] ?? "" };
}

/** Ends of initializers' names that say which module they are of. */
const WEIGHT_NAME = /^(.+)\.weight$/;

/**
 * A name no node has yet. A weight's name tells the module (`layer1.0.conv1.weight`); recent exporters of PyTorch put it into the
 * node's own (`/layer1/layer1.0/conv1/Conv`); else it is the node's or its output's.
 *
 * @param weight the node's weight, where it has one
 */
export function freshName(network: Network, call: Call, weight?: Weights): string {
  const { name, output } = call.node;
  const module = WEIGHT_NAME.exec(weight?.stored.name ?? "")?.[1];
  const given = name === "" ? (output[0] ?? "") : name;
  const wanted = [module, scoped(given, weight !== undefined), given].find(
    (each) => each !== undefined && safe(each) !== "" && !network.nodes.has(safe(each)),
  );
  const base = safe(wanted ?? given) || call.node.opType;
  let unique = base;
  for (let i = 2; network.nodes.has(unique); ++i) unique = `${base}_${i}`;
  return unique;
}

function safe(name: string): string {
  return name
    .slice(0, 200)
    .replace(/[^\w.-]+/g, "_")
    .replace(/^[_.]+(?=.)/, "");
}

/** `/layer1/layer1.0/conv1/Conv` is `layer1.0.conv1`: each part is a module's name, or its parent's and its own. */
function scoped(name: string, isModule: boolean): string | undefined {
  if (!name.startsWith("/")) return undefined;
  const parts = name.slice(1).split("/");
  const path: string[] = [];
  for (const part of isModule ? parts.slice(0, -1) : parts) {
    if (path.length > 0 && part.startsWith(`${path.at(-1)}.`)) path.pop();
    path.push(part);
  }
  return path.length === 0 ? undefined : path.join(".");
}

/** Numbers of our own as a tensor. */
export function weightOf(values: readonly number[], shape: readonly number[] = [values.length]): Weight {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { info: { dtype: "F32", shape }, read: async () => bytes };
}

/** A stored tensor as a weight of `shape`, its elements times `factor`. Throws `ModelError` when it is not of that shape. */
export function storedWeight(
  call: Call,
  what: string,
  value: Value | undefined,
  shape: readonly number[],
  factor = 1,
): Weight {
  if (value?.kind === "constant") {
    const { data } = value;
    if (data.length !== elements(shape) || data.includes("n")) {
      throw call.fail(`${what} [${shape.join(", ")}]`, `[${value.dims.join(", ")}]`);
    }
    return weightOf(
      (data as readonly number[]).map((each) => each * factor),
      shape,
    );
  }
  if (value?.kind !== "tensor")
    throw call.fail(`${what} stored in the file`, value === undefined ? "none" : "one computed");
  const { stored, transposed } = value;
  const dims = transposed ? [...stored.dims].reverse() : stored.dims;
  // A vector may come as [1, c] or [c, 1, 1].
  const same = shape.length === 1 ? elements(dims) === shape[0] && dims.includes(shape[0]!) : `${dims}` === `${shape}`;
  if (!same) throw call.fail(`${what} [${shape.join(", ")}]`, `"${stored.name}" [${dims.join(", ")}]`);
  const { dtype } = stored;
  if (dtype === undefined) throw call.fail(`${what} of floating-point numbers`, `"${stored.name}", which are integers`);
  const strides = transposed ? { strides: [1, stored.dims[1]!] } : {};
  if (factor === 1) return { info: { dtype, shape, ...strides }, read: () => stored.read() };
  return {
    info: { dtype: "F32", shape, ...strides },
    read: async () => scaled(stored, factor),
  };
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A tensor's elements times `factor`, as F32. */
async function scaled({ type, dims, read }: Stored, factor: number): Promise<Uint8Array> {
  const bytes = await read();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const element = elementReader(type)!;
  const values = Float32Array.from({ length: elements(dims) }, (_, i) => factor * element(view, i));
  return new Uint8Array(values.buffer);
}

/** A weight that the file stores, as an input. */
export function weightsInput(call: Call, network: Network, index: number): Value & { readonly kind: "tensor" } {
  const value = inputOf(network, call, index);
  if (value?.kind === "tensor") return value;
  throw call.fail(`input ${index} stored in the file`, value === undefined ? "none" : "one computed by the graph");
}

/** The axes of an operator, an attribute once and an input now. */
export async function axesOf(call: Call, network: Network): Promise<readonly number[] | undefined> {
  const input = await constantInput(network, call, 1);
  return input === undefined ? call.ints("axes") : plainNumbers(call, input);
}
