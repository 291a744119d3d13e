/**
 * Which residual network a graph is, whatever its nodes are called: its convolutions suggest a few specifications, and one
 * of them must build the same graph, node by node. That gives a graph of unknown names torchvision's.
 */
import type { ConvNode, Graph, Node } from "../graph.ts";
import { type ResNetSpec, resnet } from "./resnet.ts";

/** A graph recognised. */
export interface Match {
  readonly spec: ResNetSpec;
  /** From the graph's node names to those of `resnet(…)` for the specification. */
  readonly rename: ReadonlyMap<string, string>;
  /** Whether batch norms that follow a convolution are in its weights and bias, as exporters of ONNX put them. */
  readonly normsFolded: boolean;
}

/**
 * Finds the specification whose graph this is: the same operations with the same windows, channels and bounds, wired alike.
 * Undefined when there is none; the graph still runs under its own names.
 */
export function matchResnet(graph: Graph): Match | undefined {
  const ids = new Map<string, number>();
  const mine = signatures(graph, ids);
  if (mine === undefined) return undefined;
  const input = graph.nodes[0]!.shape;
  const epsilon = graph.nodes.find((node) => node.op === "norm")?.epsilon;
  for (const spec of candidates(graph)) {
    const kept = resnet("candidate", spec, input, epsilon);
    for (const built of [kept, withoutNorms(kept)]) {
      if (built.nodes.length !== graph.nodes.length) continue;
      const theirs = signatures(built, ids);
      const rename = theirs === undefined ? undefined : pairs(graph, mine, built, theirs);
      if (rename !== undefined) return { spec, rename, normsFolded: built !== kept };
    }
  }
  return undefined;
}

/** What the convolutions do not determine is tried, one after the other. */
function* candidates(graph: Graph): Generator<ResNetSpec> {
  const convs = graph.nodes.filter((node) => node.op === "conv");
  const last = graph.nodes.at(-1)!;
  const [first, , third] = convs;
  if (first === undefined || last.op !== "linear") return;
  const stem = first.kernel[0] === 7 ? "imagenet" : first.stride[0] === 2 ? "deep" : "cifar";
  const width = (stem === "deep" ? third : first)?.shape[2] ?? 0;
  const adds = graph.nodes.filter(({ op }) => op === "add");
  // Without shortcuts only the 3×3 are there to count, two a block.
  const ends = adds.length > 0 ? adds : convs.slice(stem === "deep" ? 3 : 1).filter((_, i) => i % 2 === 1);
  const depths: number[] = [];
  ends.forEach((node, i) => {
    if (i === 0 || node.shape[2] !== ends[i - 1]!.shape[2]) depths.push(0);
    depths[depths.length - 1]! += 1;
  });
  const isBottleneck = ends[0]?.shape[2] === 4 * width;
  const inner = convs.slice(stem === "deep" ? 3 : 1).find((node) => node.kernel[0] === 3);
  const groups = isBottleneck ? (inner?.groups ?? 1) : 1;
  const groupWidth = isBottleneck ? ((inner?.shape[2] ?? 0) / groups / width) * 64 : 64;
  if (depths.length === 0 || depths.length > 8 || !(groupWidth > 0) || width < 1) return;
  const has = (op: Node["op"]): boolean => graph.nodes.some((node) => node.op === op);
  const shortcuts: readonly ResNetSpec["shortcut"][] =
    adds.length === 0 ? ["none"] : has("shortcut") ? ["A"] : has("avgpool") ? ["D"] : ["B", "C", "A", "D"];
  for (const shortcut of shortcuts) {
    for (const preact of [false, true]) {
      for (const stride of isBottleneck ? (["3x3", "1x1"] as const) : (["3x3"] as const)) {
        yield {
          block: isBottleneck ? "bottleneck" : "basic",
          ...{ depths, stem, width, shortcut, groups, groupWidth, stride, preact },
          squeeze: has("gate"),
          classes: last.shape[2],
        };
      }
    }
  }
}

