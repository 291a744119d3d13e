/**
 * Int8 networks that are not stored: weights, scales and scales follow from names and shapes, by operations that IEEE 754
 * rounds alike everywhere. No f32 network stands behind them.
 */
import { fold } from "../../src/fold.ts";
import { type NamedTensor, writeSafetensors } from "../../src/formats/safetensors.ts";
import type { Graph } from "../../src/graph.ts";
import { type Quantization, toInt8 } from "../../src/int8.ts";
import { writeMetadata } from "../../src/models/metadata.ts";
import { type ResNetSpec, resnet } from "../../src/models/resnet.ts";
import { paramsOf } from "../../src/ops/ops.ts";
import { PRESETS } from "../../src/preprocess.ts";
import { goldenTensor } from "./weights.ts";

/** A weight's standard deviation in units, and what an activation's should be. */
const [WEIGHT, ACTIVATION] = [50, 40];

/** The int8 file of a network. */
export function goldenInt8(name: string, spec: ResNetSpec): Uint8Array<ArrayBuffer> {
  const whole = resnet(name, spec);
  const folded = fold(whole);
  const scales = Object.fromEntries(folded.nodes.map((node, i) => [node.name, (1 + (i % 5)) / 64]));
  const weightSums = Object.fromEntries(folded.nodes.map((node) => [node.name, 127 * 4608]));
  const quantization: Quantization = { scales, weightSums };
  const preprocess = spec.stem === "cifar" ? PRESETS.cifar : PRESETS["torchvision-v1"];
  const graph: Graph = toInt8(name, folded, quantization, preprocess);
  const tensors: NamedTensor[] = [];
  const sums: Record<string, number> = {};
  for (const node of graph.nodes) {
    if (node.op !== "conv" && node.op !== "linear") continue;
    const { shape } = paramsOf({ name, nodes: [node] })[0]!;
    const [n, depth] = [shape[0]!, shape.slice(1).reduce((a, b) => a * b, 1)];
    const weights = Int8Array.from(goldenTensor(`${node.name}.running_mean`, [n * depth]), (x) => Math.round(x * 1270));
    const input = node.int8!.inputs[0]!;
    const scale = ((node.int8!.scale ?? 1) * ACTIVATION) / (input * WEIGHT * ACTIVATION * Math.sqrt(depth));
    const scales = Float32Array.from(goldenTensor(`${node.name}.running_var`, [n]), (x) => x * scale);
    const bias = Int32Array.from(goldenTensor(`${node.name}.bias`, [n]), (x) =>
      Math.round(x * 5000 * Math.sqrt(depth)),
    );
    sums[node.name] = Array.from({ length: n }, (_, o) =>
      weights.subarray(o * depth, (o + 1) * depth).reduce((sum, weight) => sum + Math.abs(weight), 0),
    ).reduce((a, b) => Math.max(a, b));
    for (const [suffix, dtype, values, dims] of [
      ["weight", "I8", weights, shape],
      ["weight_scale", "F32", scales, [n]],
      ["bias", "I32", bias, [n]],
    ] as const) {
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      tensors.push({ name: `${node.name}.${suffix}`, dtype, shape: dims, bytes });
    }
  }
  const metadata = writeMetadata({ arch: name, spec, graph: whole, preprocess, labels: [] });
  return writeSafetensors(tensors, { ...metadata, quantization: JSON.stringify({ scales, weightSums: sums }) });
}
