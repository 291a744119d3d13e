/** The gate of a squeeze-and-excitation block. */
import type { GateNode } from "../graph.ts";
import { step } from "../tape.ts";
import { type Op, WEIGHTLESS } from "./op.ts";

export const gate: Op<GateNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [h, w, c] = node.shape;
    const [input, factors] = node.inputs.map(place.address);
    return [
      step(node.name, "gate_f32", place.batch * h * w, {
        pixels: h * w,
        c,
        input: input!,
        factors: factors!,
        out: place.address(node.name),
      }),
    ];
  },
};
