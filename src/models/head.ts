/**
 * The layers behind the pooling, whatever they are called: one linear layer, or an `nn.Sequential` of linear layers, batch
 * norms and layers without weights. The file holds no layers without weights; where one can have been, a ReLU is assumed and
 * announced. Dropout does nothing in inference.
 */
import type { Checkpoint, Guess } from "../checkpoint.ts";
import { AROUND, ELSEWHERE } from "../formats/renamed.ts";
import { type Graph, NO_CLAMP, type Node, outputNode, RELU, type Shape } from "../graph.ts";
import type { TensorInfo } from "../tensor.ts";

/** A layer with weights. */
interface Layer {
  /** Its module in the checkpoint: `fc`, `../classifier.1`. */
  readonly module: string;
  readonly kind: "linear" | "norm";
  readonly inputs: number;
  readonly outputs: number;
  readonly bias: boolean;
  /** A linear layer written as a 1×1 convolution: a classifier may be one, but several are more likely an attention module. */
  readonly isConv: boolean;
  /** Number in the `nn.Sequential`, or at the end of its name. */
  readonly index: number | undefined;
}

/** What comes behind the pooling. */
export interface Head {
  readonly layers: readonly Layer[];
  /** Numbers that it puts out. */
  readonly classes: number;
  readonly guesses: readonly Guess[];
}

/** Names of classifiers, the most usual first: where several fit, the first is taken, and the others are tensors left over. */
const NAMES = /(?:^|[./])(fc|classifier|head|linear|last_linear|fc_out|output|logits)(?:\.\d+)?$/;
const PREFERRED = ["fc", "classifier", "head", "linear", "last_linear", "fc_out", "output", "logits"];

/**
 * The layers that can follow `features` channels of one pixel; undefined where the file has none.
 *
 * @param isTrunk whether a tensor belongs to the network before the pooling
 */
export function findHead(
  { tensors }: Checkpoint,
  features: number,
  isTrunk: (name: string) => boolean,
): Head | undefined {
  const groups = new Map<string, Layer[]>();
  for (const layer of layersOf(tensors, isTrunk)) {
    const group = layer.index === undefined ? layer.module : `${sequenceOf(layer.module)}#`;
    groups.set(group, [...(groups.get(group) ?? []), layer]);
  }
  const chains = [...groups.values()]
    .map((layers) => layers.sort((a, b) => (a.index ?? 0) - (b.index ?? 0)))
    .filter((layers) => isChain(layers, features))
    .sort((a, b) => rank(a[0]!.module) - rank(b[0]!.module));
  const [layers] = chains;
  if (layers === undefined) return undefined;
  return { layers, classes: layers.at(-1)!.outputs, guesses: guessesOf(layers) };
}

/** Every linear layer and norm outside of the trunk, in the file's order. */
function layersOf(tensors: ReadonlyMap<string, TensorInfo>, isTrunk: (name: string) => boolean): readonly Layer[] {
  const layers: Layer[] = [];
  for (const [name, { shape }] of tensors) {
    if (isTrunk(name)) continue;
    const module = name.slice(0, name.lastIndexOf("."));
    const bias = tensors.has(`${module}.bias`);
    const [outputs = 0, inputs = 0, h = 1, w = 1] = shape;
    const index = /(\d+)$/.exec(module)?.[1];
    const common = { module, outputs, bias, index: index === undefined ? undefined : Number(index) };
    if (name.endsWith(".weight") && (shape.length === 2 || (shape.length === 4 && h * w === 1))) {
      layers.push({ ...common, kind: "linear", inputs, isConv: shape.length === 4 });
    } else if (name.endsWith(".running_mean") && shape.length === 1 && tensors.has(`${module}.weight`) && bias) {
      layers.push({ ...common, kind: "norm", inputs: outputs, isConv: false });
    }
  }
  return layers;
}

/** What the layers of one sequence have in common: `fc` of `fc.1`, `fc` of `fc1`. */
function sequenceOf(module: string): string {
  return module.replace(/\.?\d+$/, "");
}

function isChain(layers: readonly Layer[], features: number): boolean {
  let width = features;
  for (const { inputs, outputs } of layers) {
    if (inputs !== width) return false;
    width = outputs;
  }
  return layers.some(({ kind }) => kind === "linear") && (layers.length === 1 || !layers.some(({ isConv }) => isConv));
}

/** Lower is better: inside the network, then around it, then elsewhere in the file; well-known names first. */
function rank(module: string): number {
  const place = module.startsWith(ELSEWHERE) ? 2 : module.startsWith(AROUND) ? 1 : 0;
  const name = PREFERRED.indexOf(NAMES.exec(module)?.[1] ?? "");
  return 100 * place + (name < 0 ? PREFERRED.length : name);
}

