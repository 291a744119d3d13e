/**
 * The residual networks of He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), their plain
 * twins, wide ResNets (1605.07146), ResNeXt (1611.05431), ResNet-D (1812.01187), SE-ResNet (1709.01507) and ResNet v2
 * (1603.05027): one table, one builder. Node names are torchvision's, and timm's where torchvision has none.
 */

import { expectedGot, OptionError } from "../errors.ts";
import {
  type ConvNode,
  type Graph,
  NO_CLAMP,
  type Node,
  type Pads,
  pooled,
  RELU,
  type Shape,
  windowed,
} from "../graph.ts";

/**
 * What a shortcut does where shapes change: `A` pads new channels with zeros, `B` projects, `C` projects in every block,
 * `D` projects the means of 2×2 pixels (ResNet-D), `none` leaves all shortcuts out: the plain network the paper compares with.
 */
export type Shortcut = "A" | "B" | "C" | "D" | "none";

/** One residual network, short of its input size. */
export interface ResNetSpec {
  /** `basic`: 3×3, 3×3. `bottleneck`: 1×1, 3×3, 1×1 with four times the channels at its end. */
  readonly block: "basic" | "bottleneck";
  /** Blocks in each stage. */
  readonly depths: readonly number[];
  /** `imagenet`: 7×7 stride 2 and a max pool. `deep`: three 3×3 and a max pool (ResNet-D). `cifar`: one 3×3. */
  readonly stem: "imagenet" | "deep" | "cifar";
  /** Channels of the first stage; each later stage has twice as many. */
  readonly width: number;
  readonly shortcut: Shortcut;
  /** Groups of the bottleneck's 3×3, and channels of each group per 64 channels of width (ResNeXt, wide ResNet). */
  readonly groups: number;
  readonly groupWidth: number;
  /** Where a bottleneck has its stride: on the 3×3 (v1.5, torchvision) or on the first 1×1 (v1, as published). */
  readonly stride: "3x3" | "1x1";
  /** Squeeze-and-excitation at the end of every block. */
  readonly squeeze: boolean;
  /** Batch norm and ReLU before each convolution instead of after it (ResNet v2). */
  readonly preact: boolean;
  readonly classes: number;
}

