/**
 * A model of any format as a safetensors file of this project's: torchvision's names, C order, and everything else that
 * a classifier must know in its metadata; or as an ONNX file for other programs.
 */

import { PANEL_COLUMNS } from "../wasm/tile.js";
import { untilAbortedEach } from "./abort.ts";
import { type Layout, type PackedLayer, readValues, rereadable } from "./checkpoint.ts";
import { type BuildOptions, checkBuildOptions, chooseHere } from "./choice.ts";
import { expectedGot, ModelError, OptionError } from "./errors.ts";
import { fold } from "./fold.ts";
import { SCALE } from "./formats/dequantize.ts";
import { LAYOUT_VERSION, PACKED } from "./formats/packed.ts";
import { planSafetensors, type TensorEntry } from "./formats/safetensors.ts";
import { asConv, type Graph, type Node } from "./graph.ts";
import { loadKernels } from "./kernels.ts";
import { type Model, type ModelOptions, openModelWith, type Source } from "./model.ts";
import { writeMetadata } from "./models/metadata.ts";
import { opOf, paramsOf } from "./ops/ops.ts";
import type { Runtime } from "./runtime.ts";
import { bytesOf, halves, rounded, rowScales, STORAGE_DTYPES, type StorageDtype } from "./stored-values.ts";
import type { Dtype } from "./tensor.ts";
import { formOf, PADS_BYTES, panelsOf } from "./variants.ts";
import { packWeights } from "./weights.ts";

export interface ConvertOptions extends BuildOptions {
  /**
   * `onnx` is for other programs: operator set 17, input `input` `[n, c, h, w]`, normalised as the model's preprocessing says, output
   * `logits`. A quantized model becomes one of QuantizeLinear and DequantizeLinear pairs.
   */
  readonly format?: FileFormat;
  /**
   * How weights lie. `packed`: as this machine's kernels read them, so that loading copies them; a machine that computes otherwise
   * repacks them. Of int8 models and of those whose weights stay F32; `BuildOptions` decide what is computed how.
   */
  readonly layout?: WeightLayout;
  /**
   * Of convolutions' and linear layers' weights; biases and norms stay F32, they weigh nothing. `i8` stores them in a
   * quarter of the bytes, with a scale for each output: a small download, still computed in f32.
   */
  readonly dtype?: StorageDtype;
}

export const FILE_FORMATS = ["safetensors", "onnx"] as const;
export type FileFormat = (typeof FILE_FORMATS)[number];

export const LAYOUTS = ["plain", "packed"] as const;
export type WeightLayout = (typeof LAYOUTS)[number];

/** Element types in the file, of weights. */
const STORED = { f32: "F32", f16: "F16", i8: "I8" } as const;

/**
 * Writes any model as one safetensors or ONNX file that needs nothing beside it, piece by piece.
 *
 * @param source as `load` takes it
 * @throws OptionError for another format, dtype or layout, or a packed ONNX file; while pieces are read, as `load` and `convertModel`
 */
export function convertWith(
  runtime: Runtime,
  source: Source,
  options: ConvertOptions & ModelOptions = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const { format = "safetensors", dtype = "f32", layout = "plain" } = options;
  if (!FILE_FORMATS.includes(format)) {
    throw new OptionError("format", expectedGot("format", FILE_FORMATS.join(", "), JSON.stringify(format)));
  }
  if (!STORAGE_DTYPES.includes(dtype)) {
    throw new OptionError("dtype", expectedGot("dtype", STORAGE_DTYPES.join(", "), JSON.stringify(dtype)));
  }
  if (!LAYOUTS.includes(layout)) {
    throw new OptionError("layout", expectedGot("layout", LAYOUTS.join(", "), JSON.stringify(layout)));
  }
  if (layout === "packed" && format === "onnx") {
    const hint = "no other program reads weights that lie as the kernels here read them";
    throw new OptionError("layout", expectedGot("layout", "plain for an ONNX file", "packed", hint));
  }
  if (layout === "packed" && dtype !== "f32") {
    const hint = "kernels read f32 weights, or those of a model quantized with sample images";
    throw new OptionError("layout", expectedGot("layout", `plain for weights in ${dtype}`, "packed", hint));
  }
  checkBuildOptions(options);
  const pieces = async function* (): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const model = await openModelWith(runtime, source, options);
    try {
      // A stream has its tensors in another order.
      const again = { ...model, checkpoint: await rereadable(model.checkpoint, options.signal) };
      const made =
        format === "onnx"
          ? (await import("./onnx.ts")).convertToOnnx(again, dtype)
          : layout === "packed"
            ? convertPacked(runtime, again, options)
            : convertModel(again, { dtype });
      yield* untilAbortedEach(made, options.signal);
    } finally {
      if (model !== source) await model.close();
    }
  };
  return pieces();
}

/** A piece of a file that is not made yet. */
interface Pending extends TensorEntry {
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
}

