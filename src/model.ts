/**
 * A model before any of it is in wasm memory: what a source turned out to be. `inspect` stops here, `load` goes on.
 */
import type { Folder } from "./bytes.ts";
import type { Checkpoint, Guess, GuessKey } from "./checkpoint.ts";
import { expectedGot, ModelError, OptionError } from "./errors.ts";
import { fold } from "./fold.ts";
import { dequantized } from "./formats/dequantize.ts";
import { type Format, openCheckpoint } from "./formats/open.ts";
import { type Graph, inputShape, type Node, outputNode } from "./graph.ts";
import { readQuantization, toInt8 } from "./int8.ts";
import { matchResnet } from "./models/match.ts";
import { type ModelHints, readMetadata } from "./models/metadata.ts";
import { nameOf, recognise } from "./models/recognise.ts";
import { defaultSize, type ResNetSpec, resnet, resnetSpec } from "./models/resnet.ts";
import { paramsOf } from "./ops/ops.ts";
import { resize } from "./plan.ts";
import {
  channelsOf,
  checkPreprocess,
  PRESETS,
  type Preprocess,
  type PreprocessOptions,
  type PresetName,
  type Sides,
  sidesOf,
  sized,
} from "./preprocess.ts";
import type { Runtime } from "./runtime.ts";
import { type DownloadOptions, type FileSource, findSource } from "./source.ts";
import { checkWeights } from "./weights.ts";

/** What a caller may say about a model that its file does not. */
export interface ModelOptions extends DownloadOptions {
  /** A name of `RESNETS`; recognised from the tensors when absent. */
  readonly arch?: string;
  /** Where a bottleneck has its stride, when the file does not tell. */
  readonly stride?: "3x3" | "1x1";
  /** Of every batch norm, when the file does not tell; 1e-5. */
  readonly epsilon?: number;
  /** Of the input: one side of a square, or height and width; the architecture's own when absent. */
  readonly size?: number | Sides;
  /** How pixels become the input. */
  readonly preprocess?: PresetName | PreprocessOptions;
  /** Instead of the preset's: of pixels scaled to 0…1, in the order R, G, B, or one number for gray. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** Class names, by index. */
  readonly labels?: readonly string[];
  /** Weight formats to read, instead of the runtime's usual ones. */
  readonly formats?: readonly Format[];
}

