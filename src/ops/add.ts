/** Residual addition that no convolution could take in. */
import { type AddNode, NO_CLAMP } from "../graph.ts";
import { boundsOf } from "../int8.ts";
import { step } from "../tape.ts";
import { bounds, type Op, type TrainOp, WEIGHTLESS } from "./op.ts";

export const add: Op<AddNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [h, w, c] = node.shape;
    const [a, b] = node.inputs.map(place.address);
    if (node.int8 !== undefined) {
      const [sa, sb] = node.int8.inputs.map((each) => each / node.int8!.scale!);
      const out = place.address(node.name);
      return [
        step(node.name, "add_i8", place.batch * h * w, {
          c,
          a: a!,
          b: b!,
          out,
          sa: sa!,
          sb: sb!,
          ...bounds(boundsOf(node)),
        }),
      ];
    }
    const [lo, hi] = node.clamp;
    return [
      step(node.name, "add_f32", place.batch * h * w, { c, a: a!, b: b!, out: place.address(node.name), lo, hi }),
    ];
  },
};

export const addTraining: TrainOp<AddNode> = {
  aliasesGradient: () => 0,
  backward(node, place) {
    const [h, w, c] = node.shape;
    const units = place.batch * h * w;
    const dy = place.dy(node.name);
    // The operand that the gradient is handed on to goes last: until then it is this node's own.
    return [1, 0].flatMap((at) => {
      const dx = place.dx(node, at);
      if (dx === undefined) return [];
      const { address } = dx;
      if (dx.adds)
        return [step(node.name, "add_f32", units, { c, a: address, b: dy, out: address, ...bounds(NO_CLAMP) })];
      return address === dy
        ? []
        : [step(node.name, "clamp_f32", units, { c, input: dy, out: address, ...bounds(NO_CLAMP) })];
    });
  },
};
