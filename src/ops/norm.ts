/** Batch norm with fixed statistics that no convolution could take in, as in pre-activation networks. */
import type { NormNode } from "../graph.ts";
import { step } from "../tape.ts";
import { normAffine, normParams, type Op } from "./op.ts";

export const norm: Op<NormNode> = {
  params: (node) => normParams(node.name, node.shape[2]),
  macs: () => 0,
  weightBytes: (node) => node.shape[2] * 8,
  async pack(node, address, packer) {
    const { scale, shift } = await normAffine(node.name, node.epsilon, packer);
    const c = node.shape[2];
    const both = new Float32Array(2 * c);
    both.set(scale);
    both.set(shift, c);
    packer.write(address, both);
  },
  forward(node, place) {
    const [h, w, c] = node.shape;
    const input = place.address(node.inputs[0]!);
    const [lo, hi] = node.clamp;
    const units = place.batch * h * w;
    return [step(node.name, "norm_f32", units, c, input, place.weights(node.name), place.address(node.name), lo, hi)];
  },
};
