/**
 * Planning of training: a graph becomes three tapes. `compute` runs forward, the loss and backward, in reverse order and
 * only down to the first trained node; `commit` takes the batch's statistics into the running ones; `update` moves the
 * weights. What stands before the first trained node is folded and packed once, as for inference.
 *
 *     | static | frozen, packed | zeros | trained | gradients | optimizer state | averages | running | fresh | fixed |
 *     | statistics | targets, losses | activations and gradients by lifetime | panels | workspace | scratch |
 *
 * Convolution weights lie as `[kh, kw, c / groups, n]`: so are they packed, and so come their gradients, by rows.
 */
import { asConv, type ConvNode, type Graph, type Node, type NormNode, outputNode } from "../graph.ts";
import type { Build } from "../kernels.ts";
import type { Target as GradientTarget, Param, TrainPlace } from "../ops/op.ts";
import { opOf } from "../ops/ops.ts";
import { trainingOf } from "../ops/training.ts";
import { align, defaultMemory, place, planWeights, type WeightPlan } from "../plan.ts";
import { type Step, step, type Tape } from "../tape.ts";
import { candidates, choose, tilesOf, type Variant, type Vectors } from "../variants.ts";
import { divide } from "./fuse.ts";
import { gradientOf, lifetimesOf } from "./lifetimes.ts";
import type { Optimizer } from "./optimizers.ts";
import type { Loss } from "./options.ts";

/** What is trained and how: all that the layout of memory and the tapes depend on. */
export interface TrainSpec {
  readonly build: Build;
  /** Decides tile sizes too; 128 when absent. */
  readonly vectors?: Vectors | undefined;
  readonly threads: number;
  /** Whether a node's own parameters are trained. */
  readonly trains: (node: string) => boolean;
  /** Whether trained norms use the statistics of the batch, and update the running ones. */
  readonly live: boolean;
  /** `false` keeps to direct sums. */
  readonly winograd: boolean;
  readonly optimizer: Optimizer;
  /** Which loss: of classes that exclude each other, or of classes that are each present or absent. */
  readonly loss: Loss;
  /** Whether biases and norms decay too. */
  readonly decayNorms: boolean;
  /** Largest norm of all gradients; ∞ for none. */
  readonly clip: number;
  /** Whether an average of the weights is kept. */
  readonly averages: boolean;
  /** Rate of a block as a part of that of the block behind it; 1: all learn alike. */
  readonly layerDecay: number;
}

/** Trained parameters behind each other that share a rate and whether they decay. */
export interface Group {
  /** Offset into `trained`. */
  readonly from: number;
  readonly bytes: number;
  readonly decays: boolean;
  /** Trained blocks behind this one: 0 for the head. */
  readonly depth: number;
  /** Its hyper-parameters, as `HYPER` has them up to `norm`. */
  readonly hyper: number;
}

/** A parameter or running statistic where training holds it. */
export interface Held {
  readonly address: number;
  readonly shape: readonly number[];
  readonly trained: boolean;
}

/** A stretch of memory, in whole cache lines. */
export interface Region {
  readonly address: number;
  readonly bytes: number;
}

/** What does not depend on the batch: where everything that outlives a step is. */
export interface TrainLayout {
  readonly spec: TrainSpec;
  /** The frozen part, folded, and then the rest, fused. */
  readonly graph: Graph;
  /** Names of the nodes before the first trained one. */
  readonly frozen: ReadonlySet<string>;
  /** The frozen part by itself, and where its weights are packed. */
  readonly prefix: Graph;
  readonly weights: WeightPlan;
  readonly zeros: number;
  readonly variants: ReadonlyMap<string, Variant>;
  /** Everything that is not frozen, by tensor name. */
  readonly held: ReadonlyMap<string, Held>;
  /** Trained parameters, those that decay first. */
  readonly trained: Region;
  readonly groups: readonly Group[];
  /** Each laid out as `trained`. */
  readonly gradients: Region;
  readonly states: readonly Region[];
  readonly averages: Region | undefined;
  /** Running statistics of live norms, and those of the last batch. */
  readonly running: Region;
  readonly fresh: Region;
  readonly statistics: ReadonlyMap<string, number>;
  /** What changes from step to step, `HYPER` says where. */
  readonly hyper: number;
  /** Sums of squares of the gradients, by slices. */
  readonly squares: number;
  readonly end: number;
}

