/** The network of a source: of a model, or of a name in the table that needs no weights. */
import type { Guess, PackedWeights } from "./checkpoint.ts";
import type { Graph } from "./graph.ts";
import { type ModelOptions, type Source, withModel } from "./model.ts";
import { PRETRAINED } from "./models/pretrained.ts";
import { RESNETS, resnet } from "./models/resnet.ts";
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

/** The network of a source. A name of `RESNETS` that has no published weights stands for the network alone. */
export async function networkOfSource(runtime: Runtime, source: Source, options: ModelOptions): Promise<Network> {
  const spec = typeof source === "string" && Object.hasOwn(RESNETS, source) ? RESNETS[source] : undefined;
  if (spec !== undefined && !Object.hasOwn(PRETRAINED, source as string)) {
    const { size, stride = spec.stride } = options;
    const shape = size === undefined ? undefined : ([...checkSize(size), 3] as const);
    const graph = resnet(source as string, { ...spec, stride }, shape);
    const unknown = { dtypes: [], labels: [], preprocess: undefined, licence: undefined, guesses: [] };
    return { arch: source as string, graph, output: "softmax", ...unknown };
  }
  return withModel(runtime, source, options, async ({ arch, graph, checkpoint, labels, preprocess, guesses }) => {
    const dtypes = [...new Set([...checkpoint.tensors.values()].map(({ dtype }) => dtype))];
    const { license = checkpoint.metadata.licence } = checkpoint.metadata;
    const { packed } = checkpoint;
    return {
      ...{ arch, graph, dtypes, labels, output: graph.output ?? "softmax", licence: license, preprocess, guesses },
      ...(packed === undefined ? {} : { packed }),
    };
  });
}
