import type { Call, Dim } from "./call.ts";
import { axisOf, sliceLists, unsqueezed, vector } from "./constant.ts";
import {
  type Activation,
  activation,
  axesOf,
  constantInput,
  image,
  inputOf,
  type Network,
  type Value,
} from "./network.ts";
import { MAX_WINDOW } from "./window.ts";

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

export async function flatten(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call, 0, "softmax");
  const axis = call.int("axis", 1);
  if (axis !== 1 && axis !== 1 - x.dims.length) throw call.fail("axis 1", `${axis}`);
  const [h, w, c] = x.shape;
  return reshaped(call, x, [h * w * c]);
}

export async function reshape(call: Call, network: Network): Promise<Value> {
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

export async function squeeze(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call, 0, "softmax");
  const axes = (await axesOf(call, network))?.map((axis) => axisOf(call, axis, x.dims.length));
  const gone = x.dims.map((each, i) => (axes === undefined ? i > 0 && each === 1 : axes.includes(i)));
  const wrong = x.dims.findIndex((each, i) => gone[i] && each !== 1);
  if (wrong >= 0) throw call.fail(`dimension ${wrong} to be 1`, `[${x.dims.join(", ")}]`);
  const rest = x.dims.filter((_, i) => i > 0 && !gone[i]);
  return reshaped(call, x, rest.length === 0 ? [1] : rest);
}

export async function unsqueeze(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call);
  const [batch, ...rest] = unsqueezed(call, x.dims, (await axesOf(call, network)) ?? []);
  if (batch !== "n") throw call.fail("the batch to stay first", `[${[batch, ...rest].join(", ")}]`);
  return reshaped(call, x, rest);
}

export async function transpose(call: Call, network: Network): Promise<Value> {
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

export async function slice(call: Call, network: Network): Promise<Value> {
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

export async function expand(call: Call, network: Network): Promise<Value> {
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

export async function shape(call: Call, network: Network): Promise<Value> {
  const x = activation(network, call, 0, "sliced", "padded", "expanded");
  if (x.pending?.kind === "padded" || x.pending?.kind === "expanded") {
    throw call.fail("the shape of what a node puts out", `that of ${x.pending.by}`);
  }
  const rank = x.dims.length;
  const bound = (at: number): number => Math.min(Math.max(at < 0 ? at + rank : at, 0), rank);
  return vector(x.dims.slice(bound(call.int("start", 0)), bound(call.int("end", rank))));
}
