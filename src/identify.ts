/**
 * Which network a checkpoint holds: its own graph, or the one that its description names, or the one that its tensors are
 * recognised as; its head, whatever it is called; and what the file has beside it.
 */
import type { Checkpoint, Guess, GuessKey } from "./checkpoint.ts";
import { expectedGot, ModelError, OptionError } from "./errors.ts";
import { ELSEWHERE } from "./formats/renamed.ts";
import { type Graph, type Node, outputNode } from "./graph.ts";
import type { Headed } from "./headed.ts";
import type { ModelHints } from "./models/metadata.ts";
import { featuresOf, nameOf, type Recognised, recognise } from "./models/recognise.ts";
import { defaultSize, RESNETS, type ResNetSpec, resnet, resnetSpec } from "./models/resnet.ts";
import { paramsOf } from "./ops/ops.ts";
import type { OutputKind } from "./output.ts";
import { checkSize, type Sides, sidesOf } from "./preprocess.ts";

/** Tensors of the network before its pooling. */
const TRUNK = /^(?:conv1|bn1|norm|layer\d+)\./;

/** What is said of a network: by its file, by files beside it, by the table of short names. */
export interface Said {
  readonly file: ModelHints;
  readonly beside: ModelHints;
  readonly known: string | undefined;
}

/** What a caller may say about a network that its file does not. */
export interface NetworkOptions {
  /** A name of `RESNETS`; recognised from the tensors when absent. Tensors that it does not have are then left out. */
  readonly arch?: string;
  /**
   * What the network's last numbers mean. When absent: as the file says, else the logit of yes or no for one number, and of
   * classes that exclude each other for several.
   */
  readonly output?: OutputKind;
  /** Where a bottleneck has its stride, when the file does not tell. */
  readonly stride?: "3x3" | "1x1";
  /** Of every batch norm, when the file does not tell; 1e-5. */
  readonly epsilon?: number;
  /** Of the input: one side of a square, or height and width; the architecture's own when absent. */
  readonly size?: number | Sides;
}

/** A checkpoint and the network that its tensors are of. */
export interface Network {
  readonly arch: string;
  /** Absent for a network of an ONNX file that is no ResNet of the table. */
  readonly spec: ResNetSpec | undefined;
  /** As trained, nothing folded; an int8 network folded, with its steps. */
  readonly graph: Graph;
  readonly checkpoint: Checkpoint;
  /** What was assumed. */
  readonly guesses: readonly Guess[];
}

/**
 * The network of a checkpoint. What the caller's options say comes first, then the file, then what stands beside it.
 *
 * @throws ModelError for tensors of no network known here, or of another than is said; OptionError for an option out of range
 */
export async function identify(
  where: string,
  checkpoint: Checkpoint,
  said: Said,
  options: NetworkOptions,
): Promise<Network> {
  const held = checkpoint.graph ?? said.file.graph;
  const size = options.size ?? said.file.size ?? said.beside.size;
  const sides = size === undefined ? undefined : checkSize(size);
  const network =
    held === undefined
      ? await recognised(where, checkpoint, said, options, sides)
      : await networkOfGraph(checkpoint, held, sides);
  const guesses = [...(checkpoint.guesses ?? []), ...network.guesses];
  const isHeadless = outputNode(network.graph).op === "globalpool";
  const kind = options.output ?? said.file.output ?? network.graph.output ?? said.beside.output;
  if (kind !== undefined) return { ...network, guesses, graph: { ...network.graph, output: kind } };
  const [output, guess] = outputOf(network.graph, isHeadless, checkpoint.contrastive === true);
  if (guess !== undefined) guesses.push({ key: "output", message: guess });
  return { ...network, guesses, graph: { ...network.graph, output } };
}

/** What the last numbers mean where nothing is said of it. */
function outputOf(graph: Graph, isHeadless: boolean, isContrastive: boolean): readonly [OutputKind, string?] {
  if (isHeadless) return ["none"];
  if (isContrastive) return ["none", "embeddings, not classes: the file is of contrastive training"];
  if (outputNode(graph).shape[2] > 1) return ["softmax"];
  return ["sigmoid", "one number for each image is the logit of yes or no"];
}

async function networkOfGraph(
  checkpoint: Checkpoint,
  held: Graph,
  sides: readonly [number, number] | undefined,
): Promise<Network> {
  const { heldNetwork } = await import("./held-graph.ts");
  return heldNetwork(checkpoint, held, sides);
}

