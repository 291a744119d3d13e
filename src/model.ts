/**
 * A model before any of it is in wasm memory: what a source turned out to be. `inspect` stops here, `load` goes on.
 */
import { untilAborted } from "./abort.ts";
import type { Folder } from "./bytes.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { expectedGot, ModelError, OptionError } from "./errors.ts";
import { fold } from "./fold.ts";
import { type Format, openCheckpoint } from "./formats/open.ts";
import { inputShape, outputNode } from "./graph.ts";
import { identify, leftOver, type Network, type NetworkOptions } from "./identify.ts";
import { readQuantization, toInt8 } from "./int8.ts";
import { isOwn, readMetadata } from "./models/metadata.ts";
import type { Pretrained } from "./models/pretrained.ts";
import { classCount, OUTPUT_KINDS, type OutputKind } from "./output.ts";
import {
  channelsOf,
  checkPreprocess,
  PRESETS,
  type Preprocess,
  type PreprocessOptions,
  type PresetName,
  sized,
} from "./preprocess.ts";
import type { Runtime } from "./runtime.ts";
import { type DownloadOptions, type FileSource, findSource } from "./source.ts";
import { checkWeights } from "./weights.ts";

/** What a caller may say about a model that its file does not. */
export interface ModelOptions extends DownloadOptions, NetworkOptions {
  /** Which network, where the file holds several: part of its tensors' names, such as `ema` of `ema.conv1.weight`. */
  readonly key?: string;
  /** How pixels become the input. */
  readonly preprocess?: PresetName | PreprocessOptions;
  /** Instead of the preset's: of pixels scaled to 0…1, in the order R, G, B, or one number for gray. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** `true` resizes images to the input's size: proportions are lost, and nothing is cropped. */
  readonly squash?: boolean;
  /** Class names, by index. */
  readonly labels?: readonly string[];
  /** Weight formats to read, instead of the runtime's own. */
  readonly formats?: readonly Format[];
}

/** A checked model: its network, its weights not yet read. */
export interface Model extends Network {
  /** The source as the caller named it. */
  readonly source: string;
  readonly preprocess: Preprocess;
  readonly labels: readonly string[];
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
  const { signal } = options;
  signal?.throwIfAborted();
  if (isModel(source)) return source;
  if (options.output !== undefined) checkKind(options.output);
  return untilAborted(openFile(runtime, source, options), signal, (model) => model.close());
}

async function openFile(runtime: Runtime, source: FileSource, options: ModelOptions): Promise<Model> {
  const { name, located, known, opened: onOpened } = await findSource(runtime, source, options);
  const opened = await openCheckpoint(located.folder, located.entry, options.formats ?? runtime.formats, options.key);
  try {
    const quantization = isOwn(opened.metadata) ? readQuantization(name, opened.metadata) : undefined;
    const checkpoint = quantization === undefined ? await widened(name, opened) : opened;
    const file = await readMetadata(name, checkpoint.metadata);
    // Beside a file that says all itself nothing is asked for: in a page, what is not there would be an error in its console.
    const isWhole = isOwn(opened.metadata) && file.preprocess !== undefined && file.labels !== undefined;
    const hints = isWhole ? undefined : await located.hints?.({ preprocess: options.preprocess === undefined });
    const beside = hints ?? { said: [] };
    let network = await identify(name, checkpoint, { file, beside, known: known?.arch }, options);
    const said = { ...beside, ...file };
    const described = options.preprocess ?? known?.preprocess ?? said.preprocess;
    const assumed = defaultPreset(network);
    const preset = checkPreset(described ?? assumed);
    const guesses = [...network.guesses];
    guesses.push(...(located.guesses ?? []));
    if (described === undefined) guesses.push({ key: "preprocess", message: `preprocessing of the ${assumed} preset` });
    const classes = outputNode(network.graph).shape[2];
    // What a configuration says of classes is about a head, which this file may not have.
    const isNamed = (labels: readonly string[]): boolean => classCount(classes, labels) === labels.length;
    const named = network.graph.output === "none" && !isNamed(said.labels ?? []) ? undefined : said.labels;
    const expected = classes === 1 ? "1, or 2 for no and yes" : `${classes}, one for each class`;
    if (named !== undefined && !isNamed(named)) {
      const message = expectedGot(`${name}: labels`, expected, `${named.length}`);
      throw new ModelError("metadata", message, { subject: "labels" });
    }
    if (options.labels !== undefined && !isNamed(options.labels)) {
      throw new OptionError("labels", expectedGot("labels", expected, `${options.labels.length}`));
    }
    if (classes === 1 && network.graph.output === "softmax") {
      if (options.output !== undefined) {
        const hint = "softmax of one number is always 1";
        throw new OptionError("output", expectedGot("output", "sigmoid or none for one number", "softmax", hint));
      }
      network = { ...network, graph: { ...network.graph, output: "sigmoid" } };
      guesses.push({ key: "output", message: "one number for each image is the logit of yes or no, not a softmax" });
    }
    const published = known === undefined ? undefined : await publishedLabels(located.folder, known);
    const [height, width, channels] = inputShape(network.graph);
    const { mean, std } = ownNormalisation(checkpoint, channelsOf(preset)) ?? preset;
    const normalised = checkPreset({ ...preset, mean: options.mean ?? mean, std: options.std ?? std });
    const fitted = sized(normalised, [height, width]);
    const { squash = fitted.squash } = options;
    const preprocess =
      squash === fitted.squash ? fitted : { ...fitted, squash, ...(squash && { resize: fitted.crop }) };
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
    guesses.push(...leftOver(name, network, graph, options.arch !== undefined));
    const labels = options.labels ?? published ?? named ?? [];
    onOpened?.();
    return closable({ source: name, ...network, graph, preprocess, labels, guesses });
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** The checkpoint with weights that are stored in int8, where it has any, as f32. */
async function widened(where: string, inner: Checkpoint): Promise<Checkpoint> {
  if (![...inner.tensors.values()].some(({ dtype }) => dtype === "I8")) return inner;
  const { dequantized } = await import("./formats/dequantize.ts");
  return dequantized(where, inner);
}

function checkKind(kind: OutputKind): void {
  if (OUTPUT_KINDS.includes(kind)) return;
  throw new OptionError("output", expectedGot("output", OUTPUT_KINDS.join(", "), JSON.stringify(kind)));
}

/** Whether a network was made for images that are not cropped: by its stem, and in another family by its input too. */
function isOfSmallImages({ spec, graph }: Pick<Model, "spec" | "graph">): boolean {
  const stem = graph.nodes.find((node) => node.op === "conv");
  return spec === undefined ? inputShape(graph)[0] <= 64 && stem?.stride[0] === 1 : spec.stem === "cifar";
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

/** The class names of a short name. */
async function publishedLabels(folder: Folder, { labels }: Pretrained): Promise<readonly string[]> {
  if (labels !== undefined) return readLabels(folder, labels);
  const { imagenetLabels } = await import("./models/imagenet-labels.ts");
  return imagenetLabels();
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
