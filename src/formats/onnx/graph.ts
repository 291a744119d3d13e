/**
 * From an ONNX graph to ours: the nodes that the classifier's output needs, in the order they run, each read by its
 * operator. A graph that leaves its image size open is read at the size its stem is made for.
 */

import { expectedGot, ModelError } from "../../errors.ts";
import type { Graph, Node, Shape } from "../../graph.ts";
import type { OutputKind } from "../../output.ts";
import { nodeLabel } from "./call.ts";
import { type Activation, begin, type Network, type Value, type Weight } from "./network.ts";
import { apply, OPERATORS } from "./operators.ts";
import type { GraphProto, ModelProto, NodeProto, ValueProto } from "./proto.ts";
import { isFloat, locate, type Store, typeName } from "./stored.ts";

/**
 * Operator sets whose meaning is known here. Since 21 the operators read here have only got more element types, and `Cast` an
 * attribute for 8-bit floats (docs/Changelog.md of github.com/onnx/onnx).
 */
const OPSETS = { first: 7, last: 27 } as const;
/** Longest side of an image. */
const MAX_SIDE = 16384;
/** Sides tried for an input that leaves them open: ImageNet's and CIFAR's. */
const USUAL_SIDES = [224, 32] as const;
/** Of images: color, and gray. */
const CHANNELS = [3, 1] as const;

/** What an ONNX file's graph became. */
export interface Imported {
  readonly graph: Graph;
  /** By our names: `<node>.weight` … */
  readonly weights: ReadonlyMap<string, Weight>;
  /** The largest value of a pixel it expects, where it normalises pixels itself. */
  readonly pixels: 1 | 255 | undefined;
  /** Whether its size was chosen here. */
  readonly open: boolean;
}

/** Version of the default operator set. Throws `ModelError` for one this does not know. */
export function opsetOf(where: string, { opset }: ModelProto): number {
  const version = opset.find(({ domain }) => domain === "" || domain === "ai.onnx")?.version;
  if (version !== undefined && version >= OPSETS.first && version <= OPSETS.last) return version;
  const hint = "export it with opset_version=17";
  throw new ModelError(
    "unsupported",
    expectedGot(where, `opset ${OPSETS.first} to ${OPSETS.last}`, `${version ?? "none"}`, hint),
  );
}

/** Reads the graph. Throws `ModelError` naming the node or tensor that cannot be. */
export async function importGraph(where: string, model: ModelProto, store: Store): Promise<Imported> {
  const opset = opsetOf(where, model);
  const proto = model.graph;
  if (proto === undefined)
    throw new ModelError("malformed", expectedGot(where, "a graph", "none", "the file may be cut short"));
  const producers = producersOf(where, proto);
  const output = chooseOutput(where, proto, producers);
  const needed = needs(where, proto, producers, output);
  const input = chooseInput(where, proto, needed);
  const dims = inputDims(where, input);
  const sides = dims.h === undefined || dims.w === undefined ? USUAL_SIDES : ([0] as const);
  const read = (side: number): Promise<Imported> => {
    const shape: Shape = [dims.h ?? dims.w ?? side, dims.w ?? dims.h ?? side, dims.c];
    return readAt(where, proto, { needed, input: input.name, output, opset, batch: dims.n, shape }, store);
  };
  if (sides.length === 1) return read(sides[0]);
  const open = { open: true } as const;
  let imported: Imported;
  try {
    imported = await read(sides[0]);
  } catch (error) {
    // A pooling over a fixed number of pixels fits one size only.
    try {
      return { ...(await read(sides[1])), ...open };
    } catch {
      throw error;
    }
  }
  return isSmall(imported.graph) ? { ...(await read(sides[1])), ...open } : { ...imported, ...open };
}

/** Whether a network was made for images of 32 pixels: its stem keeps their size, and its last maps stay large. */
function isSmall({ nodes }: Graph): boolean {
  const stem = nodes.find(({ op }) => op === "conv");
  const smallest = Math.min(...nodes.map(({ shape: [h] }) => (h === 1 ? Number.POSITIVE_INFINITY : h)));
  return stem?.op === "conv" && stem.stride[0] === 1 && smallest > 14;
}

/** Which node makes each value, and as which of its outputs. */
type Producers = ReadonlyMap<string, { readonly node: NodeProto; readonly index: number }>;

