/** When each activation and gradient of a training step is needed, which decides what may share memory. */
import type { Graph, Node } from "../graph.ts";
import { opOf } from "../ops/ops.ts";
import { trainingOf } from "../ops/training.ts";
import { align, type Buffer, overwritable } from "../plan.ts";

/** When activations and gradients are needed, and where the gradients go. */
export interface Lifetimes {
  readonly buffers: readonly Buffer[];
  /** By `reader/operand`. */
  readonly targets: ReadonlyMap<string, { readonly of: string; readonly adds: boolean }>;
  /** Whether a gradient flows into the node's output. */
  readonly wants: ReadonlySet<string>;
}

/** The name of the gradient of a node's output, among the names of buffers. */
export const gradientOf = (name: string): string => `d ${name}`;

/** What of a graph is trained. */
interface Trained {
  /** Names of the nodes before the first trained one. */
  readonly frozen: ReadonlySet<string>;
  /** Whether a node's own parameters are trained. */
  readonly trains: (node: string) => boolean;
}

/** Buffers by lifetime: node `i` runs forward at time `i`, backward at `2n − i`; the loss stands between them. */
export function lifetimesOf(
  { nodes }: Graph,
  { frozen, trains }: Trained,
  batch: number,
  backward: boolean,
): Lifetimes {
  const n = nodes.length;
  const bytesOf = ({ shape: [h, w, c] }: Node): number => align(4 * batch * h * w * c);
  const trained = (node: Node): boolean => trains(node.name) && opOf(node).params(node).length > 0;
  const wants = new Set<string>();
  for (const node of nodes) {
    if (!backward || frozen.has(node.name)) continue;
    if (trained(node) || node.inputs.some((name) => wants.has(name))) wants.add(node.name);
  }
  const lastUse = new Map<string, number>([[nodes.at(-1)!.name, n]]);
  const use = (name: string, time: number): void => {
    lastUse.set(name, Math.max(lastUse.get(name) ?? 0, time));
  };
  nodes.forEach((node, i) => {
    for (const input of node.inputs) use(input, i);
    if (!wants.has(node.name)) return;
    for (const name of trainingOf(node).savedForBackward?.(node, trained(node)) ?? []) use(name, 2 * n - i);
  });
  const buffers: Buffer[] = [];
  const holder = new Map<string, Buffer>();
  const begin = (name: string, bytes: number, first: number, last: number, over?: string): void => {
    const buffer = over === undefined ? { names: [], bytes, first, last } : holder.get(over)!;
    if (over === undefined) buffers.push(buffer);
    buffer.names.push(name);
    buffer.last = Math.max(buffer.last, last);
    holder.set(name, buffer);
  };
  nodes.forEach((node, i) => {
    const bytes = bytesOf(node);
    const over = overwritable(node).find((name) => lastUse.get(name) === i && holder.get(name)!.bytes === bytes);
    begin(node.name, bytes, i, lastUse.get(node.name) ?? i, over);
  });
  const byName = new Map(nodes.map((node, i) => [node.name, { node, i }]));
  const targets = new Map<string, { of: string; adds: boolean }>();
  if (backward) begin(gradientOf(nodes.at(-1)!.name), bytesOf(nodes.at(-1)!), n, n + 1);
  for (const [i, node] of [...nodes.entries()].reverse()) {
    if (!wants.has(node.name)) continue;
    const own = gradientOf(node.name);
    const handed = trainingOf(node).aliasesGradient?.(node);
    // The operand that takes over the buffer goes last: until its own readers add to it, the buffer is this node's.
    const order = [...node.inputs.keys()].sort((a, b) => Number(a === handed) - Number(b === handed));
    for (const at of order) {
      const input = node.inputs[at]!;
      if (!wants.has(input)) continue;
      const name = gradientOf(input);
      const { node: from, i: when } = byName.get(input)!;
      const adds = holder.has(name);
      targets.set(`${node.name}/${at}`, { of: name, adds });
      if (adds) continue;
      begin(name, bytesOf(from), 2 * n - i, 2 * n - when, at === handed ? own : undefined);
    }
  }
  return { buffers, targets, wants };
}