/**
 * A number for each node, in their order, that says what it computes and what becomes of that: in two graphs, nodes of one
 * number have the same place. Undefined when two nodes of the graph cannot be distinguished.
 *
 * @param ids the numbers given so far
 */
function signatures({ nodes }: Graph, ids: Map<string, number>): readonly number[] | undefined {
  const numbered = (...key: readonly unknown[]): number => {
    const text = JSON.stringify(key);
    const id = ids.get(text) ?? ids.size;
    ids.set(text, id);
    return id;
  };
  const computed = new Map<string, number>();
  for (const node of nodes) {
    const inputs = node.inputs.map((name) => computed.get(name)!);
    // Either operand of a sum may come first.
    if (node.op === "add") inputs.sort((a, b) => a - b);
    computed.set(node.name, numbered(node.op, node.shape, inputs, ...essence(node)));
  }
  // A projection may compute what the block's first convolution does; their readers differ.
  const readers = new Map<string, number[]>(nodes.map(({ name }) => [name, []]));
  const placed = new Map<string, number>();
  for (const node of nodes.toReversed()) {
    const id = numbered(computed.get(node.name), ...readers.get(node.name)!.sort((a, b) => a - b));
    placed.set(node.name, id);
    node.inputs.forEach((name, i) => {
      readers.get(name)!.push(node.op === "add" ? id : numbered("input", i, id));
    });
  }
  const result = nodes.map(({ name }) => placed.get(name)!);
  return new Set(result).size === result.length ? result : undefined;
}

/** All of a node but its name, shape and inputs that decides what it computes. A convolution's bias belongs to its weights. */
function essence(node: Node): readonly unknown[] {
  switch (node.op) {
    case "conv":
      return [node.kernel, node.stride, node.dilation, node.pads, node.groups, node.channels, `${node.clamp}`];
    case "norm":
      return [node.epsilon, `${node.clamp}`];
    case "clamp":
    case "add":
      return [`${node.clamp}`];
    case "maxpool":
    case "avgpool": {
      const isPadded = node.pads.some((pad) => pad > 0);
      return [node.kernel, node.stride, node.pads, node.op === "avgpool" && isPadded && node.countPads];
    }
    case "shortcut":
      return [node.stride, node.before];
    case "linear":
      return [node.channels, node.bias];
    default:
      return [];
  }
}

/** The graph as exporters fold it: each norm in the convolution before it, where nothing else reads that. */
function withoutNorms(graph: Graph): Graph {
  const readers = new Map<string, number>();
  for (const { inputs } of graph.nodes) for (const name of inputs) readers.set(name, (readers.get(name) ?? 0) + 1);
  const convs = new Map<string, ConvNode>();
  const renamed = new Map<string, string>();
  const nodes: Node[] = [];
  for (const original of graph.nodes) {
    const node: Node = { ...original, inputs: original.inputs.map((name) => renamed.get(name) ?? name) };
    if (node.op === "conv") convs.set(node.name, node);
    const before = node.op === "norm" ? convs.get(original.inputs[0]!) : undefined;
    if (before !== undefined && readers.get(before.name) === 1) {
      renamed.set(node.name, before.name);
      nodes[nodes.indexOf(before)] = { ...before, bias: true };
    } else nodes.push(node);
  }
  return { name: graph.name, nodes };
}

/** From one graph's names to the other's, when they are the same graph and every bias that one wants the other has. */
function pairs(
  mine: Graph,
  myIds: readonly number[],
  theirs: Graph,
  theirIds: readonly number[],
): ReadonlyMap<string, string> | undefined {
  const byId = new Map(theirIds.map((id, i) => [id, theirs.nodes[i]!]));
  const rename = new Map<string, string>();
  for (const [i, node] of mine.nodes.entries()) {
    const other = byId.get(myIds[i]!);
    if (other === undefined || (other.op === "conv" && node.op === "conv" && other.bias && !node.bias))
      return undefined;
    rename.set(node.name, other.name);
  }
  return rename;
}
