/** A trainer's options, checked, as its planner and its loop want them. */
import { type EngineOptions, engineTarget } from "../engine.ts";
import { expectedGot, OptionError } from "../errors.ts";
import { type Graph, outputNode } from "../graph.ts";
import { opOf } from "../ops/ops.ts";
import { adamw, sgd } from "./optimizers.ts";
import { type Loss, type Part, resolveStepOptions, type StepOptions } from "./options.ts";
import { planTraining, type TrainNeed, type TrainSpec } from "./plan.ts";

/** `layer4` and `layer3` train that stage and all behind it; a function decides by the node's name. */
export type TrainPart = Part | ((node: string) => boolean);

export interface TrainOptions extends EngineOptions, Omit<StepOptions, "train"> {
  /** What is trained; `all` when absent. What stands before it costs no gradient and no memory for one. */
  readonly train?: TrainPart;
  /**
   * A factor on the loss of each class, as PyTorch's `CrossEntropyLoss(weight)`: with `loss: "cross_entropy"` only. Evaluation does
   * not weigh.
   */
  readonly classWeights?: readonly number[] | undefined;
}

/** What a training loop reads beside the plan. */
export interface Settings {
  readonly batch: number;
  readonly accumulate: number;
  readonly learningRate: number;
  readonly ema: number | undefined;
  readonly labelSmoothing: number;
  readonly classWeights: readonly number[] | undefined;
}

/** Which nodes a named part has. */
function predicateOf(graph: Graph, part: TrainPart): (node: string) => boolean {
  const trains = typeof part === "function" ? part : named(graph, part);
  const some = graph.nodes.some((node) => trains(node.name) && opOf(node).params(node).length > 0);
  if (!some)
    throw new OptionError(
      "train",
      expectedGot("train", "a part with weights", "one without", "head, layer4, layer3, all"),
    );
  return trains;
}

function named(graph: Graph, part: Part): (node: string) => boolean {
  const head = outputNode(graph).name;
  if (part === "all") return () => true;
  if (part === "head") return (node) => node === head;
  if (!graph.nodes.some(({ name }) => name.startsWith(`${part}.`))) {
    throw new OptionError("train", expectedGot("train", `a network with ${part}`, graph.name, "use head or all"));
  }
  return (node) => node === head || (/^layer\d+\./.test(node) && node >= part);
}

function checkClassWeights(weights: readonly number[], classes: number, loss: Loss): void {
  if (loss === "bce") {
    const hint = "classes that do not exclude each other have no weights";
    throw new OptionError("classWeights", expectedGot("classWeights", "the loss cross_entropy", loss, hint));
  }
  const bad = weights.find((weight) => !(weight >= 0 && weight < Number.POSITIVE_INFINITY));
  if (weights.length === classes && bad === undefined) return;
  const got = bad === undefined ? `${weights.length}` : `${bad}`;
  throw new OptionError("classWeights", expectedGot("classWeights", `${classes} numbers from 0`, got));
}

/** The options as the planner wants them, and the rest. */
export function specOf(graph: Graph, options: TrainOptions): { readonly spec: TrainSpec; readonly settings: Settings } {
  const { train, ...rest } = options;
  const resolved = resolveStepOptions(typeof train === "function" || train === undefined ? rest : { ...rest, train });
  const { batch, accumulate, learningRate, momentum, nesterov, weightDecay, ema, labelSmoothing } = resolved;
  const { classWeights } = options;
  if (classWeights !== undefined) checkClassWeights(classWeights, outputNode(graph).shape[2], resolved.loss);
  const spec = {
    ...engineTarget(options),
    trains: predicateOf(graph, typeof train === "function" ? train : resolved.train),
    live: resolved.norms === "live",
    winograd: resolved.winograd,
    loss: resolved.loss,
    optimizer: resolved.optimizer === "sgd" ? sgd({ momentum, nesterov, weightDecay }) : adamw({ weightDecay }),
    decayNorms: resolved.decayNorms,
    layerDecay: resolved.layerDecay,
    clip: resolved.clip ?? Number.POSITIVE_INFINITY,
    averages: ema !== undefined,
  };
  return { spec, settings: { batch, accumulate, learningRate, ema, labelSmoothing, classWeights } };
}

/**
 * What training takes, without taking it: bytes of wasm memory and the number of trained weights.
 *
 * @throws OptionError for an option out of range, ArgumentTypeError for one of the wrong type
 */
export function trainingNeeds(graph: Graph, options: TrainOptions = {}): TrainNeed {
  const { spec, settings } = specOf(graph, options);
  return planTraining(graph, spec, settings.batch);
}