/** Offsets into the hyper-parameters, in f32: those of the optimizer begin at 0, and each group has its own. */
export const HYPER = { rate: 0, clip: 1, first: 2, second: 3, norm: 4, average: 5, momentum: 6, count: 16 } as const;

/** Whether a node is a norm with statistics of the batch. */
export function isLive(spec: TrainSpec, node: Node): node is NormNode {
  return node.op === "norm" && spec.live && spec.trains(node.name);
}

function elements({ shape }: { readonly shape: readonly number[] }): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Places everything that outlives a step. */
export function layTraining(whole: Graph, spec: TrainSpec, batch: number): TrainLayout {
  const { prefix, graph } = divide(whole, spec.trains);
  const frozen = new Set(prefix.nodes.map(({ name }) => name));
  const rest = graph.nodes.filter(({ name }) => !frozen.has(name));
  const weights = planWeights(prefix, choose(prefix, spec.winograd ? defaultMemory(whole) : 0, batch));
  let end = weights.end;
  const take = (bytes: number): Region => {
    const region = { address: end, bytes: align(bytes) };
    end += region.bytes;
    return region;
  };
  const zeros = take(4 * Math.max(...graph.nodes.map((node) => node.shape[2]))).address;

  const held = new Map<string, Held>();
  const put = (params: readonly Param[], trained: boolean): Region => {
    const address = end;
    for (const param of params) held.set(param.name, { ...take(4 * elements(param)), shape: param.shape, trained });
    return { address, bytes: end - address };
  };
  const isRunning = ({ name }: Param): boolean => /\.running_(mean|var)$/.test(name);
  const all = rest.flatMap((node) =>
    opOf(node)
      .params(node)
      .map((param) => ({ node, param })),
  );
  const trainable = all.filter(({ node, param }) => spec.trains(node.name) && !isRunning(param));
  const decays = ({ shape }: Param): boolean => spec.decayNorms || shape.length > 1;
  const paramsOf = (list: typeof all): Param[] => list.map(({ param }) => param);
  const depths = depthsOf(trainable.map(({ node }) => node.name));
  const parts: Omit<Group, "hyper">[] = [];
  const start = end;
  for (const isDecayed of [true, false]) {
    for (const { node, param } of trainable.filter((each) => decays(each.param) === isDecayed)) {
      const { address, bytes } = put([param], true);
      const [depth, last] = [depths.get(blockOf(node.name))!, parts.at(-1)];
      if (last === undefined || last.depth !== depth || last.decays !== isDecayed) {
        parts.push({ from: address - start, bytes, decays: isDecayed, depth });
      } else parts[parts.length - 1] = { ...last, bytes: last.bytes + bytes };
    }
  }
  const trained = { address: start, bytes: end - start };
  const gradients = take(trained.bytes);
  const states = Array.from({ length: spec.optimizer.states }, () => take(trained.bytes));
  const averages = spec.averages ? take(trained.bytes) : undefined;
  const live = all.filter(({ node, param }) => isLive(spec, node) && isRunning(param));
  const running = put(paramsOf(live), false);
  const fresh = take(running.bytes);
  put(
    paramsOf(all).filter(({ name }) => !held.has(name)),
    false,
  );
  const statistics = new Map<string, number>();
  for (const node of rest) if (node.op === "norm") statistics.set(node.name, take(16 * node.shape[2]).address);
  const hyper = take(4 * HYPER.count).address;
  const groups = parts.map((part): Group => ({ ...part, hyper: take(4 * HYPER.norm).address }));
  const squares = take(4 * Math.ceil(trained.bytes / 16384)).address;

  const variants = new Map<string, Variant>(weights.variants);
  for (const node of rest) {
    const conv = node.op === "linear" ? asConv(node) : node;
    if (conv.op === "conv") variants.set(node.name, pick(conv, spec, batch));
  }
  return {
    ...{ spec, graph, frozen, prefix, weights, zeros, variants, held, trained, groups },
    ...{ gradients, states, averages, running, fresh, statistics, hyper, squares, end },
  };
}

