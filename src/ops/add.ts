/** Residual addition that no convolution could take in. */
import type { AddNode } from "../graph.ts";
import { step } from "../tape.ts";
import { type Op, WEIGHTLESS } from "./op.ts";

export const add: Op<AddNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [h, w, c] = node.shape;
    const [a, b] = node.inputs.map(place.address);
    const [lo, hi] = node.clamp;
    return [step(node.name, "add_f32", place.batch * h * w, c, a!, b!, place.address(node.name), lo, hi)];
  },
};
