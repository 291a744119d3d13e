/** Norms of a network's gradients, by stage and by layer: whether they reach the first layers. */
import type { Graph } from "../graph.ts";

export interface GradNorms {
  /** By stage: `conv1`, `layer1` …, `fc`. */
  readonly stages: Readonly<Record<string, number>>;
  /** Of the weights of each convolution and linear layer, by the layer's name, in their order from the input. */
  readonly layers: Readonly<Record<string, number>>;
}

/** @param gradients by tensor name, as `Trainer.gradients` has them */
export function gradNormsOf(graph: Graph, gradients: ReadonlyMap<string, Float32Array>): GradNorms {
  const squares = new Map<string, number>();
  const stages: Record<string, number> = {};
  for (const [name, values] of gradients) {
    const sum = values.reduce((total, value) => total + value * value, 0);
    const stage = name.split(".")[0]!.replace(/^bn1$/, "conv1");
    squares.set(name, sum);
    stages[stage] = (stages[stage] ?? 0) + sum;
  }
  const layers: Record<string, number> = {};
  for (const { op, name } of graph.nodes) {
    const square = squares.get(`${name}.weight`);
    if ((op === "conv" || op === "linear") && square !== undefined) layers[name] = Math.sqrt(square);
  }
  return {
    stages: Object.fromEntries(Object.entries(stages).map(([stage, sum]) => [stage, Math.sqrt(sum)])),
    layers,
  };
}
