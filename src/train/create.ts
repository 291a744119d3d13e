/** Makes trainers for training loops of one's own. */
import { rereadable } from "../checkpoint.ts";
import { engineTarget } from "../engine.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { outputNode } from "../graph.ts";
import { type ModelOptions, openModelWith, type Source } from "../model.ts";
import { pretrained as published } from "../models/pretrained.ts";
import { RESNETS, resnet, resnetSpec } from "../models/resnet.ts";
import { checkSize } from "../preprocess.ts";
import type { Runtime } from "../runtime.ts";
import { initialise, withClasses } from "./initialise.ts";
import type { TrainOptions } from "./spec.ts";
import { type Trainer, trainWith } from "./trainer.ts";

export interface CreateTrainerOptions extends TrainOptions, ModelOptions {
  /** Another number of classes than the source has: its last layer is then new. */
  readonly classes?: number;
  /** Of new weights; 1 when absent. */
  readonly seed?: number;
  /** `false` begins a short name that has published weights, as `resnet18`, from new ones. */
  readonly pretrained?: boolean;
}

/**
 * Makes a trainer: its `step(images, labels)` is one step of the optimizer.
 *
 * @param source as `load` takes it, to train on from there; or a name of `RESNETS` without published weights, or with
 * `pretrained: false`, for a network with new weights (He et al.'s initialisation)
 * @throws ModelError when there is no model, it is not what it says, or it is int8; OptionError for an option out of range
 */
export async function createTrainerWith(
  runtime: Runtime,
  source: Source,
  options: CreateTrainerOptions = {},
): Promise<Trainer> {
  engineTarget(options);
  const { classes, seed = 1, pretrained = true, signal, ...rest } = options;
  if (typeof source === "string" && Object.hasOwn(RESNETS, source)) {
    if (!pretrained || published(source) === undefined) {
      const spec = resnetSpec(source);
      const { size, epsilon, stride = spec.stride } = options;
      const shape = size === undefined ? undefined : ([...checkSize(size), 3] as const);
      const graph = resnet(source, { ...spec, stride, classes: classes ?? spec.classes }, shape, epsilon);
      return trainWith(runtime, { source, graph, checkpoint: initialise(graph, seed) }, rest, signal);
    }
  }
  const model = await openModelWith(runtime, source, options);
  try {
    if (model.graph.nodes[0]!.int8 !== undefined) {
      const hint = "train first, then quantize";
      throw new ModelError("unsupported", expectedGot(model.source, "a model with float weights", "int8", hint));
    }
    // A trainer reads weights again when it gives them back, and closes what it reads from.
    const checkpoint = await rereadable(model.checkpoint, signal);
    const owned = { ...model, checkpoint: model === source ? { ...checkpoint, close: async () => {} } : checkpoint };
    const isOther = classes !== undefined && classes !== outputNode(model.graph).shape[2];
    // Classes that do not exclude each other are trained as such.
    const { loss = model.graph.output === "sigmoid" && !isOther ? "bce" : undefined, ...more } = rest;
    const trainOptions = loss === undefined ? more : { ...more, loss };
    return await trainWith(runtime, isOther ? withClasses(owned, classes, seed) : owned, trainOptions, signal);
  } catch (error) {
    if (model !== source) await model.close();
    throw error;
  }
}
