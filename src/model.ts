/**
 * A model before any of it is in wasm memory: what a source turned out to be. `inspect` stops here, `load` goes on.
 */
import { type ByteSource, type Folder, fromBytes } from "./bytes.ts";
import { openCheckpoint } from "./formats/open.ts";
import type { Graph, Shape } from "./graph.ts";
import { type Located, locate, type Progress } from "./hub.ts";
import { PRESETS, type Preprocess, type PresetName, sized, type Triple } from "./image.ts";
import { PRETRAINED, type Pretrained } from "./models/pretrained.ts";
import { recognise } from "./models/recognise.ts";
import { type ResNetSpec, resnet, resnetSpec, usualSize } from "./models/resnet.ts";
import type { Runtime } from "./runtime.ts";
import { type Checkpoint, complaint, ModelError } from "./tensor.ts";
import { checkWeights } from "./weights.ts";

/** What a caller may say about a model that its file does not. */
export interface ModelOptions {
  /** A name of `RESNETS`; recognised from the tensors when absent. */
  readonly arch?: string;
  /** Where a bottleneck has its stride, when the file does not tell. */
  readonly stride?: "3x3" | "1x1";
  /** Of every batch norm, when the file does not tell; 1e-5. */
  readonly epsilon?: number;
  /** Side of the square input; the architecture's own when absent. */
  readonly size?: number;
  /** How pixels become the input. */
  readonly preprocess?: PresetName | Preprocess;
  /** Instead of the preset's: of pixels scaled to 0…1, in the order R, G, B. */
  readonly mean?: Triple;
  readonly std?: Triple;
  /** Class names, by index. */
  readonly labels?: readonly string[];
  /** Folder for downloads instead of the user's cache folder. */
  readonly cache?: string;
  /** Never touch the network. */
  readonly offline?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** A checked model: its network, its weights not yet read. */
export interface Model {
  /** The source as the caller named it. */
  readonly source: string;
  readonly arch: string;
  readonly spec: ResNetSpec;
  /** As trained, nothing folded. */
  readonly graph: Graph;
  readonly checkpoint: Checkpoint;
  readonly preprocess: Preprocess;
  readonly labels: readonly string[];
  /** What was assumed. */
  readonly guesses: readonly string[];
}

/** A source's checkpoint and, where it has a short name, what is known of it. */
async function openSource(
  source: string | Uint8Array,
  options: ModelOptions,
  runtime: Runtime,
): Promise<{ name: string; located: Located; known: Pretrained | undefined }> {
  if (typeof source !== "string") {
    const folder: Folder = { name: "bytes", open: async (): Promise<ByteSource> => fromBytes("bytes", source) };
    return { name: "bytes", located: { folder, entry: "" }, known: undefined };
  }
  const known = Object.hasOwn(PRETRAINED, source) ? PRETRAINED[source] : undefined;
  const located = await locate(known?.source ?? source, runtime, {
    ...options,
    ...(known === undefined ? {} : { integrity: known.integrity }),
  });
  return { name: source, located, known };
}

/**
 * Finds a model, opens and checks it, without reading its weights.
 *
 * @param source a short name (`resnet50`), a path, `npm:package@version/path`, or the bytes of a safetensors file
 * @throws ModelError when there is no model or it is not what it says; RangeError for an option out of range
 */
export async function openModel(source: string | Uint8Array, options: ModelOptions, runtime: Runtime): Promise<Model> {
  const { name, located, known } = await openSource(source, options, runtime);
  const checkpoint = await openCheckpoint(located.folder, located.entry);
  try {
    const seen = recognise(name, checkpoint);
    const arch = options.arch ?? known?.arch ?? seen.name;
    const told = options.arch ?? known?.arch;
    // Tensors tell the number of classes and the file the stride; a name tells the rest.
    const spec: ResNetSpec = {
      ...(told === undefined ? seen.spec : { ...resnetSpec(told), classes: seen.spec.classes }),
      stride: options.stride ?? seen.spec.stride,
    };
    const size = options.size ?? usualSize(spec);
    if (!Number.isInteger(size) || size < 1) {
      throw new RangeError(complaint("size", "a whole number of pixels, 1 or more", `${size}`));
    }
    const epsilon = options.epsilon ?? Number(checkpoint.metadata.norm_epsilon ?? 1e-5);
    const shape: Shape = [size, size, 3];
    const graph = withBiases(resnet(arch, spec, shape, epsilon), checkpoint);
    checkWeights(name, graph, checkpoint);
    const way = options.preprocess ?? known?.preprocess;
    const preset = presetOf(way ?? (spec.stem === "cifar" ? "cifar" : "torchvision-v1"));
    const guesses = [...seen.guesses];
    if (way === undefined)
      guesses.push(`preprocessing of the ${spec.stem === "cifar" ? "cifar" : "torchvision-v1"} preset`);
    return {
      source: name,
      arch,
      spec,
      graph,
      checkpoint,
      preprocess: sized({ ...preset, mean: options.mean ?? preset.mean, std: options.std ?? preset.std }, size),
      labels: options.labels ?? (known === undefined ? [] : await readLabels(located.folder, known.labels)),
      guesses: told === undefined ? guesses : guesses.filter((guess) => !guess.startsWith("shortcuts")),
    };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** Keras's convolutions have a bias before their batch norm; PyTorch's have none. */
function withBiases(graph: Graph, { tensors }: Checkpoint): Graph {
  const nodes = graph.nodes.map((node) =>
    node.op === "conv" && tensors.has(`${node.name}.bias`) ? { ...node, bias: true } : node,
  );
  return { ...graph, nodes };
}

function presetOf(preset: PresetName | Preprocess): Preprocess {
  if (typeof preset !== "string") return preset;
  if (Object.hasOwn(PRESETS, preset)) return PRESETS[preset];
  throw new RangeError(complaint("preprocess", `one of ${Object.keys(PRESETS).join(", ")}`, `"${preset}"`));
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
    throw new ModelError(complaint(file.name, "class names as JSON", String(error)));
  } finally {
    await file.close();
  }
}