function producersOf(where: string, { node: nodes, initializer, input }: GraphProto): Producers {
  const producers = new Map<string, { node: NodeProto; index: number }>();
  const given = new Set([...initializer.map(({ name }) => name), ...input.map(({ name }) => name)]);
  if (new Set(initializer.map(({ name }) => name)).size < initializer.length) {
    throw new ModelError("malformed", expectedGot(where, "a name of its own for each initializer", "one twice"));
  }
  for (const node of nodes) {
    node.output.forEach((name, index) => {
      if (name === "") return;
      if (producers.has(name) || given.has(name)) {
        const got = producers.has(name) ? "two nodes" : "a node and an input or initializer";
        throw new ModelError("malformed", expectedGot(nodeLabel(where, node), `to be all that makes "${name}"`, got), {
          subject: name,
        });
      }
      producers.set(name, { node, index });
    });
  }
  return producers;
}

/** Operators that leave the numbers as they are, or classes in their order. */
const TRANSPARENT = new Set([
  "Softmax",
  "LogSoftmax",
  "Sigmoid",
  "Identity",
  "Cast",
  "Dropout",
  "Flatten",
  "Reshape",
  "Squeeze",
]);

/** The graph's output; of several, the only one that a linear layer makes. */
function chooseOutput(where: string, { output }: GraphProto, producers: Producers): string {
  if (output.length === 1) return output[0]!.name;
  const linear = output.filter(({ name }) => {
    let from = producers.get(name);
    for (let hops = 0; from !== undefined && TRANSPARENT.has(from.node.opType) && hops < 8; ++hops) {
      from = producers.get(from.node.input[0] ?? "");
    }
    const op = from?.node.opType;
    // A matrix product with its bias apart.
    const inner = op === "Add" ? from!.node.input.map((each) => producers.get(each)?.node.opType) : [];
    return op === "Gemm" || op === "MatMul" || inner.includes("MatMul");
  });
  if (linear.length === 1) return linear[0]!.name;
  const names = output.map(({ name }) => `"${name}"`).join(", ");
  const hint = "export the model with its logits as only output";
  throw new ModelError(
    "unsupported",
    expectedGot(where, "one output, or one of them a linear layer's", names || "none", hint),
  );
}

/**
 * Nodes that `output` needs, each after those it needs itself.
 *
 * @throws ModelError for a cycle, a value from nowhere, or an operator that cannot be read
 */
function needs(where: string, proto: GraphProto, producers: Producers, output: string): readonly NodeProto[] {
  const given = new Set([...proto.initializer, ...proto.input].map(({ name }) => name));
  const order: NodeProto[] = [];
  const states = new Map<NodeProto, "open" | "done">();
  const visit = (name: string, by: string): NodeProto | undefined => {
    const from = producers.get(name);
    if (from === undefined) {
      if (given.has(name)) return undefined;
      const hint = "an initializer or a node is missing from the file";
      throw new ModelError(
        "malformed",
        expectedGot(by, `something that makes "${name}"`, "nothing of that name", hint),
        { subject: name },
      );
    }
    const state = states.get(from.node);
    if (state === "open") {
      throw new ModelError(
        "malformed",
        expectedGot(nodeLabel(where, from.node), "a graph without a cycle", "one through this node"),
        { subject: from.node.name },
      );
    }
    if (state === "done") return undefined;
    checkOperator(where, from.node);
    states.set(from.node, "open");
    return from.node;
  };
  const first = visit(output, where);
  // By hand, not by recursion: a file may hold a chain of any length.
  const stack = first === undefined ? [] : [{ node: first, next: 0 }];
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    if (top.next === top.node.input.length) {
      states.set(top.node, "done");
      order.push(top.node);
      stack.pop();
      continue;
    }
    const name = top.node.input[top.next++]!;
    const node = name === "" ? undefined : visit(name, nodeLabel(where, top.node));
    if (node !== undefined) stack.push({ node, next: 0 });
  }
  return order;
}

