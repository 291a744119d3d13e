/** The mean over all pixels, between the last stage and the classifier. */
import type { GlobalPoolNode } from "../graph.ts";
import { boundsOf } from "../int8.ts";
import { step } from "../tape.ts";
import { bounds, type Op, type TrainOp, WEIGHTLESS } from "./op.ts";

export const globalpool: Op<GlobalPoolNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [h, w, c] = place.node(node.inputs[0]!).shape;
    const units = place.batch * Math.ceil(c / 16);
    const input = place.address(node.inputs[0]!);
    if (node.int8 !== undefined) {
      const scale = node.int8.inputs[0]! / node.int8.scale! / (h * w);
      const out = place.address(node.name);
      return [
        step(node.name, "globalpool_i8", units, { pixels: h * w, c, input, out, scale, ...bounds(boundsOf(node)) }),
      ];
    }
    return [step(node.name, "globalpool_f32", units, { pixels: h * w, c, input, out: place.address(node.name) })];
  },
};

export const globalpoolTraining: TrainOp<GlobalPoolNode> = {
  backward(node, place) {
    const dx = place.dx(node, 0);
    if (dx === undefined) return [];
    const [h, w, c] = place.node(node.inputs[0]!).shape;
    return [
      step(node.name, "globalpool_dgrad_f32", place.batch, {
        pixels: h * w,
        c,
        adds: dx.adds ? 1 : 0,
        dy: place.dy(node.name),
        dx: dx.address,
      }),
    ];
  },
};