/** What learns at one rate: a block of a stage, as `layer4.1`, or a layer beside them. */
function blockOf(node: string): string {
  return /^layer\d+\.\d+/.exec(node)?.[0] ?? node.replace(/^bn1$/, "conv1");
}

/** The number of blocks behind each block. */
function depthsOf(nodes: readonly string[]): ReadonlyMap<string, number> {
  const blocks = [...new Set(nodes.map(blockOf))];
  return new Map(blocks.map((block, i) => [block, blocks.length - 1 - i]));
}

/** How a convolution is computed: its weights are packed every step, so they need not be small. */
function pick(node: ConvNode, spec: TrainSpec, batch: number): Variant {
  return candidates(node, batch).find(
    ({ algorithm }) => algorithm !== "winograd2" && (spec.winograd || algorithm !== "winograd4"),
  )!;
}

/** One batch of training, ready to run. */
export interface TrainPlan {
  readonly batch: number;
  /** Forward, loss, backward, and the norm of the gradients. */
  readonly compute: Tape;
  /** Batch statistics into running ones. */
  readonly commit: Tape;
  /** The optimizer's step, and that of the head alone. */
  readonly update: Tape;
  readonly updateHead: Tape;
  readonly scratchBytes: number;
  /** `[batch, h, w, c]` f32. */
  readonly input: number;
  /** `[batch, classes]` f32: what the loss wants, as `targetsOf` has it. */
  readonly goals: number;
  /** `[batch, 2]` f32: loss, and 1 where the largest target is the first largest logit, or the share of classes that are right. */
  readonly losses: number;
  /** `[batch, classes]` f32. */
  readonly logits: number;
  readonly end: number;
}

/**
 * Plans training on a batch, or (`backward` false) evaluation on one.
 *
 * @param total images of the step that this batch is part of: the loss is their mean
 * @param averaged evaluates the averages of the weights
 */
export function planStep(
  layout: TrainLayout,
  batch: number,
  total: number,
  backward: boolean,
  averaged = false,
): TrainPlan {
  const { spec, graph, frozen, weights, held, trained } = layout;
  const output = outputNode(graph);
  const classes = output.shape[2];
  const goals = layout.end;
  const losses = align(goals + 4 * batch * classes);
  const base = align(losses + 8 * batch);
  const { buffers, targets, wants } = lifetimesOf(graph, { frozen, trains: spec.trains }, batch, backward);
  const { addresses, end } = place(buffers, base);
  let [panelBytes, workspaceBytes, scratchBytes] = [0, 0, 0];
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  const inTrained = (tensor: string, region: { readonly address: number }): number =>
    held.get(tensor)!.address - trained.address + region.address;
  const where: TrainPlace = {
    tiles: tilesOf(spec.build, spec.vectors ?? 128),
    batch,
    zeros: layout.zeros,
    node: (name) => nodes.get(name)!,
    variant: (name) => layout.variants.get(name)!,
    address: (name) => addresses.get(name)!,
    weights: (name) => weights.addresses.get(name)!,
    panels(bytes) {
      panelBytes = Math.max(panelBytes, align(bytes));
      return end;
    },
    workspace(bytes) {
      workspaceBytes = Math.max(workspaceBytes, align(bytes));
      return end + panelBytes;
    },
    scratch(bytes) {
      scratchBytes = Math.max(scratchBytes, align(bytes));
      return end + panelBytes + workspaceBytes;
    },
    trains: (name) => spec.trains(name),
    live: (name) => backward && isLive(spec, nodes.get(name)!),
    param: (tensor) =>
      averaged && held.get(tensor)!.trained ? inTrained(tensor, layout.averages!) : held.get(tensor)!.address,
    paramGradient: (tensor) => inTrained(tensor, layout.gradients),
    fresh: (tensor) => held.get(tensor)!.address - layout.running.address + layout.fresh.address,
    statistics: (name) => layout.statistics.get(name)!,
    dy: (name) => addresses.get(gradientOf(name))!,
    dx(node, at): GradientTarget | undefined {
      const target = targets.get(`${node.name}/${at}`);
      return target && { address: addresses.get(target.of)!, adds: target.adds };
    },
    inputVariant: (node) => pick(node, spec, batch),
  };
  const logits = addresses.get(output.name)!;
  const forward = (node: Node): readonly Step[] => {
    const own = frozen.has(node.name) ? undefined : trainingOf(node).train?.(node, where);
    return own ?? opOf(node).forward(node, where);
  };
  const write = (): Step[] => {
    const dx = backward ? where.dy(output.name) : where.workspace(4 * batch * classes);
    const steps = [
      ...graph.nodes.flatMap(forward),
      step("loss", LOSSES[spec.loss], batch, {
        n: classes,
        input: logits,
        targets: goals,
        dx,
        losses,
        scale: 1 / total,
      }),
    ];
    if (!backward) return steps;
    for (const node of [...graph.nodes].reverse()) {
      if (wants.has(node.name)) steps.push(...(trainingOf(node).backward?.(node, where) ?? []));
    }
    return [...steps, ...normSteps(layout)];
  };
  // Until every area's size is known, addresses behind it move.
  write();
  const compute = write();
  return {
    batch,
    compute,
    commit: backward ? commitSteps(layout) : [],
    update: backward ? updateSteps(layout) : [],
    updateHead: backward ? updateSteps(layout, 0) : [],
    scratchBytes,
    input: addresses.get(graph.nodes[0]!.name)!,
    goals,
    losses,
    logits,
    end: end + panelBytes + workspaceBytes + spec.threads * scratchBytes,
  };
}

