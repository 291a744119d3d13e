/** Max and average pooling over a window. */
import type { PoolNode } from "../graph.ts";
import { step } from "../tape.ts";
import { type Op, type TrainOp, WEIGHTLESS } from "./op.ts";

/** A window's arguments. */
function slideOf({ kernel: [kh, kw], stride: [sh, sw], pads: [top, left] }: PoolNode): {
  readonly kh: number;
  readonly kw: number;
  readonly sh: number;
  readonly sw: number;
  readonly top: number;
  readonly left: number;
} {
  return { kh, kw, sh, sw, top, left };
}

export const pool: Op<PoolNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [oh, ow] = node.shape;
    const [h, w, c] = place.node(node.inputs[0]!).shape;
    const window = { h, w, c, oh, ow, ...slideOf(node) };
    const input = place.address(node.inputs[0]!);
    const out = place.address(node.name);
    const units = place.batch * oh;
    const dtype = node.int8 === undefined ? "f32" : "i8";
    return node.op === "maxpool"
      ? [step(node.name, `maxpool_${dtype}`, units, { ...window, input, out })]
      : [step(node.name, `avgpool_${dtype}`, units, { ...window, countPads: node.countPads ? 1 : 0, input, out })];
  },
};

export const poolTraining: TrainOp<PoolNode> = {
  savedForBackward: (node) => (node.op === "maxpool" ? node.inputs : []),
  backward(node, place) {
    const dx = place.dx(node, 0);
    if (dx === undefined) return [];
    const [oh, ow] = node.shape;
    const [h, w, c] = place.node(node.inputs[0]!).shape;
    const window = { h, w, c, oh, ow, ...slideOf(node) };
    const adds = dx.adds ? 1 : 0;
    const dy = place.dy(node.name);
    if (node.op === "avgpool") {
      return [
        step(node.name, "avgpool_dgrad_f32", place.batch, {
          ...window,
          countPads: node.countPads ? 1 : 0,
          adds,
          dy,
          dx: dx.address,
        }),
      ];
    }
    const input = place.address(node.inputs[0]!);
    return [step(node.name, "maxpool_dgrad_f32", place.batch, { ...window, adds, input, dy, dx: dx.address })];
  },
};