function checkOperator(where: string, node: NodeProto): void {
  const { opType, domain } = node;
  const isDefault = domain === "" || domain === "ai.onnx";
  if (isDefault && OPERATORS.has(opType)) return;
  let hint: string | undefined;
  if (/quantize|qlinear|integer$/i.test(opType)) hint = "this is a quantised model; use the one it was made from";
  else if (/^(If|Loop|Scan)$/.test(opType)) hint = "graphs inside nodes are not read; export without control flow";
  else if (!isDefault) hint = "export the model without optimisations for one runtime, and without functions";
  const got = isDefault ? opType : `${domain}.${opType}`;
  const expected = "operators that residual networks are made of";
  throw new ModelError("unsupported", expectedGot(nodeLabel(where, node), expected, got, hint), { subject: opType });
}

/** The one input that the classifier reads and the file does not hold. */
function chooseInput(where: string, proto: GraphProto, needed: readonly NodeProto[]): ValueProto {
  const held = new Set(proto.initializer.map(({ name }) => name));
  const read = new Set(needed.flatMap(({ input }) => input));
  const inputs = proto.input.filter(({ name }) => !held.has(name) && read.has(name));
  if (inputs.length === 1) return inputs[0]!;
  const names = inputs.map(({ name }) => `"${name}"`).slice(0, 8);
  throw new ModelError("unsupported", expectedGot(where, "one input, the images", names.join(", ") || "none"));
}

/** Batch, height and width where the file fixes them. */
function inputDims(where: string, { name, type }: ValueProto): { n?: number; c: number; h?: number; w?: number } {
  const at = `${where}: input "${name}"`;
  const elemType = type?.tensor?.elemType;
  if (type?.tensor === undefined || !isFloat(elemType)) {
    throw new ModelError("unsupported", expectedGot(at, "a tensor of floating-point numbers", typeName(elemType)), {
      subject: name,
    });
  }
  const dims = type.tensor.shape?.dim.map(({ value }) => (value === undefined || value <= 0 ? undefined : value));
  if (dims === undefined) return { c: CHANNELS[0] };
  const shown = `[${dims.map((each) => each ?? "?").join(", ")}]`;
  const c = CHANNELS.find((each) => each === (dims[1] ?? CHANNELS[0]));
  if (dims.length !== 4 || c === undefined) {
    const hint =
      dims[3] === CHANNELS[0] ? "export it with images as [n, c, h, w] (tf2onnx: --inputs-as-nchw)" : undefined;
    throw new ModelError("unsupported", expectedGot(at, "images [n, 3, h, w], or [n, 1, h, w] for gray", shown, hint), {
      subject: name,
    });
  }
  const [n, , h, w] = dims;
  if (Math.max(h ?? 1, w ?? 1) > MAX_SIDE) {
    throw new ModelError("unsupported", expectedGot(at, `images of at most ${MAX_SIDE} pixels a side`, shown), {
      subject: name,
    });
  }
  return { ...(n && { n }), c, ...(h && { h }), ...(w && { w }) };
}

interface Plan {
  readonly needed: readonly NodeProto[];
  readonly input: string;
  readonly output: string;
  readonly opset: number;
  readonly batch: number | undefined;
  readonly shape: Shape;
}

