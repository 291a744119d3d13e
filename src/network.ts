/** The network of a source: of a model, or of a name in the table that needs no weights. */
import type { Guess, PackedWeights } from "./checkpoint.ts";
import { ModelError } from "./errors.ts";
import type { Graph } from "./graph.ts";
import { type ModelOptions, type Source, withModel } from "./model.ts";
import { pretrained } from "./models/pretrained.ts";
import { RESNETS, resnet, resnetSpec } from "./models/resnet.ts";
import type { OutputKind } from "./output.ts";
import { checkSize, type Preprocess } from "./preprocess.ts";
import type { Runtime } from "./runtime.ts";
import type { Dtype } from "./tensor.ts";

/** A network: a model's, or one of the table without weights. */
export interface Network {
  readonly arch: string;
  /** As trained, nothing folded. */
  readonly graph: Graph;
  /** Element types of the weights; none where there are no weights. */
  readonly dtypes: readonly Dtype[];
  readonly labels: readonly string[];
  /** What its numbers mean. */
  readonly output: OutputKind;
  /** Of the weights, as the file says; most say nothing. */
  readonly licence: string | undefined;
  /** Absent where there are no weights. */
  readonly preprocess: Preprocess | undefined;
  readonly guesses: readonly Guess[];
  /** Where the file holds weights as kernels read them. */
  readonly packed?: PackedWeights | undefined;
}

/**
 * The network of a source. A name of `RESNETS` stands for the network alone where its weights are not here: to describe it,
 * nothing is downloaded.
 */
export async function networkOfSource(runtime: Runtime, source: Source, options: ModelOptions): Promise<Network> {
  if (typeof source !== "string" || !Object.hasOwn(RESNETS, source)) return networkOfModel(runtime, source, options);
  if (pretrained(source) === undefined) return networkAlone(source, options);
  try {
    return await networkOfModel(runtime, source, { ...options, offline: true });
  } catch (error) {
    // Not downloaded yet, or a runtime without names or without a cache.
    if (!(error instanceof ModelError && ["offline", "runtime", "cache"].includes(error.code))) throw error;
    return networkAlone(source, options);
  }
}

/** A network of the table, without weights. */
function networkAlone(source: string, options: ModelOptions): Network {
  const spec = resnetSpec(source);
  const { size, stride = spec.stride } = options;
  const shape = size === undefined ? undefined : ([...checkSize(size), 3] as const);
  const graph = resnet(source, { ...spec, stride }, shape);
  const unknown = { dtypes: [], labels: [], preprocess: undefined, guesses: [] };
  return { arch: source, graph, output: "softmax", ...unknown, licence: pretrained(source)?.licence };
}

function networkOfModel(runtime: Runtime, source: Source, options: ModelOptions): Promise<Network> {
  return withModel(runtime, source, options, async ({ arch, graph, checkpoint, labels, preprocess, guesses }) => {
    const dtypes = [...new Set([...checkpoint.tensors.values()].map(({ dtype }) => dtype))];
    const { license = checkpoint.metadata.licence ?? pretrained(source)?.licence } = checkpoint.metadata;
    const { packed } = checkpoint;
    return {
      ...{ arch, graph, dtypes, labels, output: graph.output ?? "softmax", licence: license, preprocess, guesses },
      ...(packed === undefined ? {} : { packed }),
    };
  });
}
