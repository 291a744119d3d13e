/** A folded network by TensorFlow.js's own fused operations, without the interpreter around them. */
import * as tf from "@tensorflow/tfjs-core";
import { expectedGot } from "../../../src/errors.ts";
import { type Graph, type Node, outputNode, type Pads } from "../../../src/graph.ts";
import { Unavailable } from "./unavailable.ts";

type Tensors = Readonly<Record<string, tf.Tensor>>;

/** The folded network by TensorFlow.js: what its graph optimiser makes of it, a tensor gone when its last reader has run. */
export function forward(graph: Graph, weights: Tensors, images: tf.Tensor): tf.Tensor {
  const left = new Map<string, number>();
  for (const node of graph.nodes) for (const input of node.inputs) left.set(input, (left.get(input) ?? 0) + 1);
  const live = new Map<string, tf.Tensor>();
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => live.get(name)!);
    live.set(node.name, node.op === "input" ? images : compute(node, inputs, weights));
    for (const name of node.inputs) {
      left.set(name, left.get(name)! - 1);
      if (left.get(name) === 0) live.get(name)!.dispose();
    }
  }
  return live.get(outputNode(graph).name)!;
}

function padding([top, left, bottom, right]: Pads): Parameters<typeof tf.maxPool>[3] {
  return [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ];
}

function compute(node: Node, inputs: readonly tf.Tensor[], weights: Tensors): tf.Tensor {
  const x = inputs[0]!;
  const weight = weights[`${node.name}.weight`]!;
  const bias = weights[`${node.name}.bias`]!;
  switch (node.op) {
    case "conv": {
      if (node.groups > 1) throw new Unavailable("TensorFlow.js: expected one group, got a grouped convolution");
      const relu = node.clamp[0] === 0;
      const y = tf.fused.conv2d({
        x,
        filter: weight,
        strides: node.stride,
        pad: padding(node.pads),
        dilations: node.dilation,
        bias,
        activation: relu && !node.residual ? "relu" : "linear",
      });
      if (!node.residual) return y;
      const sum = tf.add(y, inputs[1]!);
      y.dispose();
      if (!relu) return sum;
      const out = tf.relu(sum);
      sum.dispose();
      return out;
    }
    case "maxpool":
      return tf.maxPool(x, node.kernel, node.stride, padding(node.pads));
    case "globalpool":
      return tf.mean(x, [1, 2]);
    case "linear":
      return tf.fused.matMul({ a: x, b: weight, bias });
    default:
      throw new RangeError(expectedGot(`tfjs: ${node.name}`, "conv, maxpool, globalpool or linear", node.op));
  }
}
