/**
 * The layers of a Keras classifier behind its pooling, whatever they are called. Their description says what a file of weights
 * cannot: activations, and whether probabilities come last.
 */
import { expectedGot, ModelError } from "../errors.ts";
import type { OutputKind } from "../output.ts";

/** One layer of a Keras model's description. */
export interface KerasLayer {
  readonly kind: string;
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
}

export interface KerasHead {
  /** Our module of each layer with weights: `fc`, or `fc.<i>` where there are several. A gap in the numbers is a ReLU. */
  readonly modules: ReadonlyMap<string, string>;
  readonly output: OutputKind | undefined;
}

/** Layers that do nothing in inference, or nothing to one pixel. */
const SILENT = new Set([
  "Dropout",
  "AlphaDropout",
  "GaussianDropout",
  "GaussianNoise",
  "Flatten",
  "Reshape",
  "InputLayer",
]);

/**
 * Reads the head off a model's layers, in their order.
 *
 * @throws ModelError for a layer or an activation that no head here has
 */
export function kerasHead(where: string, layers: readonly KerasLayer[]): KerasHead {
  // Those of squeeze-and-excitation blocks are between convolutions.
  const trunk = layers.findLastIndex(({ kind }) => kind === "Conv2D");
  const start = layers.findIndex(({ kind }, i) => i > trunk && kind === "Dense");
  const parts: { name: string; index: number }[] = [];
  let output: OutputKind | undefined;
  let next = 0;
  for (const { kind, name, config } of start < 0 ? [] : layers.slice(start)) {
    const fail = (expected: string, got: string): ModelError =>
      new ModelError("unsupported", expectedGot(`${where}: "${name}"`, expected, got), { subject: name });
    if (SILENT.has(kind)) continue;
    if (output !== undefined) throw fail("nothing behind the classes' probabilities", kind);
    const hasWeights = kind === "Dense" || kind === "BatchNormalization";
    if (hasWeights) parts.push({ name, index: next++ });
    const activation = activationOf(kind, config);
    if (activation === "relu") next++;
    else if (activation === "softmax" || activation === "sigmoid") output = activation;
    else if (activation !== "linear" || !(hasWeights || kind === "Activation")) {
      throw fail(
        "a layer or activation of a classifier: Dense, BatchNormalization, relu, softmax, sigmoid",
        activation,
      );
    }
  }
  const isOne = parts.length === 1;
  return { modules: new Map(parts.map(({ name, index }) => [name, isOne ? "fc" : `fc.${index}`])), output };
}

/** The function that a layer ends with, by its name; another layer's kind where it is no function. */
function activationOf(kind: string, { activation }: KerasLayer["config"]): string {
  if (kind === "ReLU") return "relu";
  if (kind === "Softmax") return "softmax";
  if (kind === "BatchNormalization") return "linear";
  if (kind !== "Dense" && kind !== "Activation") return kind;
  if (activation === undefined || activation === null) return "linear";
  return typeof activation === "string" ? activation : JSON.stringify(activation).slice(0, 80);
}
