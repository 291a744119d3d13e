/** The classifier's matrix, `out[b] = W · in[b] + bias`. */
import { asConv, type ConvNode, type LinearNode } from "../graph.ts";
import { conv, convTraining } from "./conv.ts";
import { convI8 } from "./conv-i8.ts";
import type { Op, TrainOp } from "./op.ts";

/** The convolution that does a linear node's work. */
function workerOf(node: LinearNode): Op<ConvNode> {
  return node.int8 === undefined ? conv : convI8;
}

export const linear: Op<LinearNode> = {
  params(node) {
    if (node.int8 !== undefined) return convI8.params(asConv(node));
    const weight = { name: `${node.name}.weight`, shape: [node.shape[2], node.channels] };
    return node.bias ? [weight, { name: `${node.name}.bias`, shape: [node.shape[2]] }] : [weight];
  },
  macs: (node) => node.channels * node.shape[2],
  weightBytes: (node, variant) => workerOf(node).weightBytes(asConv(node), variant),
  pack: (node, address, packer) => workerOf(node).pack(asConv(node), address, packer),
  forward: (node, place) => workerOf(node).forward(asConv(node), place),
};

export const linearTraining: TrainOp<LinearNode> = {
  train: (node, place) => convTraining.train!(asConv(node), place),
  savedForBackward: (node, trained) => convTraining.savedForBackward!(asConv(node), trained),
  backward: (node, place) => convTraining.backward!(asConv(node), place),
};
