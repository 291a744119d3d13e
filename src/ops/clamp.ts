/** ReLU and its relatives, where nothing before them could take them in. */
import type { ClampNode } from "../graph.ts";
import { step } from "../tape.ts";
import { type Op, WEIGHTLESS } from "./op.ts";

export const clamp: Op<ClampNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [h, w, c] = node.shape;
    const [lo, hi] = node.clamp;
    const input = place.address(node.inputs[0]!);
    return [step(node.name, "clamp_f32", place.batch * h * w, c, input, place.address(node.name), lo, hi)];
  },
  keeps: (node) => [node.name],
  handsOn: () => 0,
  backward(node, place) {
    const dx = place.dx(node, 0);
    if (dx === undefined) return [];
    const [h, w, c] = node.shape;
    const dy = place.dy(node.name);
    const residual = dx.adds ? dx.address : 0;
    const output = place.address(node.name);
    const units = place.batch * h * w;
    return [step(node.name, "clamp_input_f32", units, c, output, dy, residual, dx.address, ...node.clamp)];
  },
};