/** Cross-entropy of a softmax, or of a sigmoid for each class. */
const LOSSES = { cross_entropy: "loss_f32", bce: "bce_f32" } as const satisfies Record<Loss, string>;

/** The norm of all gradients, and the factor that keeps it below the limit. */
function normSteps({ gradients, squares, hyper, spec }: TrainLayout): readonly Step[] {
  const count = gradients.bytes / 4;
  const slices = Math.ceil(count / 4096);
  const out = hyper + 4 * HYPER.norm;
  return [
    step("gradients", "sum_squares_f32", slices, { n: count, input: gradients.address, out: squares }),
    step("gradients", "clip_f32", 1, {
      n: slices,
      input: squares,
      out,
      factor: hyper + 4 * HYPER.clip,
      limit: spec.clip,
    }),
  ];
}

function commitSteps({ running, fresh, hyper }: TrainLayout): readonly Step[] {
  if (running.bytes === 0) return [];
  const share = hyper + 4 * HYPER.momentum;
  return [step("running", "lerp_f32", running.bytes / 64, { share, input: fresh.address, out: running.address })];
}

/** The optimizer's steps; `most` leaves out groups of a greater depth. */
function updateSteps(
  { spec, trained, groups, gradients, states, averages, hyper }: TrainLayout,
  most = Number.POSITIVE_INFINITY,
): readonly Step[] {
  const steps: Step[] = [];
  for (const { from, bytes, decays, depth, hyper: own } of groups) {
    if (depth > most) continue;
    const at = [gradients, trained, ...states].map(({ address }) => address + from);
    steps.push(spec.optimizer.step(bytes / 64, own, at, decays));
  }
  if (averages !== undefined) {
    const share = hyper + 4 * HYPER.average;
    steps.push(
      step("averages", "lerp_f32", trained.bytes / 64, { share, input: trained.address, out: averages.address }),
    );
  }
  return steps;
}

/** What training takes, before any of it is taken. */
export interface TrainNeed {
  /** Bytes of wasm memory. */
  readonly end: number;
  /** Trained numbers. */
  readonly trained: number;
}

/** What training a graph takes in memory. */
export function planTraining(graph: Graph, spec: TrainSpec, batch: number): TrainNeed {
  const layout = layTraining(graph, spec, batch);
  // With live norms a step takes one image more, rather than leave it alone.
  const most = spec.live ? batch + 1 : batch;
  const ends = [true, false].map((backward) => planStep(layout, most, most, backward).end);
  const trained = [...layout.held.values()].filter((each) => each.trained);
  return { end: Math.max(...ends), trained: trained.reduce((sum, each) => sum + elements(each), 0) };
}
