/** What a model is and what it needs, without loading it. */

import type { Layout } from "./checkpoint.ts";
import { checkBuildOptions, chooseHere, repackingOf } from "./choice.ts";
import type { LoadOptions } from "./classifier.ts";
import { expectedGot, ModelError } from "./errors.ts";
import { fold } from "./fold.ts";
import { inputShape, type Node, outputNode, type Shape } from "./graph.ts";
import type { Build } from "./kernels.ts";
import type { Source } from "./model.ts";
import { type Network, networkOfSource } from "./network.ts";
import { macCount, opOf, parameterCount } from "./ops/ops.ts";
import type { OutputKind } from "./output.ts";
import { defaultMemory, plan } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import type { Tape } from "./tape.ts";
import { type FinetuneNeeds, finetuneNeeds } from "./train/finetune.ts";
import type { Part } from "./train/options.ts";
import type { Vectors } from "./variants.ts";

export interface InspectOptions extends LoadOptions {
  /** Adds what fine-tuning of this part needs. */
  readonly train?: Part;
  /** Images of a training step. */
  readonly batch?: number;
}

/** One layer of the folded network. */
export interface LayerInspection {
  readonly name: string;
  readonly op: Node["op"];
  /** Of its output. */
  readonly shape: Shape;
  /** How a convolution is computed. */
  readonly algorithm: string | undefined;
  readonly kernels: readonly string[];
  /** Multiplications and additions. */
  readonly macs: number;
  /** Of its packed weights. */
  readonly weightBytes: number;
}

/** What a model is and needs. */
export interface Inspection extends Omit<Network, "graph" | "packed"> {
  readonly build: Build;
  /** Bits of the vectors that it computes with, as `Classifier` has it. */
  readonly vectors: Vectors;
  /** `[h, w, c]` */
  readonly input: Shape;
  /** Numbers of its last layer, and what they mean. */
  readonly outputs: number;
  readonly output: OutputKind;
  readonly parameters: number;
  /** Of one image. */
  readonly macs: number;
  /** Wasm memory for the weights and one image. */
  readonly memoryBytes: number;
  /** Of the packed weights. */
  readonly weightBytes: number;
  readonly layers: readonly LayerInspection[];
  /** How the weights lie that the file holds as kernels read them; absent in other files. */
  readonly layout?: Layout;
  /** The steps for one image. */
  readonly tape: Tape;
  /** With `train`: what that takes. */
  readonly training?: FinetuneNeeds;
}

/**
 * Describes a model: its network, its layers and how each is computed, the memory it takes. No weight is read.
 *
 * @param source as `load` takes it, or a name of `RESNETS` for a network without weights
 * @throws as `load`
 */
export async function inspectWith(runtime: Runtime, source: Source, options: InspectOptions = {}): Promise<Inspection> {
  checkBuildOptions(options);
  const { graph, packed, ...network } = await networkOfSource(runtime, source, options);
  const folded = fold(graph);
  const choice = await chooseHere(runtime, folded, options, packed);
  const { target, weights } = choice;
  const { memoryBytes = defaultMemory(folded), train, batch } = options;
  const { tape, end } = plan(folded, weights, target, 1, inputShape(folded), []);
  const { threads, build, vectors = 128 } = target;
  const layers = folded.nodes.map((node): LayerInspection => {
    const variant = weights.variants.get(node.name);
    return {
      name: node.name,
      op: node.op,
      shape: node.shape,
      algorithm: variant?.algorithm,
      kernels: [...new Set(tape.filter(({ label }) => label === node.name).map(({ kernel }) => kernel))],
      macs: opOf(node).macs(node),
      weightBytes: opOf(node).weightBytes(node, variant),
    };
  });
  if (train !== undefined && graph.nodes[0]!.int8 !== undefined) {
    const hint = "fine-tune first, then quantize";
    throw new ModelError("unsupported", expectedGot("train", "a model with float weights", "int8", hint));
  }
  const training =
    train === undefined
      ? undefined
      : finetuneNeeds(graph, { train, threads, build, memoryBytes, ...(batch === undefined ? {} : { batch }) });
  return {
    ...network,
    guesses: [...network.guesses, ...repackingOf(packed, choice)],
    ...(packed === undefined ? {} : { layout: packed.layout }),
    build,
    vectors,
    input: inputShape(folded),
    outputs: outputNode(folded).shape[2],
    output: graph.output ?? "softmax",
    parameters: parameterCount(graph),
    macs: macCount(graph),
    memoryBytes: end,
    weightBytes: weights.end,
    layers,
    tape,
    ...(training === undefined ? {} : { training }),
  };
}
