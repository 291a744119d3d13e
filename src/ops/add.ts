/** Residual addition that no convolution could take in. */
import type { AddNode } from "../graph.ts";
import { boundsOf } from "../int8.ts";
import { step } from "../tape.ts";
import { type Op, WEIGHTLESS } from "./op.ts";

export const add: Op<AddNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [h, w, c] = node.shape;
    const [a, b] = node.inputs.map(place.address);
    if (node.int8 !== undefined) {
      const [sa, sb] = node.int8.inputs.map((each) => each / node.int8!.step!);
      const out = place.address(node.name);
      return [step(node.name, "add_i8", place.batch * h * w, c, a!, b!, out, sa!, sb!, ...boundsOf(node))];
    }
    const [lo, hi] = node.clamp;
    return [step(node.name, "add_f32", place.batch * h * w, c, a!, b!, place.address(node.name), lo, hi)];
  },
};
