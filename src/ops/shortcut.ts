/** The parameter-free shortcut, option A. */
import type { PadShortcutNode } from "../graph.ts";
import { step } from "../tape.ts";
import { type Op, type TrainOp, WEIGHTLESS } from "./op.ts";

export const shortcut: Op<PadShortcutNode> = {
  ...WEIGHTLESS,
  forward(node, place) {
    const [oh, ow, n] = node.shape;
    const [h, w, c] = place.node(node.inputs[0]!).shape;
    const input = place.address(node.inputs[0]!);
    const out = place.address(node.name);
    const kernel = node.int8 === undefined ? "shortcut_f32" : "shortcut_i8";
    return [
      step(node.name, kernel, place.batch * oh, {
        h,
        w,
        c,
        oh,
        ow,
        n,
        s: node.stride,
        before: node.before,
        input,
        out,
      }),
    ];
  },
};

export const shortcutTraining: TrainOp<PadShortcutNode> = {
  backward(node, place) {
    const dx = place.dx(node, 0);
    if (dx === undefined) return [];
    const [oh, ow, n] = node.shape;
    const [h, w, c] = place.node(node.inputs[0]!).shape;
    return [
      step(node.name, "shortcut_dgrad_f32", place.batch * h, {
        h,
        w,
        c,
        oh,
        ow,
        n,
        s: node.stride,
        before: node.before,
        adds: dx.adds ? 1 : 0,
        dy: place.dy(node.name),
        dx: dx.address,
      }),
    ];
  },
};
