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
  keeps: (node) => (node.op === "maxpool" ? node.inputs : []),
  backward(node, place) {
    const dx = place.dx(node, 0);
    if (dx === undefined) return [];
    const [oh, ow] = node.shape;
    const [h, w, c] = place.node(node.inputs[0]!).shape;
    const sizes = [h, w, c, oh, ow, ...node.kernel, ...node.stride, node.pads[0], node.pads[1]] as const;
    const adds = dx.adds ? 1 : 0;
    const dy = place.dy(node.name);
    if (node.op === "avgpool") {
      const whole = node.countPads ? 1 : 0;
      return [step(node.name, "avgpool_input_f32", place.batch, ...sizes, whole, adds, dy, dx.address)];
    }
    const input = place.address(node.inputs[0]!);
    return [step(node.name, "maxpool_input_f32", place.batch, ...sizes, adds, input, dy, dx.address)];
  },
};