/** A checked model: its network, its weights not yet read. */
export interface Model {
  /** The source as the caller named it. */
  readonly source: string;
  readonly arch: string;
  /** Absent for a network of an ONNX file that is no ResNet of the table. */
  readonly spec: ResNetSpec | undefined;
  /** As trained, nothing folded; an int8 network folded, with its steps. */
  readonly graph: Graph;
  readonly checkpoint: Checkpoint;
  readonly preprocess: Preprocess;
  readonly labels: readonly string[];
  /** What was assumed. */
  readonly guesses: readonly Guess[];
  /** Closes the weight file. Classifiers and trainers that were made from the model have what they need. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A model in any form that a caller may have it in; one that is open already stays open. */
export type Source = FileSource | Model;

function isModel(source: Source): source is Model {
  return typeof source === "object" && source !== null && "checkpoint" in source && "graph" in source;
}

/** A model's parts, with what closes it. */
export function closable(parts: Omit<Model, "close" | typeof Symbol.asyncDispose>): Model {
  const close = (): Promise<void> => parts.checkpoint.close();
  return { ...parts, close, [Symbol.asyncDispose]: close };
}

/** Runs `work` on the model of a source, and closes it afterwards, unless it was open already. */
export async function withModel<T>(
  runtime: Runtime,
  source: Source,
  options: ModelOptions,
  work: (model: Model) => Promise<T>,
): Promise<T> {
  const model = await openModelWith(runtime, source, options);
  try {
    return await work(model);
  } finally {
    if (model !== source) await model.close();
  }
}

/**
 * Finds a model, opens and checks it, without reading its weights.
 *
 * @param source as `load` takes it; a model that is open already is returned as it is
 * @throws ModelError when there is no model or it is not what it says; OptionError for an option out of range
 */
export async function openModelWith(runtime: Runtime, source: Source, options: ModelOptions = {}): Promise<Model> {
  if (isModel(source)) return source;
  const { name, located, known } = await findSource(runtime, source, options);
  const opened = await openCheckpoint(located.folder, located.entry, options.formats ?? runtime.formats);
  try {
    const quantization = readQuantization(name, opened.metadata);
    const checkpoint = quantization === undefined ? dequantized(name, opened) : opened;
    const file = readMetadata(name, checkpoint.metadata);
    const beside = (await located.hints?.({ preprocess: options.preprocess === undefined })) ?? { said: [] };
    const network = await networkOf(name, checkpoint, { file, beside, known: known?.arch }, options);
    const hints = { ...beside, ...file };
    const described = options.preprocess ?? known?.preprocess ?? hints.preprocess;
    const assumed = defaultPreset(network);
    const preset = checkPreset(described ?? assumed);
    const guesses = [...network.guesses];
    if (described === undefined) guesses.push({ key: "preprocess", message: `preprocessing of the ${assumed} preset` });
    const classes = outputNode(network.graph).shape[2];
    if (hints.labels !== undefined && hints.labels.length !== classes) {
      throw new ModelError(
        "metadata",
        expectedGot(`${name}: labels`, `${classes}, one for each class`, `${hints.labels.length}`),
        { subject: "labels" },
      );
    }
    const published = known === undefined ? undefined : await readLabels(located.folder, known.labels);
    const [height, width, channels] = inputShape(network.graph);
    const { mean, std } = ownNormalisation(checkpoint, channelsOf(preset)) ?? preset;
    const normalised = checkPreset({ ...preset, mean: options.mean ?? mean, std: options.std ?? std });
    const preprocess = sized(normalised, [height, width]);
    if (channelsOf(preprocess) !== channels) {
      const order = channels === 1 ? 'order "gray"' : 'order "rgb" or "bgr"';
      const got = `"${preprocess.order}"`;
      throw new OptionError("preprocess", expectedGot("preprocess", `${order} for ${channels} channels`, got));
    }
    if (checkpoint.metadata.input_size === "open" && options.size === undefined) {
      guesses.push({ key: "size", message: `images of ${height}×${width} pixels, a size that the file leaves open` });
    }
    if (quantization !== undefined && (options.preprocess ?? options.mean ?? options.std) !== undefined) {
      const hint = "mean and deviation are in its first weights; quantize again with others";
      throw new OptionError(
        "preprocess",
        expectedGot("preprocess", "none for an int8 model, which has its own", "one", hint),
      );
    }
    const graph =
      quantization === undefined ? network.graph : toInt8(name, fold(network.graph), quantization, preprocess);
    checkWeights(name, graph, network.checkpoint);
    const strange = unexpectedTensors(graph, network.checkpoint);
    if (strange.length > 0 && options.arch === undefined) {
      const hint = "name the network with --arch to ignore it";
      throw new ModelError(
        "tensor-unused",
        expectedGot(name, `only tensors of ${network.arch}`, `also "${strange[0]}"`, hint),
        { subject: strange[0]! },
      );
    }
    if (strange.length > 0)
      guesses.push({
        key: "unused",
        message: `${strange.length} tensors left out that ${network.arch} does not have, such as "${strange[0]}"`,
      });
    const labels = options.labels ?? published ?? hints.labels ?? [];
    return closable({ source: name, ...network, graph, preprocess, labels, guesses });
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** An input's size as height and width. Throws `OptionError` unless both are whole numbers of pixels. */
export function checkSize(size: number | Sides): Sides {
  const sides = sidesOf(size);
  if (sides.length === 2 && sides.every((side) => Number.isInteger(side) && side >= 1)) return sides;
  const expected = "a whole number of pixels, 1 or more, or [height, width]";
  throw new OptionError("size", expectedGot("size", expected, `${size}`));
}

/** Whether a network was made for images that are not cropped: by its stem, or, of another family, by its input. */
function isOfSmallImages({ spec, graph }: Pick<Model, "spec" | "graph">): boolean {
  return spec === undefined ? inputShape(graph)[0] <= 64 : spec.stem === "cifar";
}

/**
 * The preset for a network whose preprocessing nobody describes. Keras's ResNets have He's, their second version its own:
 * `format` is "tfjs" for their layers' names.
 */
function defaultPreset({ spec, graph, checkpoint }: Pick<Model, "spec" | "graph" | "checkpoint">): PresetName {
  if (inputShape(graph)[2] === 1) return "gray";
  if (isOfSmallImages({ spec, graph })) return "cifar";
  if (checkpoint.metadata.format === "tfjs") return spec?.preact === true ? "keras-v2" : "caffe";
  return "torchvision-v1";
}

/** What is left to do to pixels of 0…1 for a graph that normalises them itself: nothing, or to make them 0…255. */
function ownNormalisation({ metadata }: Checkpoint, channels: number): Pick<Preprocess, "mean" | "std"> | undefined {
  const largest = Number(metadata.normalises_input);
  if (Number.isNaN(largest)) return undefined;
  return { mean: Array(channels).fill(0), std: Array(channels).fill(1 / largest) };
}

/** The network a checkpoint holds: its own graph, or the one that the hints name, or the one its tensors look like. */
async function networkOf(
  where: string,
  checkpoint: Checkpoint,
  {
    file,
    beside,
    known,
  }: { readonly file: ModelHints; readonly beside: ModelHints; readonly known: string | undefined },
  options: ModelOptions,
): Promise<Pick<Model, "arch" | "spec" | "graph" | "checkpoint" | "guesses">> {
  const held = checkpoint.graph ?? file.graph;
  const size = options.size ?? file.size ?? beside.size;
  const sides = size === undefined ? undefined : checkSize(size);
  if (held !== undefined) {
    const graph = sides === undefined ? held : resize(held, [...sides, 3]);
    const match = matchResnet(graph);
    if (match === undefined) return { arch: graph.name, spec: undefined, graph, checkpoint, guesses: [] };
    const named = rename(graph, checkpoint, match.rename);
    return { arch: nameOf(match.spec), spec: match.spec, ...named, guesses: [] };
  }
  const seen = recognise(where, checkpoint);
  const hints: Partial<ResNetSpec> = { ...beside.spec, ...file.spec };
  const named = options.arch ?? known ?? file.arch ?? beside.arch;
  // This project's own files name networks that need not be in the table, and describe them.
  const table = named === undefined || (options.arch === undefined && isWhole(hints)) ? undefined : resnetSpec(named);
  if (options.arch === undefined) checkHints(where, hints, seen.spec);
  const spec: ResNetSpec = {
    ...(table ?? { ...seen.spec, ...hints }),
    classes: seen.spec.classes,
    stride: options.stride ?? hints.stride ?? seen.spec.stride,
  };
  const epsilon = options.epsilon ?? file.epsilon ?? beside.epsilon ?? 1e-5;
  const [height, width] = sides ?? sidesOf(defaultSize(spec));
  const arch = named ?? seen.name;
  const graph = adapt(resnet(arch, spec, [height, width, 3], epsilon), checkpoint);
  const decided = new Set<GuessKey>();
  if ((table ?? hints).shortcut !== undefined) decided.add("shortcut");
  if ((options.stride ?? hints.stride) !== undefined) decided.add("stride");
  const guesses = seen.guesses.filter(({ key }) => !decided.has(key));
  return { arch, spec, graph, checkpoint, guesses };
}

function isWhole(spec: Partial<ResNetSpec>): spec is ResNetSpec {
  return spec.block !== undefined && spec.depths !== undefined && spec.preact !== undefined;
}

/** Throws when what the file says of itself and what its tensors are differ. */
function checkHints(where: string, hints: Partial<ResNetSpec>, seen: ResNetSpec): void {
  for (const key of ["block", "depths", "width", "classes", "stem", "squeeze", "preact"] as const) {
    const [said, is] = [JSON.stringify(hints[key]), JSON.stringify(seen[key])];
    if (hints[key] === undefined || said === is) continue;
    const hint = "the configuration is of another model; name the network with --arch to ignore it";
    throw new ModelError(
      "architecture",
      expectedGot(`${where}: configuration`, `${key} ${is}, as the tensors have it`, said, hint),
      { subject: key },
    );
  }
}

/** The network as this checkpoint has it: biases where there are any, no norm that was folded into its convolution. */
function adapt(graph: Graph, { tensors }: Checkpoint): Graph {
  const folded = new Map<string, string>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => folded.get(name) ?? name);
    const before = nodes.find(({ name }) => name === inputs[0]);
    if (node.op === "norm" && before?.op === "conv" && before.bias && !tensors.has(`${node.name}.weight`)) {
      folded.set(node.name, before.name);
    } else if (node.op === "conv" && tensors.has(`${node.name}.bias`)) nodes.push({ ...node, inputs, bias: true });
    else nodes.push({ ...node, inputs });
  }
  return { ...graph, nodes };
}

/** Weights inside the network that the graph has no use for: a sign that it is another network. */
function unexpectedTensors(graph: Graph, { tensors }: Checkpoint): readonly string[] {
  const wanted = new Set(paramsOf(graph).map(({ name }) => name));
  return [...tensors.keys()].filter((name) => /^(conv1|bn1|layer\d+)\./.test(name) && !wanted.has(name));
}

/** Graph and tensors under the names of the ResNet that the graph turned out to be. */
function rename(
  graph: Graph,
  checkpoint: Checkpoint,
  names: ReadonlyMap<string, string>,
): { readonly graph: Graph; readonly checkpoint: Checkpoint } {
  const to = (name: string): string => names.get(name) ?? name;
  const nodes = graph.nodes.map((node): Node => ({ ...node, name: to(node.name), inputs: node.inputs.map(to) }));
  const originals = new Map<string, string>();
  for (const name of checkpoint.tensors.keys()) {
    const dot = name.lastIndexOf(".");
    originals.set(`${to(name.slice(0, dot))}${name.slice(dot)}`, name);
  }
  const tensors = new Map([...originals].map(([name, original]) => [name, checkpoint.tensors.get(original)!]));
  const read = (name: string, into?: Uint8Array): Promise<Uint8Array> =>
    checkpoint.read(originals.get(name) ?? name, into);
  return { graph: { ...graph, nodes }, checkpoint: { ...checkpoint, tensors, read } };
}

/** A preset by its name, or a description of one's own, checked. Throws `OptionError`. */
export function checkPreset(preset: PresetName | PreprocessOptions): Preprocess {
  if (typeof preset === "string") {
    if (Object.hasOwn(PRESETS, preset)) return PRESETS[preset];
    const names = Object.keys(PRESETS).join(", ");
    throw new OptionError("preprocess", expectedGot("preprocess", `one of ${names}`, `"${preset}"`));
  }
  return checkPreprocess(preset, (field, expected, got) => {
    throw new OptionError(
      "preprocess",
      expectedGot(field === "" ? "preprocess" : `preprocess.${field}`, expected, got),
    );
  });
}

/** Class names from a JSON array, or an object from index to name; underscores are spaces. */
async function readLabels(folder: Folder, path: string): Promise<readonly string[]> {
  const file = await folder.open(path);
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(await file.read(0, file.size)));
    if (typeof parsed !== "object" || parsed === null) throw new SyntaxError("neither an array nor an object");
    const labels: string[] = [];
    for (const [index, label] of Object.entries(parsed)) labels[Number(index)] = String(label).replaceAll("_", " ");
    return labels;
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw new ModelError("metadata", expectedGot(file.name, "class names as JSON", String(error)), {
      subject: file.name,
    });
  } finally {
    await file.close();
  }
}
