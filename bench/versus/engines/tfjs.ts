/**
 * TensorFlow.js on its wasm backend (XNNPACK), by its own fused operations: what its graph optimiser makes of such a
 * network, without the interpreter around it. A tensor goes when its last reader has run, as in `GraphModel`.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setThreadsCount } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { fold } from "../../../src/fold.ts";
import { type Graph, type Node, outputNode, type Pads } from "../../../src/graph.ts";
import { complaint } from "../../../src/tensor.ts";
import { network } from "../network.ts";
import { type Open, Unavailable } from "./engine.ts";

type Tensors = Readonly<Record<string, tf.Tensor>>;

export const open: Open = async (files, { model, dtype, threads }, images) => {
  if (dtype === "int8") throw new Unavailable("TensorFlow.js: expected int8 kernels, got none: it computes in f32");
  tf.enableProdMode();
  setThreadsCount(threads);
  await tf.setBackend("wasm");
  if (threads > 1 && !(await tf.env().getAsync("WASM_HAS_MULTITHREAD_SUPPORT"))) {
    throw new Unavailable(
      "TensorFlow.js: expected threads, got one: its wasm backend has none in Node (tfjs issue 3830)",
    );
  }
  const { specs, path } = JSON.parse(await readFile(files.tfjs, "utf8"));
  const bytes = await readFile(join(dirname(files.tfjs), path));
  const weights = tf.io.decodeWeights(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength), specs);
  const graph = fold(network(model));
  return {
    async run() {
      const logits = tf.tidy(() => forward(graph, weights, tf.tensor4d(images.data, images.shape)));
      const data = logits.dataSync();
      logits.dispose();
      return data;
    },
    close: async () => tf.dispose(weights),
  };
};

function forward(graph: Graph, weights: Tensors, images: tf.Tensor): tf.Tensor {
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
      throw new RangeError(complaint(`tfjs: ${node.name}`, "conv, maxpool, globalpool or linear", node.op));
  }
}