async function recognised(
  where: string,
  checkpoint: Checkpoint,
  { file, beside, known }: Said,
  options: NetworkOptions,
  sides: readonly [number, number] | undefined,
): Promise<Network> {
  const hints: Partial<ResNetSpec> = { ...beside.spec, ...file.spec };
  const named = options.arch ?? known ?? file.arch ?? beside.arch;
  // This project's own files name networks that need not be in the table, and describe them.
  const isInTable = named !== undefined && (options.arch !== undefined || !isWhole(hints));
  const table = isInTable ? tableSpec(where, named, checkpoint, options.arch) : undefined;
  const seen = see(where, checkpoint, options.arch === undefined ? undefined : table);
  const { classes: saidClasses, ...saidTrunk } = hints;
  if (options.arch === undefined) checkHints(where, saidTrunk, seen.spec);
  const base = { ...(table ?? { ...seen.spec, ...hints }), stride: options.stride ?? hints.stride ?? seen.spec.stride };
  const epsilon = options.epsilon ?? file.epsilon ?? beside.epsilon ?? 1e-5;
  const [height, width] = sides ?? sidesOf(defaultSize(base));
  const arch = named ?? seen.name;
  const input = [height, width, channelsOf(where, checkpoint)] as const;
  const whole = adapt(resnet(arch, { ...base, classes: 1 }, input, epsilon), checkpoint);
  const features = featuresOf(base);
  const headed = plainHead(whole, checkpoint, features) ?? (await otherHead(where, whole, checkpoint, features));
  const { graph, classes = features } = headed;
  if (saidClasses !== undefined && headed.classes !== undefined && options.arch === undefined) {
    checkHints(where, { classes: saidClasses }, { ...base, classes });
  }
  const decided = new Set<GuessKey>();
  if ((table ?? hints).shortcut !== undefined) decided.add("shortcut");
  if ((options.stride ?? hints.stride) !== undefined) decided.add("stride");
  if ((table ?? hints).stem !== undefined) decided.add("stem");
  if (named !== undefined || hints.depths !== undefined) decided.add("layers");
  const guesses = [...seen.guesses.filter(({ key }) => !decided.has(key)), ...headed.guesses];
  // A head of several layers is in no specification: a file of this project's then holds the graph.
  const spec = headed.layers > 1 ? undefined : { ...base, classes };
  return { arch, spec, graph, checkpoint: headed.checkpoint, guesses };
}

/** With the head that most files have, one matrix called `fc`; undefined where there is another, or more besides. */
function plainHead(whole: Graph, checkpoint: Checkpoint, features: number): Headed | undefined {
  const { tensors } = checkpoint;
  const [classes = 0, inputs, ...rest] = tensors.get("fc.weight")?.shape ?? [];
  const isAll = [...tensors.keys()].every(
    (name) => TRUNK.test(name) || /^fc\.(?:weight|bias|weight_scale)$/.test(name),
  );
  const last = whole.nodes.at(-1)!;
  if (inputs !== features || rest.length > 0 || !isAll || last.op !== "linear") return undefined;
  const fc: Node = { ...last, shape: [1, 1, classes], channels: features, bias: tensors.has("fc.bias") };
  return { graph: { ...whole, nodes: [...whole.nodes.slice(0, -1), fc] }, checkpoint, classes, layers: 1, guesses: [] };
}

async function otherHead(where: string, whole: Graph, checkpoint: Checkpoint, features: number): Promise<Headed> {
  const { headedBy } = await import("./headed.ts");
  return headedBy(where, whole, checkpoint, features, (name) => TRUNK.test(name));
}

/** What the tensors look like; with `given`, a network that the caller named, they need not look like anything. */
function see(where: string, checkpoint: Checkpoint, given: ResNetSpec | undefined): Recognised {
  if (given === undefined) return recognise(where, checkpoint);
  try {
    return recognise(where, checkpoint);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    return { name: nameOf(given), spec: given, guesses: [] };
  }
}

/**
 * The specification that a name stands for: the table's, or, of a network that is not in it, the one under whose name it is
 * recognised (`basic-1-1`). A name that comes from a file and is neither is the file's fault.
 */
