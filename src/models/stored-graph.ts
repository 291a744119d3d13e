/**
 * A graph in a file's metadata: written as JSON, and validated field by field when it is read, so that everything after this
 * door may trust it. Shapes are computed again, not believed.
 */
import { expectedGot, ModelError } from "../errors.ts";
import {
  type Clamp,
  type Graph,
  NO_CLAMP,
  type Node,
  type Pads,
  pooled,
  RELU,
  type Shape,
  windowed,
} from "../graph.ts";

/** Longest kernel, stride, dilation or pad. */
const MAX_WINDOW = 4096;
const MAX_NODES = 100_000;
/** Most elements of one activation: 4 GB of f32. */
const MAX_ELEMENTS = 2 ** 30;
const MAX_NAME = 400;

type Json = Readonly<Record<string, unknown>>;

/**
 * The graph that `graphToJson` of metadata.ts wrote.
 *
 * @param value the parsed JSON
 * @throws ModelError naming the node and field that are not what a graph has
 */
export function graphFromJson(where: string, value: unknown): Graph {
  const culprit = `${where}: __metadata__ "graph"`;
  const fail = (expected: string, got: unknown): never => {
    throw new ModelError("metadata", expectedGot(culprit, expected, show(got)), { subject: "graph" });
  };
  if (!isObject(value)) return fail("an object with name and nodes", value);
  const { name, nodes: items } = value;
  if (typeof name !== "string" || name === "" || name.length > MAX_NAME) return fail("a name", name);
  if (!Array.isArray(items) || items.length === 0) return fail("nodes", items);
  if (items.length > MAX_NODES) return fail(`at most ${MAX_NODES} nodes`, items.length);
  const nodes = new Map<string, Node>();
  for (const item of items) {
    if (!isObject(item)) return fail("nodes that are objects", item);
    const node = readNode(item, nodes, (field, expected) => {
      const shown = field === "" ? item : item[field];
      const at = `${culprit}: node ${show(item.name)}${field === "" ? "" : `, ${field}`}`;
      throw new ModelError("metadata", expectedGot(at, expected, show(shown)), { subject: "graph" });
    });
    nodes.set(node.name, node);
  }
  const last = [...nodes.values()].at(-1)!;
  if (last.shape[0] * last.shape[1] !== 1 || last.op === "input")
    return fail("one pixel of classes at the end", last.shape);
  return { name, nodes: [...nodes.values()] };
}

/** Throws for a field, or for the node where `field` is empty. */
type Refuse = (field: string, expected: string) => never;

function readNode(item: Json, nodes: ReadonlyMap<string, Node>, refuse: Refuse): Node {
  const { name, op } = item;
  if (typeof name !== "string" || name === "" || name.length > MAX_NAME || nodes.has(name)) {
    return refuse("name", "a name of its own");
  }
  if ((op === "input") !== (nodes.size === 0)) return refuse("op", "one input, the first node");
  const arity = typeof op === "string" && Object.hasOwn(ARITIES, op) ? ARITIES[op as Node["op"]] : undefined;
  if (arity === undefined) return refuse("op", `one of ${Object.keys(ARITIES).join(", ")}`);
  const { inputs, shape } = item;
  const isInputs = Array.isArray(inputs) && inputs.length === arity;
  if (!isInputs || !inputs.every((each) => typeof each === "string" && nodes.has(each))) {
    return refuse("inputs", `${arity} nodes before it`);
  }
  if (!isShape(shape)) return refuse("shape", "[height, width, channels] of at most 2^30 elements");
  const node = withFields(
    item,
    { name, shape, inputs },
    inputs.map((each: string) => nodes.get(each)!.shape),
    refuse,
  );
  if (`${node.shape}` !== `${shape}`) return refuse("shape", `[${node.shape.join(", ")}]`);
  return node;
}

/** How many nodes each operation reads. Nothing is folded in a stored graph. */
const ARITIES: Readonly<Record<Node["op"], number>> = {
  input: 0,
  conv: 1,
  norm: 1,
  clamp: 1,
  add: 2,
  maxpool: 1,
  avgpool: 1,
  globalpool: 1,
  gate: 2,
  sigmoid: 1,
  shortcut: 1,
  linear: 1,
};

interface Base {
  readonly name: string;
  readonly shape: Shape;
  readonly inputs: readonly string[];
}

