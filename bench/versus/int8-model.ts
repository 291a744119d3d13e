/** An int8 model of ours, read for the rivals' formats: its folded graph with its scales, its layers' numbers. */
import { fromBytes } from "../../src/bytes.ts";
import { fold } from "../../src/fold.ts";
import { openSafetensors } from "../../src/formats/safetensors.ts";
import type { Graph, Node } from "../../src/graph.ts";
import { openModelWith } from "../../src/model.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";

/** A convolution or linear layer. */
export interface Int8Layer {
  /** In PyTorch's order. */
  readonly shape: readonly number[];
  readonly weight: Int8Array;
  readonly bias: Int32Array;
  /** What one unit stands for: of each output's weights, and of its sums and bias. */
  readonly scales: Float32Array;
  readonly sums: Float32Array;
}

export interface Int8Model {
  readonly graph: Graph;
  readonly layers: ReadonlyMap<string, Int8Layer>;
  /** Whether a node's output may be negative. */
  isSigned(node: Node): boolean;
}

export async function readInt8(safetensors: Uint8Array): Promise<Int8Model> {
  const model = await openModelWith(nodeRuntime(), safetensors, {});
  const graph = fold(model.graph);
  const checkpoint = await openSafetensors(fromBytes("int8", safetensors));
  const layers = new Map<string, Int8Layer>();
  for (const node of graph.nodes) {
    if (node.op !== "conv" && node.op !== "linear") continue;
    const { name } = node;
    const read = async (suffix: string): Promise<ArrayBuffer> =>
      (await checkpoint.read(`${name}.${suffix}`)).slice().buffer as ArrayBuffer;
    const scales = new Float32Array(await read("weight_scale"));
    layers.set(name, {
      shape: checkpoint.tensors.get(`${name}.weight`)!.shape,
      weight: new Int8Array(await read("weight")),
      bias: new Int32Array(await read("bias")),
      scales,
      sums: scales.map((scale) => scale * node.int8!.inputs[0]!),
    });
  }
  return { graph, layers, isSigned: (node) => node.op === "conv" && !(node.clamp[0] >= 0) };
}
