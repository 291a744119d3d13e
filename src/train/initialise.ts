/** Weights to train from: a whole network's, or a new classifier's for a network that has been trained. */

import type { Checkpoint } from "../checkpoint.ts";
import { expectedGot, ModelError, OptionError } from "../errors.ts";
import { type Graph, type LinearNode, nodeOf, outputNode } from "../graph.ts";
import { uniform } from "../models/random.ts";
import { paramsOf } from "../ops/ops.ts";
import type { TensorInfo } from "../tensor.ts";

/** The generator's seed for one tensor: its name decides, so that a tensor does not depend on which others there are. */
function seedOf(name: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}

function fresh(name: string, shape: readonly number[], fanIn: number, seed: number): Float32Array {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const next = uniform(seedOf(name, seed));
  if (shape.length === 4) {
    const deviation = Math.sqrt(2 / (shape[0]! * shape[2]! * shape[3]!));
    // Box and Muller's transform, two numbers a time.
    for (let i = 0; i < values.length; i += 2) {
      const radius = deviation * Math.sqrt(-2 * Math.log(1 - next()));
      const angle = 2 * Math.PI * next();
      values[i] = radius * Math.cos(angle);
      if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
    }
  } else if (fanIn > 0) {
    const bound = 1 / Math.sqrt(fanIn);
    for (let i = 0; i < values.length; ++i) values[i] = (2 * next() - 1) * bound;
  } else if (/\.(weight|running_var)$/.test(name)) values.fill(1);
  return values;
}

/**
 * A checkpoint initialised as torchvision's ResNets are: convolutions normal with variance 2 / fan-out (He et al.,
 * arXiv 1502.01852), batch norms the identity, the classifier uniform within 1 / √inputs. The same seed gives the same
 * weights.
 */
export function initialise(graph: Graph, seed: number): Checkpoint {
  // Inputs of layers whose weight or bias is uniform.
  const fanIns = new Map<string, number>();
  for (const node of graph.nodes) {
    if (node.op === "linear") {
      fanIns.set(`${node.name}.weight`, node.channels);
      fanIns.set(`${node.name}.bias`, node.channels);
    } else if (node.op === "conv") {
      fanIns.set(`${node.name}.bias`, (node.channels / node.groups) * node.kernel[0] * node.kernel[1]);
    }
  }
  const shapes = new Map(paramsOf(graph).map(({ name, shape }) => [name, shape]));
  return {
    tensors: new Map([...shapes].map(([name, shape]): [string, TensorInfo] => [name, { dtype: "F32", shape }])),
    metadata: {},
    async read(name) {
      const values = fresh(name, shapes.get(name)!, fanIns.get(name) ?? 0, seed);
      return new Uint8Array(values.buffer);
    },
    async close() {},
  };
}

/**
 * The same network with a new classifier for `classes` classes, initialised from `seed`; everything else as it is. One that
 * ends in its features gets a linear layer behind them.
 *
 * @throws OptionError for no classes; ModelError for a network that ends otherwise
 */
export function withClasses<T extends { readonly graph: Graph; readonly checkpoint: Checkpoint }>(
  model: T,
  classes: number,
  seed: number,
): T {
  if (!Number.isInteger(classes) || classes < 1) {
    throw new OptionError("classes", expectedGot("classes", "a whole number from 1", `${classes}`));
  }
  const last = outputNode(model.graph);
  const [h, w, channels] = last.shape;
  if (last.op !== "linear" && (h !== 1 || w !== 1)) {
    const message = expectedGot(`"${last.name}"`, "a linear layer or features at the end", `${h}×${w} pixels`);
    throw new ModelError("unsupported", message, { subject: last.name });
  }
  const added: LinearNode = {
    op: "linear",
    name: "fc",
    inputs: [last.name],
    shape: [1, 1, classes],
    channels,
    bias: true,
  };
  const head: LinearNode = last.op === "linear" ? { ...last, shape: [1, 1, classes], bias: true } : added;
  const before = last.op === "linear" ? model.graph.nodes.slice(0, -1) : model.graph.nodes;
  const graph: Graph = { ...model.graph, output: "softmax", nodes: [...before, head] };
  const made = initialise({ ...graph, nodes: [nodeOf(graph, head.inputs[0]!), head] }, seed);
  const mine = new Set([`${head.name}.weight`, `${head.name}.bias`]);
  const old = model.checkpoint;
  const checkpoint: Checkpoint = {
    tensors: new Map([...old.tensors, ...[...made.tensors].filter(([name]) => mine.has(name))]),
    metadata: old.metadata,
    read: (name) => (mine.has(name) ? made.read(name) : old.read(name)),
    close: () => old.close(),
  };
  return { ...model, graph, checkpoint };
}

/** The classifier alone, as a network whose input `[1, 1, channels]` is the pooled features: what is trained on cached ones. */
export function headOf(graph: Graph): Graph {
  const last = outputNode(graph);
  const { shape } = nodeOf(graph, last.inputs[0]!);
  return {
    name: graph.name,
    nodes: [
      { op: "input", name: "input", inputs: [], shape },
      { ...last, inputs: ["input"] },
    ],
  };
}
