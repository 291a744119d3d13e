/**
 * The residual networks of He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), their plain
 * twins, wide ResNets (1605.07146) and ResNeXt (1611.05431): one table, one builder. Node names are torchvision's.
 */
import { type ConvNode, type Graph, NO_CLAMP, type Node, type Pads, RELU, type Shape, windowed } from "../graph.ts";
import { complaint } from "../tensor.ts";

/**
 * What a shortcut does where shapes change: `A` pads new channels with zeros, `B` projects, `C` projects in every block,
 * `none` leaves all shortcuts out: the plain network the paper compares with.
 */
export type Shortcut = "A" | "B" | "C" | "none";

/** One residual network, short of its input size. */
export interface ResNetSpec {
  /** `basic`: 3×3, 3×3. `bottleneck`: 1×1, 3×3, 1×1 with four times the channels at its end. */
  readonly block: "basic" | "bottleneck";
  /** Blocks in each stage. */
  readonly depths: readonly number[];
  /** `imagenet`: 7×7 stride 2 and a max pool. `cifar`: one 3×3. */
  readonly stem: "imagenet" | "cifar";
  /** Channels of the first stage; each later stage has twice as many. */
  readonly width: number;
  readonly shortcut: Shortcut;
  /** Groups of the bottleneck's 3×3, and channels of each group per 64 channels of width (ResNeXt, wide ResNet). */
  readonly groups: number;
  readonly groupWidth: number;
  /** Where a bottleneck has its stride: on the 3×3 (v1.5, torchvision) or on the first 1×1 (v1, as published). */
  readonly stride: "3x3" | "1x1";
  readonly classes: number;
}

const IMAGENET = {
  stem: "imagenet",
  width: 64,
  shortcut: "B",
  groups: 1,
  groupWidth: 64,
  stride: "3x3",
  classes: 1000,
} as const;

function basic(...depths: number[]): ResNetSpec {
  return { ...IMAGENET, block: "basic", depths };
}

function bottleneck(...depths: number[]): ResNetSpec {
  return { ...IMAGENET, block: "bottleneck", depths };
}

/** 6n + 2 layers in three stages of n blocks (section 4.2 of the paper). */
function cifar(depth: number): ResNetSpec {
  const n = (depth - 2) / 6;
  return { ...basic(n, n, n), stem: "cifar", width: 16, shortcut: "A", classes: 10 };
}

function plain(spec: ResNetSpec): ResNetSpec {
  return { ...spec, shortcut: "none" };
}

/** Every variant this project knows by name. */
export const RESNETS: Readonly<Record<string, ResNetSpec>> = {
  resnet18: basic(2, 2, 2, 2),
  resnet34: basic(3, 4, 6, 3),
  resnet50: bottleneck(3, 4, 6, 3),
  resnet101: bottleneck(3, 4, 23, 3),
  resnet152: bottleneck(3, 8, 36, 3),
  wide_resnet50_2: { ...bottleneck(3, 4, 6, 3), groupWidth: 128 },
  wide_resnet101_2: { ...bottleneck(3, 4, 23, 3), groupWidth: 128 },
  resnext50_32x4d: { ...bottleneck(3, 4, 6, 3), groups: 32, groupWidth: 4 },
  resnext101_32x8d: { ...bottleneck(3, 4, 23, 3), groups: 32, groupWidth: 8 },
  plain18: plain(basic(2, 2, 2, 2)),
  plain34: plain(basic(3, 4, 6, 3)),
  resnet20: cifar(20),
  resnet32: cifar(32),
  resnet44: cifar(44),
  resnet56: cifar(56),
  resnet110: cifar(110),
  resnet1202: cifar(1202),
  plain20: plain(cifar(20)),
  plain32: plain(cifar(32)),
  plain44: plain(cifar(44)),
  plain56: plain(cifar(56)),
  plain110: plain(cifar(110)),
};

/** The table's entry. Throws `RangeError` for a name it does not have. */
export function resnetSpec(name: string): ResNetSpec {
  const spec = RESNETS[name];
  if (spec === undefined) {
    throw new RangeError(complaint("arch", `one of ${Object.keys(RESNETS).join(", ")}`, `"${name}"`));
  }
  return spec;
}

/** Side of the square input the paper used: 224, or 32 for the CIFAR networks. */
export function usualSize(spec: ResNetSpec): number {
  return spec.stem === "cifar" ? 32 : 224;
}

