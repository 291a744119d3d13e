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
};