const IMAGENET = {
  stem: "imagenet",
  width: 64,
  shortcut: "B",
  groups: 1,
  groupWidth: 64,
  stride: "3x3",
  squeeze: false,
  preact: false,
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

/** The "bag of tricks" network of the same depth. */
function tweaked(spec: ResNetSpec): ResNetSpec {
  return { ...spec, stem: "deep", shortcut: "D" };
}

function squeezed(spec: ResNetSpec): ResNetSpec {
  return { ...spec, squeeze: true };
}

function preact(spec: ResNetSpec): ResNetSpec {
  return { ...spec, preact: true };
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
  resnet26: bottleneck(2, 2, 2, 2),
  resnext50_32x8d: { ...bottleneck(3, 4, 6, 3), groups: 32, groupWidth: 8 },
  resnext101_32x4d: { ...bottleneck(3, 4, 23, 3), groups: 32, groupWidth: 4 },
  resnext101_64x4d: { ...bottleneck(3, 4, 23, 3), groups: 64, groupWidth: 4 },
  resnet18d: tweaked(basic(2, 2, 2, 2)),
  resnet26d: tweaked(bottleneck(2, 2, 2, 2)),
  resnet34d: tweaked(basic(3, 4, 6, 3)),
  resnet50d: tweaked(bottleneck(3, 4, 6, 3)),
  resnet101d: tweaked(bottleneck(3, 4, 23, 3)),
  resnet152d: tweaked(bottleneck(3, 8, 36, 3)),
  resnet200d: tweaked(bottleneck(3, 24, 36, 3)),
  seresnet18: squeezed(basic(2, 2, 2, 2)),
  seresnet34: squeezed(basic(3, 4, 6, 3)),
  seresnet50: squeezed(bottleneck(3, 4, 6, 3)),
  seresnet101: squeezed(bottleneck(3, 4, 23, 3)),
  seresnet152: squeezed(bottleneck(3, 8, 36, 3)),
  seresnext50_32x4d: squeezed({ ...bottleneck(3, 4, 6, 3), groups: 32, groupWidth: 4 }),
  seresnext101_32x4d: squeezed({ ...bottleneck(3, 4, 23, 3), groups: 32, groupWidth: 4 }),
  resnetv2_18: preact(basic(2, 2, 2, 2)),
  resnetv2_34: preact(basic(3, 4, 6, 3)),
  resnetv2_50: preact(bottleneck(3, 4, 6, 3)),
  resnetv2_101: preact(bottleneck(3, 4, 23, 3)),
  resnetv2_152: preact(bottleneck(3, 8, 36, 3)),
  plain18: plain(basic(2, 2, 2, 2)),
  plain34: plain(basic(3, 4, 6, 3)),
  resnet8x4: { ...cifar(8), width: 64 },
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
  const spec = Object.hasOwn(RESNETS, name) ? RESNETS[name] : undefined;
  if (spec === undefined) {
    const hint = /blur|aa/.test(name) ? "networks with blur pooling are not among them" : undefined;
    throw new OptionError("arch", expectedGot("arch", `one of ${Object.keys(RESNETS).join(", ")}`, `"${name}"`, hint));
  }
  return spec;
}

/** Side of the square input the paper used: 224, or 32 for the CIFAR networks. */
export function defaultSize(spec: ResNetSpec): number {
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
  input: Shape = [defaultSize(spec), defaultSize(spec), 3],
  epsilon = 1e-5,
): Graph {
  const nodes: Node[] = [];
  const add = <N extends Node>(node: N): N => {
    nodes.push(node);
    return node;
  };

  const conv = (
    label: string,
    from: Node,
    channels: number,
    kernel: number,
    stride = 1,
    groups = 1,
    bias = false,
  ): ConvNode => {
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
      bias,
      clamp: NO_CLAMP,
      residual: false,
    });
  };
  const norm = (label: string, from: Node): Node =>
    add({ op: "norm", name: label, inputs: [from.name], shape: from.shape, epsilon, clamp: NO_CLAMP });
  const relu = (label: string, from: Node): Node =>
    add({ op: "clamp", name: label, inputs: [from.name], shape: from.shape, clamp: RELU });

  const maxpool = (from: Node): Node => {
    const [h, w, c] = from.shape;
    const shape: Shape = [windowed(h, 3, 2, 1, 2), windowed(w, 3, 2, 1, 2), c];
    const window = { kernel: [3, 3], stride: [2, 2], pads: [1, 1, 1, 1], countPads: false, ceil: false } as const;
    return add({ op: "maxpool", name: "maxpool", inputs: [from.name], shape, ...window });
  };
  /** A projection's pixels: the means of windows of `stride`, at the edge only of the pixels there are. */
  const means = (label: string, from: Node, stride: number): Node => {
    const [h, w, c] = from.shape;
    const shape: Shape = [pooled(h, stride, stride, [0, 0], true), pooled(w, stride, stride, [0, 0], true), c];
    const window = {
      kernel: [stride, stride],
      stride: [stride, stride],
      pads: [0, 0, 0, 0],
      countPads: false,
    } as const;
    return add({ op: "avgpool", name: label, inputs: [from.name], shape, ...window, ceil: true });
  };
  const squeeze = (label: string, from: Node): Node => {
    const c = from.shape[2];
    const mean = add({ op: "globalpool", name: `${label}.mean`, inputs: [from.name], shape: [1, 1, c] });
    const first = conv(`${label}.fc1`, mean, squeezeWidth(c), 1, 1, 1, true);
    const second = conv(`${label}.fc2`, relu(`${label}.relu`, first), c, 1, 1, 1, true);
    const gate = add({ op: "sigmoid", name: `${label}.sigmoid`, inputs: [second.name], shape: second.shape });
    return add({ op: "gate", name: label, inputs: [from.name, gate.name], shape: from.shape });
  };
  const project = (at: string, from: Node, channels: number, stride: number): Node => {
    if (spec.preact) return conv(`${at}.downsample.0`, from, channels, 1, stride);
    if (spec.shortcut !== "D") return norm(`${at}.downsample.1`, conv(`${at}.downsample.0`, from, channels, 1, stride));
    // timm numbers the pooling too, 0, and leaves the number out of use where there is nothing to pool.
    const mean = stride > 1 ? means(`${at}.downsample.0`, from, stride) : from;
    return norm(`${at}.downsample.2`, conv(`${at}.downsample.1`, mean, channels, 1));
  };

  let x: Node = add({ op: "input", name: "input", inputs: [], shape: input });
  if (spec.stem === "deep") {
    x = relu("conv1.2", norm("conv1.1", conv("conv1.0", x, spec.width / 2, 3, 2)));
    x = relu("conv1.5", norm("conv1.4", conv("conv1.3", x, spec.width / 2, 3)));
    x = conv("conv1.6", x, spec.width, 3);
  } else {
    x = spec.stem === "cifar" ? conv("conv1", x, spec.width, 3) : conv("conv1", x, spec.width, 7, 2);
  }
  if (!spec.preact) x = relu("relu", norm("bn1", x));
  if (spec.stem !== "cifar") x = maxpool(x);

  const expansion = spec.block === "bottleneck" ? 4 : 1;
  spec.depths.forEach((depth, stage) => {
    const planes = spec.width << stage;
    const out = planes * expansion;
    for (let i = 0; i < depth; ++i) {
      const at = `layer${stage + 1}.${i}`;
      const stride = i === 0 && stage > 0 ? 2 : 1;
      const inner = Math.floor((planes * spec.groupWidth) / 64) * spec.groups;
      const [first, second] = spec.stride === "1x1" ? [stride, 1] : [1, stride];
      // Channels, kernel, stride and groups of the block's convolutions.
      const layers =
        spec.block === "basic"
          ? ([
              [planes, 3, stride, 1],
              [planes, 3, 1, 1],
            ] as const)
          : ([
              [inner, 1, first, 1],
              [inner, 3, second, spec.groups],
              [out, 1, 1, 1],
            ] as const);
      let y = x;
      let before = x;
      layers.forEach(([channels, kernel, step, groups], j) => {
        if (spec.preact) y = relu(`${at}.relu${j + 1}`, norm(`${at}.bn${j + 1}`, y));
        if (spec.preact && j === 0) before = y;
        y = conv(`${at}.conv${j + 1}`, y, channels, kernel, step, groups);
        if (spec.preact) return;
        y = norm(`${at}.bn${j + 1}`, y);
        if (j < layers.length - 1) y = relu(`${at}.relu${j + 1}`, y);
      });
      if (spec.squeeze) y = squeeze(`${at}.se`, y);
      const changes = stride > 1 || x.shape[2] !== out;
      if (spec.shortcut !== "none") {
        let shortcut: Node = x;
        if (spec.shortcut === "C" || (spec.shortcut !== "A" && changes)) {
          shortcut = project(at, before, out, stride);
        } else if (changes) {
          const zeros = (out - x.shape[2]) >> 1;
          shortcut = add({
            ...({ op: "shortcut", name: `${at}.shortcut`, inputs: [x.name], shape: y.shape, stride } as const),
            before: zeros,
          });
        }
        y = add({ op: "add", name: `${at}.add`, inputs: [y.name, shortcut.name], shape: y.shape, clamp: NO_CLAMP });
      }
      x = spec.preact ? y : relu(`${at}.relu`, y);
    }
  });
  if (spec.preact) x = relu("relu", norm("norm", x));

  const [, , channels] = x.shape;
  x = add({ op: "globalpool", name: "avgpool", inputs: [x.name], shape: [1, 1, channels] });
  add({ op: "linear", name: "fc", inputs: [x.name], shape: [1, 1, spec.classes], channels, bias: true });
  return { name, nodes };
}

/** Channels a gate squeezes `c` to: a sixteenth, in whole eights (timm's `make_divisible`). */
function squeezeWidth(c: number): number {
  return Math.max(8, Math.floor((c / 16 + 4) / 8) * 8);
}
