/** A network with the head that its file has, whatever it is called and however many layers it has. */
import type { Checkpoint, Guess } from "./checkpoint.ts";
import { renamed } from "./formats/renamed.ts";
import type { Graph } from "./graph.ts";
import { asHeadWeight, findHead, type Head, headNames, withHead, withoutHead } from "./models/head.ts";

export interface Headed {
  readonly graph: Graph;
  /** With the head's tensors under the names of its nodes. */
  readonly checkpoint: Checkpoint;
  /** Numbers that the head puts out; absent where there is no head. */
  readonly classes?: number;
  /** How many the head has. */
  readonly layers: number;
  readonly guesses: readonly Guess[];
}

/**
 * The network with the head that follows `features` channels, or without one.
 *
 * @param isTrunk whether a tensor belongs to the network before the pooling
 */
export function headedBy(
  where: string,
  whole: Graph,
  checkpoint: Checkpoint,
  features: number,
  isTrunk: (name: string) => boolean,
): Headed {
  const head = findHead(checkpoint, features, isTrunk);
  if (head === undefined) return { graph: withoutHead(whole), checkpoint, layers: 0, guesses: [] };
  const graph = withHead(whole, head);
  const { classes, guesses, layers } = head;
  return { graph, checkpoint: headed(where, checkpoint, graph, head), classes, layers: layers.length, guesses };
}

/** The checkpoint with its head's tensors under the names of the head's nodes. */
function headed(where: string, checkpoint: Checkpoint, graph: Graph, head: Head): Checkpoint {
  const names = headNames(head);
  const to = (name: string): string => {
    const dot = name.lastIndexOf(".");
    const node = names.get(name.slice(0, dot));
    return node === undefined ? name : `${node}${name.slice(dot)}`;
  };
  // A tensor that has one of these names without being the head's is none of the network's.
  const taken = new Set([...names].flatMap(([module, node]) => (module === node ? [] : [node])));
  const free = (name: string): string => {
    const isTaken = taken.has(name.slice(0, name.lastIndexOf("."))) && to(name) === name;
    return isTaken ? `unused.${name}` : to(name);
  };
  const inner = renamed(where, checkpoint, free);
  const tensors = new Map(inner.tensors);
  for (const node of names.values()) {
    const name = `${node}.weight`;
    const info = tensors.get(name);
    if (info !== undefined) tensors.set(name, asHeadWeight(graph, node, info));
  }
  return { ...inner, tensors };
}