/** An opened model as a file whose weights lie as kernels read them (formats/packed.ts): packed here, then copied. */
async function* convertPacked(
  runtime: Runtime,
  model: Model,
  options: BuildOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const { checkpoint, source } = model;
  const graph = fold(model.graph);
  const { target, weights, dots } = await chooseHere(runtime, graph, { ...options, threads: 1 }, checkpoint.packed);
  const kernels = await loadKernels(runtime, target.build, new WebAssembly.Memory({ initial: 1 }));
  await packWeights(source, graph, weights, checkpoint, kernels, options.signal);
  const view = (address: number, bytes: number): Uint8Array<ArrayBuffer> =>
    new Uint8Array(kernels.memory.buffer.slice(address, address + bytes) as ArrayBuffer);
  const layers: Record<string, PackedLayer> = {};
  const entries: Pending[] = [];
  /** Nodes of norms that are in packed weights. */
  const folded = new Set<string>();
  const keep = (name: string, shape: readonly number[], dtype: Dtype = "F32"): void => {
    const bytes = async (): Promise<Uint8Array<ArrayBuffer>> =>
      dtype === "F32" ? bytesOf(await readValues(checkpoint, name)) : (await checkpoint.read(name)).slice();
    entries.push({ name, shape, dtype, bytes });
  };
  for (const node of graph.nodes) {
    const { name } = node;
    const params = opOf(node).params(node);
    const conv = node.op === "linear" ? asConv(node) : node;
    const variant = weights.variants.get(name);
    const form = variant === undefined ? undefined : formOf(variant.algorithm);
    if (variant !== undefined) layers[name] = { algorithm: variant.algorithm };
    if (conv.op !== "conv" || variant === undefined || form === undefined) {
      for (const param of params) keep(param.name, param.shape, param.dtype);
      continue;
    }
    const { groups, norm } = conv;
    layers[name] = { algorithm: variant.algorithm, form, shape: params[0]!.shape, groups };
    const before = variant.algorithm.startsWith("im2col") && form !== "f32" ? PADS_BYTES : 0;
    const bytes = variant.weightBytes(conv) - before;
    const address = weights.addresses.get(name)! + before;
    const isF32 = form === "f32";
    entries.push({
      ...{ name: `${name}${PACKED}`, dtype: isF32 ? "F32" : "I8", shape: [isF32 ? bytes / 4 : bytes] },
      bytes: async () => view(address, bytes),
    });
    if (!isF32) {
      for (const param of params.slice(1)) keep(param.name, param.shape, param.dtype);
    } else if (conv.bias || norm !== undefined) {
      const each = bytes / panelsOf(conv);
      const n = node.shape[2] / groups;
      const across = panelsOf(conv) / groups;
      const bias = async (): Promise<Uint8Array<ArrayBuffer>> => {
        const parts = Array.from({ length: panelsOf(conv) }, (_, panel) => {
          const columns = Math.min(PANEL_COLUMNS, n - (panel % across) * PANEL_COLUMNS);
          return view(address + panel * each, 4 * columns);
        });
        return new Uint8Array(await new Blob(parts).arrayBuffer());
      };
      entries.push({ name: `${name}.bias`, dtype: "F32", shape: [node.shape[2]], bytes: bias });
      if (norm !== undefined) folded.add(norm.name);
    }
  }
  const layout: Layout = { version: LAYOUT_VERSION, build: target.build, dots, columns: PANEL_COLUMNS, layers };
  // An int8 file says all of itself already; of others a stored graph must have the network without the norms that are in weights.
  const { layout: _, ...said } =
    graph.nodes[0]!.int8 === undefined
      ? writeMetadata({ ...model, graph: withoutNorms(model.graph, folded) })
      : ({ ...checkpoint.metadata, ...labelled(model) } as Record<string, string>);
  const { header, order } = planSafetensors(entries, { ...said, layout: JSON.stringify(layout) });
  yield header;
  for (const { bytes } of order) yield await bytes();
}

/** The labels that a caller gave to a model whose metadata is kept. */
function labelled({ labels }: Model): Record<string, string> {
  return labels.length === 0 ? {} : { labels: JSON.stringify(labels) };
}

/** The graph with norms in the weights of the convolutions before them, which have biases then. */
function withoutNorms(graph: Graph, norms: ReadonlySet<string>): Graph {
  const before = new Map<string, string>();
  for (const { name, inputs } of graph.nodes) if (norms.has(name)) before.set(name, inputs[0]!);
  const convs = new Set(before.values());
  const nodes = graph.nodes
    .filter(({ name }) => !before.has(name))
    .map((node): Node => {
      const inputs = node.inputs.map((name) => before.get(name) ?? name);
      return node.op === "conv" && convs.has(node.name) ? { ...node, inputs, bias: true } : { ...node, inputs };
    });
  return { ...graph, nodes };
}

/**
 * An opened model as a file: its header, then a tensor at a time, so that nothing holds it whole.
 *
 * @throws ModelError for a weight that f16 cannot hold, or a file that is shorter than it says
 */
export async function* convertModel(
  model: Model,
  { dtype = "f32" }: ConvertOptions = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (model.graph.nodes[0]!.int8 !== undefined) {
    throw new ModelError(
      "unsupported",
      expectedGot(model.source, "a model with float weights", "one quantized for int8 computing"),
    );
  }
  const entries = paramsOf(model.graph).flatMap(({ name, shape }): TensorEntry[] => {
    if (shape.length === 1) return [{ name, shape, dtype: "F32" }];
    const weight: TensorEntry = { name, shape, dtype: STORED[dtype] };
    return dtype === "i8" ? [weight, { name: `${name}${SCALE}`, shape: [shape[0]!], dtype: "F32" }] : [weight];
  });
  const { header, order } = planSafetensors(entries, writeMetadata(model));
  yield header;
  for (const { name, dtype: stored } of order) {
    const isScale = name.endsWith(SCALE);
    const values = await readValues(model.checkpoint, isScale ? name.slice(0, -SCALE.length) : name);
    if (isScale) yield bytesOf(rowScales(model.checkpoint, name.slice(0, -SCALE.length), values));
    else if (stored === "F16")
      yield bytesOf(
        halves(`${model.source}: "${name}"`, values, values.length / model.checkpoint.tensors.get(name)!.shape[0]!),
      );
    else if (stored === "I8") yield bytesOf(rounded(values, rowScales(model.checkpoint, name, values)));
    else yield bytesOf(values);
  }
}
