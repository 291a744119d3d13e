/** The logistic function, which squeeze-and-excitation makes its gates with. */
import type { SigmoidNode } from "../graph.ts";
import { step } from "../tape.ts";
import { type Op, WEIGHTLESS } from "./op.ts";

export const sigmoid: Op<SigmoidNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [h, w, c] = node.shape;
    const input = place.address(node.inputs[0]!);
    return [step(node.name, "sigmoid_f32", place.batch * h * w, { c, input, out: place.address(node.name) })];
  },
};
