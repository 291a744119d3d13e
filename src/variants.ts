/**
 * The table of ways to compute a convolution, what each costs in time and memory, and the choice among them under a
 * memory budget.
 */
import { asConv, type ConvNode, type Graph } from "./graph.ts";
import type { Build } from "./kernels.ts";
import type { KernelName } from "./tape.ts";

/** `winograd2` and `winograd4` are F(2×2, 3×3) and F(4×4, 3×3). */
export type Algorithm = "gemm" | "im2col" | "direct" | "winograd2" | "winograd4";

/** One way to compute a convolution. */
export interface Variant {
  readonly algorithm: Algorithm;
  readonly kernels: readonly KernelName[];
  /** Whether the kernels compute this node right, and nothing of the same memory does it faster. */
  fits(node: ConvNode): boolean;
  /** Bytes of packed weights. */
  weightBytes(node: ConvNode): number;
  /** Milliseconds to expect for a batch: for comparing variants, not for telling anyone. */
  cost(node: ConvNode, batch: number): number;
}

/** Rows of the register tile, by build: six spill where multiply-add is not fused (57 against 35 GFLOP/s at four). */
export const TILE_ROWS: Readonly<Record<Build, number>> = { baseline: 4, relaxed: 6 };

/** Multiply-adds a millisecond through the register tile: 60 GFLOP/s, Zen 5, relaxed. */
const MACS_PER_MS = 30e6;
/** Bytes a millisecond from beyond L2, in short runs: panels read between the tiles of several rows; Winograd's passes. */
const BYTES_PER_MS = 18e6;
/** The same in one long run, when every panel is read for a single tile. */
const STREAMED_BYTES_PER_MS = 25e6;
/** Weights up to this many bytes stay in L2 from one chunk to the next. */
const L2 = 1 << 19;

function isPointwise(node: ConvNode): boolean {
  return node.kernel[0] * node.kernel[1] === 1 && node.pads.every((pad) => pad === 0);
}

/** `cells` weights deep panels for every group, each with its bias. */
function panelBytes(node: ConvNode, cells: number): number {
  return node.groups * Math.ceil(node.shape[2] / node.groups / 8) * (cells + 1) * 32;
}

function directBytes(node: ConvNode): number {
  return panelBytes(node, (node.channels / node.groups) * node.kernel[0] * node.kernel[1]);
}

function directCost(node: ConvNode, batch: number): number {
  const [oh, ow, n] = node.shape;
  const macs = (batch * oh * ow * n * node.channels * node.kernel[0] * node.kernel[1]) / node.groups;
  return Math.max(macs / MACS_PER_MS, directBytes(node) / BYTES_PER_MS);
}

function direct(algorithm: Algorithm, kernel: KernelName, fits: (node: ConvNode) => boolean): Variant {
  return { algorithm, kernels: [kernel], fits, weightBytes: directBytes, cost: directCost };
}

/** Patches of `o`×`o` outputs that cover a batch. */
export function patchCount(node: ConvNode, o: number, batch: number): number {
  return batch * Math.ceil(node.shape[0] / o) * Math.ceil(node.shape[1] / o);
}

function winograd(o: 2 | 4): Variant {
  const positions = (o + 2) ** 2;
  const weightBytes = (node: ConvNode): number => positions * panelBytes(node, node.channels);
  return {
    algorithm: `winograd${o}`,
    kernels: [`winograd${o}_input_f32`, "gemm_f32", `winograd${o}_output_f32`],
    fits: (node) =>
      [...node.kernel, ...node.stride, ...node.dilation].join() === "3,3,1,1,1,1" &&
      node.groups === 1 &&
      node.channels % 4 === 0 &&
      node.shape[2] % 4 === 0,
    weightBytes,
    cost(node, batch) {
      const [c, n] = [node.channels, node.shape[2]];
      const patches = patchCount(node, o, batch);
      // Fewer than four rows cost as much as four: the additions' latency shows.
      const products = (Math.max(4, patches) * positions * c * n) / MACS_PER_MS;
      const transforms = (patches * positions * (c + n) * 4) / BYTES_PER_MS;
      const bytes = weightBytes(node) > L2 ? weightBytes(node) : 0;
      // Measured with cold caches: one tile of rows overlaps with the stream of weights, several do not.
      return patches <= TILE_ROWS.relaxed
        ? Math.max(products, bytes / STREAMED_BYTES_PER_MS) + transforms
        : products + bytes / BYTES_PER_MS + transforms;
    },
  };
}

