/**
 * `resnet-wasm/lowlevel`: what a classifier and a trainer are made of. A network is a graph; folding makes it smaller;
 * planning turns it into a tape of kernel calls; an engine runs tapes. It may change in any version.
 */

export type { Checkpoint } from "./checkpoint.ts";
export { checkBuildOptions } from "./choice.ts";
export { loadModel } from "./classifier.ts";
export { createEngine, type Engine, type EngineTarget, engineTarget, type Runnable } from "./engine.ts";
export { fold } from "./fold.ts";
export {
  type Graph,
  type Int8,
  inputShape,
  type Node,
  nodeOf,
  outputNode,
  type Shape,
} from "./graph.ts";
export { type Kernels, loadKernels, pickBuild } from "./kernels.ts";
export { resnet, resnetSpec } from "./models/resnet.ts";
export { macCount, opOf, parameterCount, paramsOf } from "./ops/ops.ts";
export { classCount, probabilitiesOf, softmax } from "./output.ts";
export {
  type Budget,
  defaultMemory,
  fitWeights,
  type Plan,
  plan,
  planWeights,
  resize,
  type WeightPlan,
} from "./plan.ts";
export { type KernelExports, type KernelName, printTape, run, runStep, type Step, step, type Tape } from "./tape.ts";
export { type FinetuneNeeds, finetuneNeeds } from "./train/finetune.ts";
export { initialise, withClasses } from "./train/initialise.ts";
export { trainingNeeds } from "./train/spec.ts";
export { type Trainable, trainWith } from "./train/trainer.ts";
export { tuneGraph } from "./tune.ts";
export { candidates, choose, type Variant } from "./variants.ts";
export { checkWeights, ensureMemory, packWeights } from "./weights.ts";
