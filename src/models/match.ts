import type { Graph } from "../graph.ts";
import type { TensorInfo } from "../tensor.ts";
import type { ResNetSpec } from "./resnet.ts";
export function matchResnet(
  _graph: Graph,
  _t: ReadonlyMap<string, TensorInfo>,
): { spec: ResNetSpec; rename: ReadonlyMap<string, string> } | undefined {
  return undefined;
}