/** Before which layers a ReLU is assumed: in the first gap between the numbers of two linear layers. */
function activated(layers: readonly Layer[]): readonly boolean[] {
  let open = false;
  return layers.map((layer, i) => {
    const before = layers[i - 1];
    if (before?.kind === "linear") open = true;
    const isGap = before !== undefined && (layer.index ?? 0) > (before.index ?? 0) + 1;
    // `fc1` and `fc2` are attributes: what happens between them is in no number.
    const isNamed = before !== undefined && !/\.\d+$/.test(layer.module) && layer.kind === "linear";
    if (!open || !(isGap || isNamed)) return false;
    open = false;
    return true;
  });
}

function guessesOf(layers: readonly Layer[]): readonly Guess[] {
  const guesses: Guess[] = [];
  const [first] = layers as [Layer];
  if (first.module.startsWith(ELSEWHERE)) {
    guesses.push({ key: "head", message: `the classifier "${first.module.slice(2)}", which the file holds apart` });
  }
  if (layers.length < 2) return guesses;
  const relus = activated(layers).flatMap((has, i) => (has ? [`"${layers[i]!.module}"`] : []));
  const shape = [...layers.filter(({ kind }) => kind === "linear").map(({ outputs }) => outputs)].join(", ");
  const between = relus.length === 0 ? "no activation between them" : `a ReLU before ${relus.join(" and ")}`;
  const message = `the classifier's layers (${shape}) in the order of their numbers, with ${between}`;
  return [...guesses, { key: "head", message }];
}

/** The graph with this head in place of its last node. Its tensors are called `fc`, or `fc.<i>` where there are several layers. */
export function withHead(graph: Graph, { layers }: Head): Graph {
  const trunk = graph.nodes.slice(0, -1);
  const nodes: Node[] = [];
  let before = trunk.at(-1)!.name;
  const push = (node: Node): void => {
    nodes.push(node);
    before = node.name;
  };
  const relus = activated(layers);
  layers.forEach((layer, i) => {
    const name = nameOf(layers, i);
    const shape: Shape = [1, 1, layer.outputs];
    if (relus[i]) {
      const width: Shape = [1, 1, layer.inputs];
      push({ op: "clamp", name: `${name}.relu`, inputs: [before], shape: width, clamp: RELU });
    }
    const inputs = [before];
    const { bias, inputs: channels } = layer;
    if (layer.kind === "norm") push({ op: "norm", name, inputs, shape, epsilon: epsilonOf(graph), clamp: NO_CLAMP });
    else if (i === layers.length - 1) push({ op: "linear", name, inputs, shape, channels, bias });
    else {
      // Inside a network a linear layer is a convolution of one pixel.
      const window = { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pads: [0, 0, 0, 0] } as const;
      push({ op: "conv", name, inputs, shape, ...window, groups: 1, channels, bias, clamp: NO_CLAMP, residual: false });
    }
  });
  return { ...graph, nodes: [...trunk, ...nodes] };
}

/** The graph without its last node: its output is the pooled features. */
export function withoutHead(graph: Graph): Graph {
  return { ...graph, nodes: graph.nodes.slice(0, -1) };
}

/** From the checkpoint's names of the head's modules to those of its nodes. */
export function headNames({ layers }: Head): ReadonlyMap<string, string> {
  return new Map(layers.map(({ module }, i) => [module, nameOf(layers, i)]));
}

function nameOf(layers: readonly Layer[], i: number): string {
  return layers.length === 1 ? "fc" : `fc.${layers[i]!.index ?? i}`;
}

function epsilonOf(graph: Graph): number {
  return graph.nodes.find((node) => node.op === "norm")?.epsilon ?? 1e-5;
}

/** A head's matrix as its node has it: `[out, in]` at the end, `[out, in, 1, 1]` before. */
export function asHeadWeight(graph: Graph, node: string, info: TensorInfo): TensorInfo {
  const [outputs, inputs, ...rest] = info.shape;
  const isLast = node === outputNode(graph).name;
  if (info.shape.length < 2 || rest.length === (isLast ? 0 : 2)) return info;
  const shape = isLast ? [outputs!, inputs!] : [outputs!, inputs!, 1, 1];
  if (info.strides === undefined) return { dtype: info.dtype, shape };
  const [so, si] = info.strides;
  return { dtype: info.dtype, shape, strides: isLast ? [so!, si!] : [so!, si!, 1, 1] };
}
