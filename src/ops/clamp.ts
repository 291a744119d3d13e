/** ReLU and its relatives, where nothing before them could take them in. */
import type { ClampNode } from "../graph.ts";
import { step } from "../tape.ts";
import { bounds, type Op, type TrainOp, WEIGHTLESS } from "./op.ts";

export const clamp: Op<ClampNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [h, w, c] = node.shape;
    const [lo, hi] = node.clamp;
    const input = place.address(node.inputs[0]!);
    return [step(node.name, "clamp_f32", place.batch * h * w, { c, input, out: place.address(node.name), lo, hi })];
  },
};

export const clampTraining: TrainOp<ClampNode> = {
  savedForBackward: (node) => [node.name],
  aliasesGradient: () => 0,
  backward(node, place) {
    const dx = place.dx(node, 0);
    if (dx === undefined) return [];
    const [h, w, c] = node.shape;
    const dy = place.dy(node.name);
    const output = place.address(node.name);
    const units = place.batch * h * w;
    return [
      step(node.name, "clamp_dgrad_f32", units, {
        c,
        adds: dx.adds ? 1 : 0,
        output,
        dy,
        dx: dx.address,
        ...bounds(node.clamp),
      }),
    ];
  },
};