/** Every variant; of those that fit and cost the same, the first is taken. */
export const VARIANTS: readonly Variant[] = [
  winograd(4),
  winograd(2),
  direct("gemm", "gemm_f32", (node) => isPointwise(node) && node.stride[0] * node.stride[1] === 1),
  // Few channels: pointers to every pixel of the kernel would cost as much as the products.
  direct("im2col", "im2col_f32", (node) => {
    return node.groups === 1 && node.dilation[0] * node.dilation[1] === 1 && node.channels < 16;
  }),
  direct("direct", "conv_f32", () => true),
];

/** Measured milliseconds of one image, by convolution (`tuningKey`) and algorithm; made by `tune`, plain JSON. */
export interface Tuning {
  readonly build: Build;
  readonly ms: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** What makes two convolutions cost the same: `56×56×64 ← 64, 3×3/1`, and the groups where there are any. */
export function tuningKey(node: ConvNode): string {
  const groups = node.groups === 1 ? "" : `, ${node.groups} groups`;
  return `${node.shape.join("×")} ← ${node.channels}, ${node.kernel.join("×")}/${node.stride.join("×")}${groups}`;
}

/** Milliseconds to expect of a variant: measured ones where they are known. */
function costOf(node: ConvNode, variant: Variant, batch: number, tuning: Tuning | undefined): number {
  const measured = tuning?.ms[tuningKey(node)]?.[variant.algorithm];
  return measured === undefined ? variant.cost(node, batch) : batch * measured;
}

/** The variants a node may get: the fastest first, and of the direct ones only the first that fits. */
export function candidates(node: ConvNode, batch: number, tuning?: Tuning): readonly Variant[] {
  const fitting = VARIANTS.filter((variant) => variant.fits(node));
  const plain = fitting.find(({ weightBytes }) => weightBytes === directBytes)!;
  return fitting
    .filter((variant) => variant === plain || variant.weightBytes !== directBytes)
    .sort((a, b) => costOf(node, a, batch, tuning) - costOf(node, b, batch, tuning));
}

/**
 * A variant for every convolution and linear layer: the fastest, and where their weights do not fit `bytes` together, smaller ones, first
 * where a byte saved costs the least time.
 *
 * @param bytes that packed convolution weights may take; never refuses: at worst every layer is direct
 * @param batch images at once that time is estimated for
 * @param tuning measured times to use instead of estimates
 */
export function choose(graph: Graph, bytes: number, batch = 1, tuning?: Tuning): ReadonlyMap<string, Variant> {
  const choice = new Map<ConvNode, readonly Variant[]>();
  for (const node of graph.nodes) {
    const conv = node.op === "linear" ? asConv(node) : node;
    if (conv.op === "conv") choice.set(conv, candidates(conv, batch, tuning));
  }
  let total = 0;
  for (const [node, [variant]] of choice) total += variant!.weightBytes(node);
  while (total > bytes) {
    let best: { node: ConvNode; at: number; saved: number; price: number } | undefined;
    for (const [node, variants] of choice) {
      const now = variants[0]!;
      variants.forEach((variant, at) => {
        const saved = now.weightBytes(node) - variant.weightBytes(node);
        const price = (costOf(node, variant, batch, tuning) - costOf(node, now, batch, tuning)) / saved;
        if (saved > 0 && (best === undefined || price < best.price)) best = { node, at, saved, price };
      });
    }
    if (best === undefined) break;
    choice.set(best.node, choice.get(best.node)!.slice(best.at));
    total -= best.saved;
  }
  return new Map([...choice].map(([node, variants]) => [node.name, variants[0]!]));
}
