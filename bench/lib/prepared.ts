/** A network with random weights, packed and planned: what the benches below the public API run. */

import type { Checkpoint } from "../../src/checkpoint.ts";
import { fold } from "../../src/fold.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { type Graph, inputShape, outputNode } from "../../src/graph.ts";
import { type Build, type Kernels, loadKernels } from "../../src/kernels.ts";
import { randomCheckpoint } from "../../src/models/random.ts";
import { defaultSize, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { defaultMemory, fitWeights, type Plan, plan, type WeightPlan } from "../../src/plan.ts";
import { nodeRuntime, quantize } from "../../src/runtimes/node.ts";
import { measureVectors } from "../../src/vectors.ts";
import { ensureMemory, packWeights } from "../../src/weights.ts";

export interface Prepared {
  readonly graph: Graph;
  readonly kernels: Kernels;
  readonly weights: WeightPlan;
  readonly plan: Plan;
}

/** Prepares one network; its input holds noise of one standard deviation. */
export async function prepare(name: string, build: Build, batch: number, memory?: number): Promise<Prepared> {
  const whole = resnet(name, resnetSpec(name));
  const graph = fold(whole);
  const budget = { memory: memory ?? defaultMemory(graph), winograd: true };
  const { vectors } = await measureVectors(nodeRuntime(), build);
  const weights = fitWeights(graph, { build, vectors }, budget, outputNode(graph).inputs);
  const kernels = await loadKernels(nodeRuntime(), build, new WebAssembly.Memory({ initial: 1 }));
  await packWeights(name, graph, weights, randomCheckpoint(whole, 1), kernels);
  const input = inputShape(graph);
  const ready = plan(graph, weights, { build, threads: 1, vectors }, batch, input, []);
  ensureMemory(kernels.memory, ready.end);
  const values = batch * input[0] * input[1] * input[2];
  const view = new Float32Array(kernels.memory.buffer, ready.addresses.get("input")!, values);
  for (let i = 0; i < values; ++i) view[i] = Math.sqrt(2) * Math.sin(i * i);
  return { graph, kernels, weights, plan: ready };
}

/** A checkpoint as the safetensors file it could have come from. */
export async function bytesOf(checkpoint: Checkpoint): Promise<Uint8Array> {
  const tensors = [];
  for (const [name, { dtype, shape }] of checkpoint.tensors) {
    tensors.push({ name, dtype, shape, bytes: await checkpoint.read(name) });
  }
  return writeSafetensors(tensors, checkpoint.metadata);
}

export type Dtype = "f32" | "int8";

/** A file of random weights; int8 ones calibrated on noise. */
export async function randomModel(name: string, dtype: Dtype): Promise<Uint8Array> {
  const bytes = await bytesOf(randomCheckpoint(resnet(name, resnetSpec(name)), 1));
  if (dtype === "f32") return bytes;
  const side = defaultSize(resnetSpec(name));
  const noise = Uint8Array.from({ length: 4 * side * side }, (_, i) => 128 + 127 * Math.sin(i * i));
  return (await quantize(bytes, [{ width: side, height: side, data: noise }], { arch: name })).bytes;
}
