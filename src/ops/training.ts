/** The table of operations in training: those through which gradients flow. */
import type { Node } from "../graph.ts";
import { addTraining } from "./add.ts";
import { clampTraining } from "./clamp.ts";
import { convTraining } from "./conv.ts";
import { globalpoolTraining } from "./globalpool.ts";
import { linearTraining } from "./linear.ts";
import { normTraining } from "./norm.ts";
import type { TrainOp } from "./op.ts";
import { poolTraining } from "./pool.ts";
import { shortcutTraining } from "./shortcut.ts";

const TRAINING: { readonly [K in Node["op"]]?: TrainOp<Extract<Node, { op: K }>> } = {
  conv: convTraining,
  norm: normTraining,
  clamp: clampTraining,
  add: addTraining,
  maxpool: poolTraining,
  avgpool: poolTraining,
  globalpool: globalpoolTraining,
  shortcut: shortcutTraining,
  linear: linearTraining,
};

/** What the operation of a node is in training. */
export function trainingOf(node: Node): TrainOp {
  return (TRAINING[node.op] ?? {}) as TrainOp;
}