/** The node with its own fields, and the shape that follows from them and from its inputs'. */
function withFields(item: Json, base: Base, [from, second]: readonly Shape[], refuse: Refuse): Node {
  const op = item.op as Node["op"];
  if (op === "input" || from === undefined) {
    const [, , channels] = base.shape;
    return channels === 1 || channels === 3 ? { ...base, op: "input" } : refuse("shape", "1 or 3 channels");
  }
  const [h, w, c] = from;
  const same = { ...base, shape: from };
  switch (op) {
    case "conv": {
      const [kernel, stride] = [pair(item, "kernel", refuse), pair(item, "stride", refuse)];
      const [dilation, pads] = [pair(item, "dilation", refuse), padsOf(item, refuse)];
      const groups = count(item, "groups", refuse);
      const channels = count(item, "channels", refuse);
      const [, , n] = base.shape;
      if (channels !== c) refuse("channels", `${c}, its input's`);
      if (c % groups !== 0 || n % groups !== 0) refuse("groups", `a divisor of ${c} and ${n}`);
      const [top, left, bottom, right] = pads;
      const shape: Shape = [
        windowed(h, kernel[0], stride[0], dilation[0], top + bottom),
        windowed(w, kernel[1], stride[1], dilation[1], left + right),
        n,
      ];
      const bias = flag(item, "bias", refuse);
      const clamp = clampOf(item, refuse);
      const rest = { kernel, stride, dilation, pads, groups, channels, bias, clamp, residual: false };
      return { ...base, op, shape, ...rest };
    }
    case "norm": {
      const { epsilon } = item;
      if (typeof epsilon !== "number" || !(epsilon >= 0 && epsilon < 1e9)) return refuse("epsilon", "a number from 0");
      return { ...same, op, epsilon, clamp: clampOf(item, refuse) };
    }
    case "clamp":
      return { ...same, op, clamp: clampOf(item, refuse) };
    case "add":
      if (`${second}` !== `${from}`) refuse("inputs", `two of one shape, [${from.join(", ")}]`);
      return { ...same, op, clamp: clampOf(item, refuse) };
    case "gate":
      if (`${second}` !== `${[1, 1, c]}`) refuse("inputs", `an image and [1, 1, ${c}]`);
      return { ...same, op };
    case "sigmoid":
      return { ...same, op };
    case "maxpool":
    case "avgpool": {
      const [kernel, stride, pads] = [pair(item, "kernel", refuse), pair(item, "stride", refuse), padsOf(item, refuse)];
      const [top, left, bottom, right] = pads;
      if (Math.max(top, bottom) >= kernel[0] || Math.max(left, right) >= kernel[1])
        refuse("pads", "less than the kernel");
      const [countPads, ceil] = [flag(item, "countPads", refuse), flag(item, "ceil", refuse)];
      const shape: Shape = [
        pooled(h, kernel[0], stride[0], [top, bottom], ceil),
        pooled(w, kernel[1], stride[1], [left, right], ceil),
        c,
      ];
      return { ...base, op, shape, kernel, stride, pads, countPads, ceil };
    }
    case "globalpool":
      return { ...base, op, shape: [1, 1, c] };
    case "shortcut": {
      const stride = count(item, "stride", refuse);
      const { before } = item;
      const [, , n] = base.shape;
      if (!Number.isInteger(before) || !((before as number) >= 0 && (before as number) + c <= n)) {
        return refuse("before", `from 0 to ${n - c} channels`);
      }
      const shape: Shape = [Math.ceil(h / stride), Math.ceil(w / stride), n];
      return { ...base, op, shape, stride, before: before as number };
    }
    case "linear": {
      const channels = count(item, "channels", refuse);
      if (channels !== c || h * w !== 1) refuse("channels", `those of one pixel, got [${from.join(", ")}]`);
      return { ...base, op, shape: [1, 1, base.shape[2]], channels, bias: flag(item, "bias", refuse) };
    }
    default:
      return refuse("op", `one of ${Object.keys(ARITIES).join(", ")}`);
  }
}

function isWindow(value: unknown, least: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= MAX_WINDOW;
}

function pair(item: Json, field: string, refuse: Refuse): readonly [number, number] {
  const value: unknown = item[field];
  const [first, second, ...rest] = Array.isArray(value) ? (value as unknown[]) : [];
  if (rest.length === 0 && isWindow(first, 1) && isWindow(second, 1)) return [first, second];
  return refuse(field, `two whole numbers from 1 to ${MAX_WINDOW}`);
}

function padsOf(item: Json, refuse: Refuse): Pads {
  const value: unknown = item.pads;
  const [top, left, bottom, right, ...rest] = Array.isArray(value) ? (value as unknown[]) : [];
  if (rest.length === 0 && isWindow(top, 0) && isWindow(left, 0) && isWindow(bottom, 0) && isWindow(right, 0)) {
    return [top, left, bottom, right];
  }
  return refuse("pads", `four whole numbers from 0 to ${MAX_WINDOW}`);
}

function count(item: Json, field: string, refuse: Refuse): number {
  const value = item[field];
  return Number.isSafeInteger(value) && (value as number) >= 1
    ? (value as number)
    : refuse(field, "a whole number from 1");
}

function flag(item: Json, field: string, refuse: Refuse): boolean {
  const value = item[field];
  return typeof value === "boolean" ? value : refuse(field, "true or false");
}

function clampOf(item: Json, refuse: Refuse): Clamp {
  const value: unknown = item.clamp;
  const [low, high, ...rest] = Array.isArray(value) ? value.map(bound) : [];
  if (low === undefined || high === undefined || rest.length > 0 || !(low <= high))
    return refuse("clamp", "[low, high]");
  // The bounds that other code compares by identity.
  if (low === NO_CLAMP[0] && high === NO_CLAMP[1]) return NO_CLAMP;
  return low === RELU[0] && high === RELU[1] ? RELU : [low, high];
}

function bound(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return typeof value === "string" && Object.hasOwn(INFINITIES, value) ? INFINITIES[value] : undefined;
}

const INFINITIES: Readonly<Record<string, number>> = {
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};

function isShape(value: unknown): value is Shape {
  return (
    Array.isArray(value) &&
    value.length === 3 &&
    value.every((size) => Number.isSafeInteger(size) && size > 0) &&
    value[0] * value[1] * value[2] <= MAX_ELEMENTS
  );
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as an error shows it: at most a line. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
