/** Max and average pooling over a window. */
import type { PoolNode } from "../graph.ts";
import { step } from "../tape.ts";
import { type Op, WEIGHTLESS } from "./op.ts";

export const pool: Op<PoolNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [oh, ow] = node.shape;
    const [h, w, c] = place.node(node.inputs[0]!).shape;
    const sizes = [h, w, c, oh, ow, ...node.kernel, ...node.stride, node.pads[0], node.pads[1]] as const;
    const input = place.address(node.inputs[0]!);
    const out = place.address(node.name);
    const units = place.batch * oh;
    const dtype = node.int8 === undefined ? "f32" : "i8";
    return node.op === "maxpool"
      ? [step(node.name, `maxpool_${dtype}`, units, ...sizes, input, out)]
      : [step(node.name, `avgpool_${dtype}`, units, ...sizes, node.countPads ? 1 : 0, input, out)];
  },
};