/**
 * The network as a graph, as it is trained: convolution, batch norm and ReLU each a node.
 *
 * @param name what to call it
 * @param input `[h, w, 3]`; defaults to the paper's
 * @param epsilon of every batch norm; 1e-5 is PyTorch's
 */
export function resnet(
  name: string,
  spec: ResNetSpec,
  input: Shape = [usualSize(spec), usualSize(spec), 3],
  epsilon = 1e-5,
): Graph {
  const nodes: Node[] = [];
  const add = <N extends Node>(node: N): N => {
    nodes.push(node);
    return node;
  };

  const conv = (label: string, from: Node, channels: number, kernel: number, stride = 1, groups = 1): ConvNode => {
    const [h, w, c] = from.shape;
    const pad = (kernel - 1) >> 1;
    const pads: Pads = [pad, pad, pad, pad];
    return add({
      op: "conv",
      name: label,
      inputs: [from.name],
      shape: [windowed(h, kernel, stride, 1, 2 * pad), windowed(w, kernel, stride, 1, 2 * pad), channels],
      kernel: [kernel, kernel],
      stride: [stride, stride],
      dilation: [1, 1],
      pads,
      groups,
      channels: c,
      bias: false,
      clamp: NO_CLAMP,
      residual: false,
    });
  };
  const norm = (label: string, from: Node): Node =>
    add({ op: "norm", name: label, inputs: [from.name], shape: from.shape, epsilon, clamp: NO_CLAMP });
  const relu = (label: string, from: Node): Node =>
    add({ op: "clamp", name: label, inputs: [from.name], shape: from.shape, clamp: RELU });

  let x: Node = add({ op: "input", name: "input", inputs: [], shape: input });
  if (spec.stem === "imagenet") {
    x = relu("relu", norm("bn1", conv("conv1", x, spec.width, 7, 2)));
    const [h, w, c] = x.shape;
    const shape: Shape = [windowed(h, 3, 2, 1, 2), windowed(w, 3, 2, 1, 2), c];
    const window = { kernel: [3, 3], stride: [2, 2], pads: [1, 1, 1, 1], countPads: false } as const;
    x = add({ op: "maxpool", name: "maxpool", inputs: [x.name], shape, ...window });
  } else {
    x = relu("relu", norm("bn1", conv("conv1", x, spec.width, 3)));
  }

  const expansion = spec.block === "bottleneck" ? 4 : 1;
  spec.depths.forEach((depth, stage) => {
    const planes = spec.width << stage;
    const out = planes * expansion;
    for (let i = 0; i < depth; ++i) {
      const at = `layer${stage + 1}.${i}`;
      const stride = i === 0 && stage > 0 ? 2 : 1;
      let y: Node;
      if (spec.block === "basic") {
        y = relu(`${at}.relu1`, norm(`${at}.bn1`, conv(`${at}.conv1`, x, planes, 3, stride)));
        y = norm(`${at}.bn2`, conv(`${at}.conv2`, y, planes, 3));
      } else {
        const inner = Math.floor((planes * spec.groupWidth) / 64) * spec.groups;
        const [first, second] = spec.stride === "1x1" ? [stride, 1] : [1, stride];
        y = relu(`${at}.relu1`, norm(`${at}.bn1`, conv(`${at}.conv1`, x, inner, 1, first)));
        y = relu(`${at}.relu2`, norm(`${at}.bn2`, conv(`${at}.conv2`, y, inner, 3, second, spec.groups)));
        y = norm(`${at}.bn3`, conv(`${at}.conv3`, y, out, 1));
      }
      const changes = stride > 1 || x.shape[2] !== out;
      if (spec.shortcut !== "none") {
        let shortcut: Node = x;
        if (spec.shortcut === "C" || (spec.shortcut === "B" && changes)) {
          shortcut = norm(`${at}.downsample.1`, conv(`${at}.downsample.0`, x, out, 1, stride));
        } else if (changes) {
          const before = (out - x.shape[2]) >> 1;
          shortcut = add({ op: "shortcut", name: `${at}.shortcut`, inputs: [x.name], shape: y.shape, stride, before });
        }
        y = add({ op: "add", name: `${at}.add`, inputs: [y.name, shortcut.name], shape: y.shape, clamp: NO_CLAMP });
      }
      x = relu(`${at}.relu`, y);
    }
  });

  const [, , channels] = x.shape;
  x = add({ op: "globalpool", name: "avgpool", inputs: [x.name], shape: [1, 1, channels] });
  add({ op: "linear", name: "fc", inputs: [x.name], shape: [1, 1, spec.classes], channels, bias: true });
  return { name, nodes };
}
