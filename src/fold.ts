/**
 * Folding, for inference only: a batch norm goes into the convolution before it; an addition and a ReLU go into the store
 * of the kernel that produces their operand. What is left of ResNet-50 is 53 convolutions, two pools and a linear layer.
 */
import type { ConvNode, Graph, Node } from "./graph.ts";
import { NO_CLAMP } from "./graph.ts";

/** The same function of the same weights, in fewer nodes. */
export function fold(graph: Graph): Graph {
  const readers = new Map<string, number>();
  for (const node of graph.nodes) for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  /** What a name is called after folding. */
  const renamed = new Map<string, string>();
  const nodes: Node[] = [];
  const byName = new Map<string, Node>();

  /** The node that produces `name` now, when nothing but the node being folded reads it. */
  const producer = (name: string): Node | undefined => {
    if (readers.get(name) !== 1) return undefined;
    return byName.get(renamed.get(name) ?? name);
  };
  /** Puts `merged` in place of `absorbed`, as late as possible, and lets it answer to `name` too. */
  const absorb = (absorbed: Node, merged: Node, name: string): void => {
    nodes.splice(nodes.indexOf(absorbed), 1);
    nodes.push(merged);
    byName.set(merged.name, merged);
    renamed.set(name, merged.name);
  };

  for (const original of graph.nodes) {
    const node: Node = { ...original, inputs: original.inputs.map((name) => renamed.get(name) ?? name) };
    const before = original.inputs.map(producer);
    if (node.op === "norm") {
      const conv = before[0];
      if (conv?.op === "conv" && conv.norm === undefined && isOpen(conv) && !conv.residual) {
        absorb(conv, { ...conv, norm: { name: node.name, epsilon: node.epsilon }, clamp: node.clamp }, node.name);
        continue;
      }
    } else if (node.op === "add") {
      // The operand that runs last takes the addition in: by then the other one is there.
      const open = before.filter(
        (operand): operand is ConvNode => operand?.op === "conv" && isOpen(operand) && !operand.residual,
      );
      const last = open.sort((a, b) => nodes.indexOf(b) - nodes.indexOf(a))[0];
      if (last !== undefined) {
        const other = node.inputs[0] === last.name ? node.inputs[1]! : node.inputs[0]!;
        absorb(last, { ...last, inputs: [last.inputs[0]!, other], residual: true, clamp: node.clamp }, node.name);
        continue;
      }
    } else if (node.op === "clamp") {
      const operand = before[0];
      if ((operand?.op === "conv" || operand?.op === "norm" || operand?.op === "add") && isOpen(operand)) {
        absorb(operand, { ...operand, clamp: node.clamp }, node.name);
        continue;
      }
    }
    nodes.push(node);
    byName.set(node.name, node);
  }
  return { ...graph, nodes };
}

/** Whether nothing has been clamped yet. */
function isOpen(node: { readonly clamp: readonly [number, number] }): boolean {
  return node.clamp[0] === NO_CLAMP[0] && node.clamp[1] === NO_CLAMP[1];
}
