/** The graph as training runs it: what stands before the first trained node is folded, norms behind it are fused. */
import { fold } from "../fold.ts";
import type { Graph, Node, NormNode } from "../graph.ts";
import { opOf } from "../ops/ops.ts";

/**
 * Fuses the addition and the ReLU behind a norm into it, so that each activation is read and written once. The names of
 * nodes with parameters stay.
 */
function fuse(graph: Graph): Graph {
  const readers = new Map<string, number>();
  for (const node of graph.nodes) for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  const renamed = new Map<string, string>();
  const nodes: Node[] = [];
  /** The open norm that produces `name`, when nothing but the node being fused reads it. */
  const openNorm = (name: string): NormNode | undefined => {
    const current = renamed.get(name) ?? name;
    const node = nodes.find((each) => each.name === current);
    const open = node?.op === "norm" && node.clamp[0] === -Infinity && node.clamp[1] === Infinity;
    return open && readers.get(name) === 1 ? node : undefined;
  };
  for (const original of graph.nodes) {
    const node: Node = { ...original, inputs: original.inputs.map((name) => renamed.get(name) ?? name) };
    const norm =
      node.op === "add" || node.op === "clamp" ? original.inputs.map(openNorm).find((each) => each) : undefined;
    if (node.op === "add" && norm !== undefined && !norm.residual) {
      const other = node.inputs[0] === norm.name ? node.inputs[1]! : node.inputs[0]!;
      nodes.splice(nodes.indexOf(norm), 1);
      nodes.push({ ...norm, inputs: [norm.inputs[0]!, other], residual: true, clamp: node.clamp });
      renamed.set(node.name, norm.name);
    } else if (node.op === "clamp" && norm !== undefined) {
      nodes[nodes.indexOf(norm)] = { ...norm, clamp: node.clamp };
      renamed.set(node.name, norm.name);
    } else nodes.push(node);
  }
  return { name: graph.name, nodes };
}

/** The graph in two: what stands before the first trained node, folded, and the rest, fused. */
export function divide(graph: Graph, trains: (node: string) => boolean): { prefix: Graph; graph: Graph } {
  const first = graph.nodes.findIndex((node) => trains(node.name) && opOf(node).params(node).length > 0);
  const before = graph.nodes.slice(0, first);
  const after = graph.nodes.slice(first);
  const border = before.at(-1)!.name;
  const inside = new Set(before.map(({ name }) => name));
  const onlyBorder = after.every((node) => node.inputs.every((name) => !inside.has(name) || name === border));
  const prefix = onlyBorder ? fold({ name: graph.name, nodes: before }) : { name: graph.name, nodes: before };
  const rest = after.map((node) => ({
    ...node,
    inputs: node.inputs.map((name) => (name === border ? prefix.nodes.at(-1)!.name : name)),
  }));
  return { prefix, graph: fuse({ name: graph.name, nodes: [...prefix.nodes, ...rest] }) };
}
