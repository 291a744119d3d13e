/** The network of a file that holds its graph, as ONNX files and heads of several layers have it. */
import type { Checkpoint, Guess } from "./checkpoint.ts";
import { type Graph, inputShape, type Node } from "./graph.ts";
import { matchResnet } from "./models/match.ts";
import { nameOf } from "./models/recognise.ts";
import type { ResNetSpec } from "./models/resnet.ts";
import { resize } from "./plan.ts";

/** The network of a graph: a ResNet of the table under torchvision's names where it is one, else under its own. */
export function heldNetwork(
  checkpoint: Checkpoint,
  held: Graph,
  sides: readonly [number, number] | undefined,
): {
  readonly arch: string;
  readonly spec: ResNetSpec | undefined;
  readonly graph: Graph;
  readonly checkpoint: Checkpoint;
  readonly guesses: readonly Guess[];
} {
  const graph = sides === undefined ? held : resize(held, [...sides, inputShape(held)[2]]);
  const match = matchResnet(graph);
  if (match === undefined) return { arch: graph.name, spec: undefined, graph, checkpoint, guesses: [] };
  const named = rename(graph, checkpoint, match.rename);
  return { arch: nameOf(match.spec), spec: match.spec, ...named, guesses: [] };
}

/** Graph and tensors under the names of the ResNet that the graph turned out to be. */
function rename(
  graph: Graph,
  checkpoint: Checkpoint,
  names: ReadonlyMap<string, string>,
): { readonly graph: Graph; readonly checkpoint: Checkpoint } {
  const to = (name: string): string => names.get(name) ?? name;
  const nodes = graph.nodes.map((node): Node => ({ ...node, name: to(node.name), inputs: node.inputs.map(to) }));
  const originals = new Map<string, string>();
  for (const name of checkpoint.tensors.keys()) {
    const dot = name.lastIndexOf(".");
    originals.set(`${to(name.slice(0, dot))}${name.slice(dot)}`, name);
  }
  const tensors = new Map([...originals].map(([name, original]) => [name, checkpoint.tensors.get(original)!]));
  const read = (name: string, into?: Uint8Array): Promise<Uint8Array> =>
    checkpoint.read(originals.get(name) ?? name, into);
  return { graph: { ...graph, nodes }, checkpoint: { ...checkpoint, tensors, read } };
}
