import { describe, expect, it } from "vitest";
import { fold } from "../../src/fold.ts";
import { type Graph, type Node, RELU } from "../../src/graph.ts";
import { matchResnet } from "../../src/models/match.ts";
import { RESNETS, type ResNetSpec, resnet, resnetSpec } from "../../src/models/resnet.ts";

/** The same network with nodes that are called by number, operands of sums the other way round. */
function disguised(graph: Graph): Graph {
  const numbers = new Map(graph.nodes.map(({ name }, i) => [name, `node${i}`]));
  const nodes = graph.nodes.map((node): Node => {
    const inputs = node.inputs.map((name) => numbers.get(name)!);
    return { ...node, name: numbers.get(node.name)!, inputs: node.op === "add" ? inputs.reverse() : inputs };
  });
  return { name: "disguised", nodes };
}

/** Norms in the convolutions before them, as an exporter puts them; nothing else folded. */
function withoutNorms(graph: Graph): Graph {
  const folded = new Map<string, string>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => folded.get(name) ?? name);
    const readers = graph.nodes.filter((other) => other.inputs.includes(node.inputs[0]!)).length;
    const at = nodes.findIndex(({ name }) => name === inputs[0]);
    const before = nodes[at];
    if (node.op === "norm" && before?.op === "conv" && readers === 1) {
      folded.set(node.name, before.name);
      nodes[at] = { ...before, bias: true };
    } else nodes.push({ ...node, inputs });
  }
  return { ...graph, nodes };
}

/** Those that are no repetition of another with more blocks. */
const NAMES = Object.keys(RESNETS).filter((name) => !/1202|110|101|152|200/.test(name));
const OTHERS: readonly (readonly [string, ResNetSpec])[] = [
  ["resnet50 v1", { ...resnetSpec("resnet50"), stride: "1x1" }],
  ["resnet18 option C", { ...resnetSpec("resnet18"), shortcut: "C" }],
  ["resnet20 option B, 7 classes", { ...resnetSpec("resnet20"), shortcut: "B", classes: 7 }],
  ["resnet20 twice as wide", { ...resnetSpec("resnet20"), width: 32 }],
];
const SPECS = [...NAMES.map((name) => [name, resnetSpec(name)] as const), ...OTHERS];

describe("a network without names is recognised", () => {
  it.each(SPECS)("%s", (name, spec) => {
    const graph = resnet(name, spec);
    const found = matchResnet(disguised(graph))!;
    expect(found.spec).toEqual(spec);
    expect(found.normsFolded).toBe(false);
    expect([...found.rename]).toEqual(graph.nodes.map((node, i) => [`node${i}`, node.name]));
  });

  it.each(SPECS)("%s with folded norms", (name, spec) => {
    const graph = withoutNorms(resnet(name, spec));
    const found = matchResnet(disguised(graph))!;
    expect(found.spec).toEqual(spec);
    expect(found.normsFolded).toBe(true);
    expect([...found.rename]).toEqual(graph.nodes.map((node, i) => [`node${i}`, node.name]));
  });
});

it("the largest network is recognised without delay", () => {
  const graph = disguised(resnet("resnet1202", resnetSpec("resnet1202")));
  const start = performance.now();
  expect(matchResnet(graph)!.spec).toEqual(resnetSpec("resnet1202"));
  expect(performance.now() - start).toBeLessThan(3000);
});

it("input size and epsilon are the graph's own", () => {
  const graph = resnet("resnet18", resnetSpec("resnet18"), [97, 131, 3], 1e-3);
  expect(matchResnet(disguised(graph))!.spec).toEqual(resnetSpec("resnet18"));
});

describe("a network that is none of them is not recognised", () => {
  const graph = disguised(resnet("resnet20", resnetSpec("resnet20")));
  const changed = (op: Node["op"], change: (node: Node) => Node): Graph => {
    const at = graph.nodes.findLastIndex((node) => node.op === op);
    return { ...graph, nodes: graph.nodes.map((node, i) => (i === at ? change(node) : node)) };
  };

  it("another bound", () => {
    expect(matchResnet(changed("clamp", (node) => ({ ...node, op: "clamp", clamp: [0, 6] })))).toBeUndefined();
  });

  it("another epsilon in one norm", () => {
    expect(matchResnet(changed("norm", (node) => ({ ...node, epsilon: 1e-3 }) as Node))).toBeUndefined();
  });

  it("other wiring", () => {
    const adds = graph.nodes.filter(({ op }) => op === "add");
    const inputs = adds.at(-1)!.inputs.map((name, i) => (i === 0 ? name : adds.at(-2)!.name));
    expect(matchResnet(changed("add", (node) => ({ ...node, inputs })))).toBeUndefined();
  });

  it("other padding", () => {
    expect(matchResnet(changed("conv", (node) => ({ ...node, pads: [2, 2, 0, 0] }) as Node))).toBeUndefined();
  });

  it("a folded convolution without a bias", () => {
    const folded = withoutNorms(resnet("resnet20", resnetSpec("resnet20")));
    const nodes = folded.nodes.map((node) =>
      node.name === "layer2.1.conv1" && node.op === "conv" ? { ...node, bias: false } : node,
    );
    expect(matchResnet(folded)).toBeDefined();
    expect(matchResnet({ ...folded, nodes })).toBeUndefined();
  });

  it("a graph folded for running", () => {
    expect(matchResnet(fold(graph))).toBeUndefined();
  });

  it("no residual network at all", () => {
    const input: Node = { op: "input", name: "input", inputs: [], shape: [8, 8, 3] };
    const pooled: Node = { op: "globalpool", name: "p", inputs: ["input"], shape: [1, 1, 3] };
    const linear: Node = { op: "linear", name: "fc", inputs: ["p"], shape: [1, 1, 2], channels: 3, bias: true };
    expect(matchResnet({ name: "none", nodes: [input, pooled, linear] })).toBeUndefined();
    const relu: Node = { op: "clamp", name: "r", inputs: ["input"], shape: [8, 8, 3], clamp: RELU };
    expect(matchResnet({ name: "none", nodes: [input, relu] })).toBeUndefined();
  });
});