function tableSpec(where: string, name: string, checkpoint: Checkpoint, option: string | undefined): ResNetSpec {
  if (Object.hasOwn(RESNETS, name)) return resnetSpec(name);
  try {
    const seen = recognise(where, checkpoint);
    return seen.name === name ? seen.spec : resnetSpec(name);
  } catch (error) {
    if (option !== undefined || !(error instanceof OptionError)) throw error;
    const expected = "a network of this project's table";
    const hint = "name one that has the same tensors with the option arch";
    throw new ModelError("architecture", expectedGot(`${where}: configuration`, expected, `"${name}"`, hint), {
      subject: name,
    });
  }
}

/** Channels of the images: one or three. */
function channelsOf(where: string, { tensors }: Checkpoint): number {
  const name = tensors.has("conv1.0.weight") ? "conv1.0.weight" : "conv1.weight";
  const channels = tensors.get(name)?.shape[1] ?? 3;
  if (channels === 1 || channels === 3) return channels;
  const got = `${channels} in "${name}"`;
  throw new ModelError("unsupported", expectedGot(where, "images of 3 channels, or of 1 (gray)", got), {
    subject: name,
  });
}

/**
 * What the file holds and the network does not use. Counters and other integers are no weights; what lies in other dicts is said.
 *
 * @param isNamed whether the caller named the network: tensors left out are then announced, not refused
 * @throws ModelError naming the first tensor that would be left out
 */
export function leftOver(
  where: string,
  { arch, checkpoint }: Network,
  graph: Graph,
  isNamed: boolean,
): readonly Guess[] {
  const used = new Set(paramsOf(graph).map(({ name }) => name));
  const original = (name: string): string => checkpoint.originalName?.(name) ?? name;
  const rest = [...checkpoint.tensors].filter(([name, { dtype }]) => !used.has(name) && /^B?F\d/.test(dtype));
  const unused = rest.filter(([name]) => !name.startsWith(ELSEWHERE)).map(([name]) => original(name));
  const elsewhere = rest.filter(([name, { shape }]) => name.startsWith(ELSEWHERE) && shape.length > 1);
  const guesses: Guess[] = [];
  if (elsewhere.length > 0) {
    const example = original(elsewhere[0]![0]);
    guesses.push({
      key: "unused",
      message: `${elsewhere.length} tensors beside the network left out, such as "${example}"`,
    });
  }
  if (unused.length === 0) return guesses;
  const [first] = unused as [string];
  if (!isNamed) {
    const hint = `${unused.length} tensors are not of ${arch}; the option arch with ${arch} leaves them out, which may change the answers`;
    throw new ModelError("tensor-unused", expectedGot(where, `only tensors of ${arch}`, `also "${first}"`, hint), {
      subject: first,
    });
  }
  const message = `${unused.length} tensors left out that ${arch} does not have: ${unused
    .slice(0, 8)
    .map((name) => `"${name}"`)
    .join(", ")}`;
  return [...guesses, { key: "unused", message: unused.length > 8 ? `${message} …` : message }];
}

function isWhole(spec: Partial<ResNetSpec>): spec is ResNetSpec {
  return spec.block !== undefined && spec.depths !== undefined && spec.preact !== undefined;
}

/** Throws when what the file says of itself and what its tensors are differ. */
function checkHints(where: string, hints: Partial<ResNetSpec>, seen: ResNetSpec): void {
  for (const key of ["block", "depths", "width", "classes", "stem", "squeeze", "preact"] as const) {
    const [said, is] = [JSON.stringify(hints[key]), JSON.stringify(seen[key])];
    if (hints[key] === undefined || said === is) continue;
    const hint = "the configuration is of another model; name the network with the option arch to ignore it";
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
  const adapted = new Map<string, Node>();
  for (const node of graph.nodes) {
    const { name } = node;
    const inputs = node.inputs.map((input) => folded.get(input) ?? input);
    const before = adapted.get(inputs[0] ?? "");
    if (node.op === "norm" && before?.op === "conv" && before.bias && !tensors.has(`${name}.weight`)) {
      folded.set(name, before.name);
    } else if (node.op === "conv" && !node.bias && tensors.has(`${name}.bias`))
      adapted.set(name, { ...node, inputs, bias: true });
    else adapted.set(name, { ...node, inputs });
  }
  return { ...graph, nodes: [...adapted.values()] };
}
