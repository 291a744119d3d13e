/** The table of operations: what the planner knows a network can be made of. */
import type { Graph, InputNode, Node } from "../graph.ts";
import { add } from "./add.ts";
import { clamp } from "./clamp.ts";
import { conv } from "./conv.ts";
import { convI8 } from "./conv-i8.ts";
import { gate } from "./gate.ts";
import { globalpool } from "./globalpool.ts";
import { linear } from "./linear.ts";
import { norm } from "./norm.ts";
import { type Op, type Param, WEIGHTLESS } from "./op.ts";
import { pool } from "./pool.ts";
import { shortcut } from "./shortcut.ts";
import { sigmoid } from "./sigmoid.ts";

const input: Op<InputNode> = { ...WEIGHTLESS, forward: () => [] };

const OPS: { readonly [K in Node["op"]]: Op<Extract<Node, { op: K }>> } = {
  input,
  conv,
  norm,
  clamp,
  add,
  maxpool: pool,
  avgpool: pool,
  globalpool,
  gate,
  sigmoid,
  shortcut,
  linear,
};

/** The operation a node is. */
export function opOf(node: Node): Op {
  if (node.op === "conv" && node.int8 !== undefined) return convI8 as unknown as Op;
  return OPS[node.op] as unknown as Op;
}

/** Every tensor the graph wants from a checkpoint, in the order it runs. */
export function paramsOf(graph: Graph): readonly Param[] {
  return graph.nodes.flatMap((node) => opOf(node).params(node));
}

/** Trainable numbers, as publications count them: running statistics are not among them. */
export function parameterCount(graph: Graph): number {
  return paramsOf(graph)
    .filter(({ name }) => !/\.(running_(mean|var)|weight_scale)$/.test(name))
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

/** Multiply-adds of one image through convolutions and linear layers. */
export function macCount(graph: Graph): number {
  return graph.nodes.reduce((sum, node) => sum + opOf(node).macs(node), 0);
}
