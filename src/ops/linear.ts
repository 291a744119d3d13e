/** The classifier's matrix, `out[b] = W · in[b] + bias`. */
import { asConv, type LinearNode } from "../graph.ts";
import { conv } from "./conv.ts";
import type { Op } from "./op.ts";

export const linear: Op<LinearNode> = {
  params(node) {
    const weight = { name: `${node.name}.weight`, shape: [node.shape[2], node.channels] };
    return node.bias ? [weight, { name: `${node.name}.bias`, shape: [node.shape[2]] }] : [weight];
  },
  macs: (node) => node.channels * node.shape[2],
  weightBytes: (node, variant) => conv.weightBytes(asConv(node), variant),
  pack: (node, address, packer) => conv.pack(asConv(node), address, packer),
  forward: (node, place) => conv.forward(asConv(node), place),
  train: (node, place) => conv.train!(asConv(node), place),
  keeps: (node, trained) => conv.keeps!(asConv(node), trained),
  backward: (node, place) => conv.backward!(asConv(node), place),
};