async function readAt(where: string, proto: GraphProto, plan: Plan, store: Store): Promise<Imported> {
  const { needed, input, output, opset, batch, shape } = plan;
  const uses = new Map([[output, 1]]);
  for (const node of needed) for (const name of node.input) uses.set(name, (uses.get(name) ?? 0) + 1);
  const values = new Map<string, Value>();
  const nodes = new Map<string, Node>([["input", { op: "input", name: "input", inputs: [], shape }]]);
  const affines = new Map();
  const network: Network = { where, opset, batch, store, values, uses, nodes, weights: new Map(), affines };
  for (const tensor of proto.initializer) {
    if (!uses.has(tensor.name)) continue;
    const stored = await locate(`${where}: "${tensor.name}"`, tensor, store);
    values.set(tensor.name, { kind: "tensor", stored, transposed: false });
  }
  const [h, w, c] = shape;
  values.set(input, { kind: "activation", node: "input", shape, dims: ["n", c, h, w], value: input });
  for (const node of needed) {
    const call = begin(network, node);
    const unmade = node.input.find((name) => name !== "" && !values.has(name));
    if (unmade !== undefined) throw call.fail("first outputs only", `"${unmade}", another output of its node`);
    const [first, ...others] = node.output;
    values.set(first ?? "", await apply(call, network));
    const extra = others.find((name) => name === output);
    if (extra !== undefined) throw call.fail("first outputs only", `"${extra}" as the graph's output`);
  }
  const value = values.get(output);
  if (value?.kind !== "activation" || (value.pending !== undefined && value.pending.kind !== "softmax")) {
    throw new ModelError(
      "unsupported",
      expectedGot(`${where}: output "${output}"`, "what the network computes", "something else"),
      { subject: output },
    );
  }
  const [oh, ow] = value.shape;
  if (oh * ow !== 1 || value.node === "input") {
    const got = `[${value.dims.join(", ")}]`;
    const hint = "export the whole classifier, with its pooling and linear layer";
    throw new ModelError(
      "unsupported",
      expectedGot(`${where}: output "${output}"`, "a number for each class", got, hint),
      { subject: output },
    );
  }
  const [last, kind] = logitsOf(nodes, value);
  const kept = live(nodes, last);
  const graph: Graph = {
    name: proto.name || "onnx",
    nodes: kept.map((node) => asRunnable(node, last, network)),
    ...(kind === undefined ? {} : { output: kind }),
  };
  const weights = new Map<string, Weight>();
  const names = new Set(kept.map(({ name }) => name));
  for (const [name, weight] of network.weights) {
    if (names.has(name.slice(0, name.lastIndexOf(".")))) weights.set(name, weight);
  }
  return {
    graph,
    weights,
    pixels: pixelsOf(graph, network),
    open: false,
  };
}

/** The node of the logits, and what the graph makes of them at its end: that is then done by whoever reads them. */
function logitsOf(
  nodes: ReadonlyMap<string, Node>,
  { node: name, pending }: Activation,
): readonly [name: string, kind: OutputKind | undefined] {
  if (pending?.kind === "softmax") return [name, "softmax"];
  const node = nodes.get(name)!;
  return node.op === "sigmoid" ? [node.inputs[0]!, "sigmoid"] : [name, undefined];
}

/** Nodes that `last` depends on: what was computed for its shape only is left out. */
function live(nodes: ReadonlyMap<string, Node>, last: string): readonly Node[] {
  const reached = new Set([last]);
  const all = [...nodes.values()];
  for (const node of all.toReversed()) if (reached.has(node.name)) for (const name of node.inputs) reached.add(name);
  return all.filter(({ name }) => reached.has(name));
}

/** The classifier is a linear layer, whatever it was exported as; inside the network one is a convolution of one pixel. */
function asRunnable(node: Node, last: string, { weights, nodes }: Network): Node {
  const name = `${node.name}.weight`;
  const weight = weights.get(name);
  if (weight === undefined) return node;
  const { info } = weight;
  if (node.op === "linear" && node.name !== last) {
    const [so, si] = info.strides ?? [node.channels, 1];
    const shape = [...info.shape, 1, 1];
    weights.set(name, { ...weight, info: { ...info, shape, strides: [so!, si!, 1, 1] } });
    const window = { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pads: [0, 0, 0, 0] } as const;
    return { ...node, op: "conv", ...window, groups: 1, clamp: [-Infinity, Infinity], residual: false };
  }
  if (node.op !== "conv" || node.name !== last || node.groups !== 1) return node;
  const [h, w] = nodes.get(node.inputs[0]!)!.shape;
  if (h * w * node.kernel[0] * node.kernel[1] !== 1 || node.pads.some((pad) => pad > 0)) return node;
  weights.set(name, { ...weight, info: { dtype: info.dtype, shape: info.shape.slice(0, 2) } });
  const { inputs, shape, channels, bias } = node;
  return { op: "linear", name: node.name, inputs, shape, channels, bias };
}

/** Pixels are scaled by about four where they come as 0…1, and by a sixtieth, or shifted by a hundred, where as 0…255. */
function pixelsOf({ nodes }: Graph, { affines }: Network): 1 | 255 | undefined {
  const affine = affines.get(nodes.find(({ inputs }) => inputs[0] === "input")?.name ?? "");
  if (affine === undefined) return undefined;
  return affine.scale.every((each) => Math.abs(each) > 0.1) && affine.shift.every((each) => Math.abs(each) < 10)
    ? 1
    : 255;
}
