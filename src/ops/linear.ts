/** The classifier's matrix, `out[b] = W · in[b] + bias`: to the kernels, a 1×1 convolution of a one-pixel image. */
import { type ConvNode, type LinearNode, NO_CLAMP } from "../graph.ts";
import { conv } from "./conv.ts";
import type { Op } from "./op.ts";

function asConv(node: LinearNode): ConvNode {
  return {
    ...node,
    op: "conv",
    kernel: [1, 1],
    stride: [1, 1],
    dilation: [1, 1],
    pads: [0, 0, 0, 0],
    groups: 1,
    clamp: NO_CLAMP,
    residual: false,
  };
}

export const linear: Op<LinearNode> = {
  params(node) {
    const weight = { name: `${node.name}.weight`, shape: [node.shape[2], node.channels] };
    return node.bias ? [weight, { name: `${node.name}.bias`, shape: [node.shape[2]] }] : [weight];
  },
  macs: (node) => node.channels * node.shape[2],
  weightBytes: (node) => conv.weightBytes(asConv(node)),
  pack: (node, address, packer) => conv.pack(asConv(node), address, packer),
  forward: (node, place) => conv.forward(asConv(node), place),
};
