/**
 * The table of ways to compute a convolution, what each costs in time and memory, and the choice among them under a
 * memory budget.
 */

import { BIAS_BYTES, CELL_BYTES, HEADER_BYTES, PANEL_COLUMNS, TILE_ROWS } from "../wasm/tile.js";
import type { Form } from "./checkpoint.ts";
import { asConv, type ConvNode, type Graph } from "./graph.ts";
import type { Build, KernelName } from "./tape.ts";

/**
 * `winograd2` and `winograd4` are F(2×2, 3×3) and F(4×4, 3×3); `dot8` and `dot16` the two ways of `product.ts` to multiply
 * int8, `im2col8` and `im2col16` the same over copied windows.
 */
export type Algorithm =
  | "gemm"
  | "im2col"
  | "direct"
  | "winograd2"
  | "winograd4"
  | "dot8"
  | "dot16"
  | "im2col8"
  | "im2col16";

/** The panels that an algorithm reads; undefined where it reads weights that were transformed. */
export function formOf(algorithm: Algorithm): Form | undefined {
  if (algorithm.startsWith("winograd")) return undefined;
  if (algorithm === "dot8" || algorithm === "im2col8") return "dot8";
  return algorithm === "dot16" || algorithm === "im2col16" ? "dot16" : "f32";
}

/**
 * Which int8 products are used: `dot16` alone where a build has no other; `dot8` alone where it is one instruction (`dots.ts`); both
 * where it is several: then `dot8` is good for what needs no Winograd, as its inputs need not be widened.
 */
export type Dots = "dot8" | "dot16" | "both";

/** What serves every machine that can run a build, where nothing was measured. */
export function usualDots(build: Build): Dots {
  return build === "baseline" ? "dot16" : "both";
}

interface DotRates {
  readonly dot8: number;
  readonly dot16: number;
  readonly winograd: number;
}

/**
 * Multiply-adds a millisecond of each way to multiply int8; 0 for a way that is not taken. ResNet-50, 224×224, milliseconds: where `dot8` is
 * one instruction (Zen 5), 33.3 without Winograd and 33.7 with it and its 24 MB; where it is several (Zen 3), `dot8` alone 119, `dot16` with
 * Winograd 126, both 98 (with packed vectors 63, 73, 54).
 */
const DOT_RATES: Readonly<Record<Dots, DotRates>> = {
  dot8: { dot8: 115e6, dot16: 50e6, winograd: 0 },
  dot16: { dot8: 0, dot16: 50e6, winograd: 50e6 },
  both: { dot8: 55e6, dot16: 50e6, winograd: 50e6 },
};

/** One way to compute a convolution. */
export interface Variant {
  readonly algorithm: Algorithm;
  readonly kernels: readonly KernelName[];
  /** Whether the kernels compute this node right, and nothing of the same memory does it faster. */
  fits(node: ConvNode): boolean;
  /** Bytes of packed weights. */
  weightBytes(node: ConvNode): number;
  /** Milliseconds to expect for a batch: for comparing variants, not for telling anyone. */
  cost(node: ConvNode, batch: number, rates: DotRates): number;
}

/**
 * Bits of the vectors that the engine computes with: 256 where it packs pairs of neighbouring 128-bit operations (V8's
 * revectorization on x86-64).
 */
export type Vectors = 128 | 256;

/** A register tile: rows, and columns of packed weights (8 are one panel, 16 two). */
export interface Tile {
  readonly mr: number;
  readonly nr: number;
}

/** The tile of each kind of product. All give the same bytes. */
export interface Tiles {
  readonly f32: Tile;
  readonly dot8: Tile;
  readonly dot16: Tile;
}

/**
 * f32: six rows spill where multiply-add is not fused (57 against 35 GFLOP/s at four). int8: a sixth row spills (37 against
 * 51 GMAC/s by `dot16`, 61 against 118 by `dot8`). Packed pairs leave half the registers free: 6×16 then, which would spill
 * without (44 against 66 GFLOP/s; packed 130). Zen 5.
 */
const TILES: Readonly<Record<Build, Readonly<Record<Vectors, Tiles>>>> = {
  baseline: {
    128: { f32: { mr: 4, nr: 8 }, dot8: { mr: 5, nr: 8 }, dot16: { mr: 5, nr: 8 } },
    256: { f32: { mr: 4, nr: 16 }, dot8: { mr: 5, nr: 16 }, dot16: { mr: 5, nr: 16 } },
  },
  relaxed: {
    128: { f32: { mr: 6, nr: 8 }, dot8: { mr: 5, nr: 8 }, dot16: { mr: 5, nr: 8 } },
    256: { f32: { mr: 6, nr: 16 }, dot8: { mr: 6, nr: 16 }, dot16: { mr: 5, nr: 16 } },
  },
};

/** The register tiles of a build. */
export function tilesOf(build: Build, vectors: Vectors): Tiles {
  return TILES[build][vectors];
}

/** Multiply-adds a millisecond through the register tile: 60 GFLOP/s, Zen 5, relaxed. */
const MACS_PER_MS = 30e6;
/** Bytes a millisecond from beyond L2, in short runs: panels read between the tiles of several rows; Winograd's passes. */
const BYTES_PER_MS = 18e6;
/** The same in one long run, when every panel is read for a single tile. */
const STREAMED_BYTES_PER_MS = 25e6;
/** Weights up to this many bytes stay in L2 from one chunk to the next. */
const L2 = 1 << 19;

/** Bytes before an int8 im2col layer's panels: what a pixel outside the image is, by channel. */
export const PADS_BYTES = 64;

function isPointwise(node: ConvNode): boolean {
  return node.kernel[0] * node.kernel[1] === 1 && node.pads.every((pad) => pad === 0);
}

/** Panels of all groups. */
export function panelsOf(node: ConvNode): number {
  return node.groups * Math.ceil(node.shape[2] / node.groups / PANEL_COLUMNS);
}

/** `cells` weights deep panels for every group, each with its bias. */
function panelBytes(node: ConvNode, cells: number): number {
  return panelsOf(node) * (BIAS_BYTES + cells * CELL_BYTES);
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

function isWinograd(node: ConvNode): boolean {
  return [...node.kernel, ...node.stride, ...node.dilation, node.groups].join() === "3,3,1,1,1,1,1";
}

function winograd(o: 2 | 4): Variant {
  const positions = (o + 2) ** 2;
  const weightBytes = (node: ConvNode): number => positions * panelBytes(node, node.channels);
  return {
    algorithm: `winograd${o}`,
    kernels: [`winograd${o}_transform_input_f32`, "gemm_f32", `winograd${o}_transform_output_f32`],
    fits: (node) => isWinograd(node) && node.channels % 8 === 0 && node.shape[2] % 8 === 0,
    weightBytes,
    cost(node, batch) {
      const [c, n] = [node.channels, node.shape[2]];
      const patches = patchCount(node, o, batch);
      // Fewer than four rows cost as much as four: the additions' latency shows.
      const products = (Math.max(4, patches) * positions * c * n) / MACS_PER_MS;
      const transforms = (patches * positions * (c + n) * 4) / BYTES_PER_MS;
      const bytes = weightBytes(node) > L2 ? weightBytes(node) : 0;
      // Measured with cold caches: one tile of rows overlaps with the stream of weights, several do not.
      return patches <= TILE_ROWS
        ? Math.max(products, bytes / STREAMED_BYTES_PER_MS) + transforms
        : products + bytes / BYTES_PER_MS + transforms;
    },
  };
}

function macsOf(node: ConvNode): number {
  const [oh, ow, n] = node.shape;
  return (oh * ow * n * node.channels * node.kernel[0] * node.kernel[1]) / node.groups;
}

/** Bytes of int8 panels whose cells hold `q` inputs, each with its bias and scale. */
function panelBytesI8(node: ConvNode, q: number): number {
  const depth = (node.channels / node.groups) * node.kernel[0] * node.kernel[1];
  return panelsOf(node) * (HEADER_BYTES + PANEL_COLUMNS * Math.ceil(depth / q) * q);
}

/** Largest sum of magnitudes with which Winograd over int8 is exact: 127 times it, and a bias, stay below 2²⁵. */
export const EXACT_SUM = Math.floor(2 ** 25 / 128);

/** Whether the int8 im2col kernel can compute a node: one group, no gaps, int8 out. */
function isCopied(node: ConvNode): boolean {
  return node.groups === 1 && node.dilation[0] * node.dilation[1] === 1 && node.int8!.scale !== undefined;
}

/** The variants of an int8 network. They all give the same bytes. */
const INT8: readonly Variant[] = [
  {
    algorithm: "winograd4",
    kernels: ["winograd4_transform_input_i8", "gemm_i16", "winograd4_transform_output_i8"],
    fits: (node) =>
      isWinograd(node) &&
      node.int8!.pads === undefined &&
      node.channels % 16 === 0 &&
      node.shape[2] % 8 === 0 &&
      (node.int8!.weightSum ?? Number.POSITIVE_INFINITY) <= EXACT_SUM,
    weightBytes: (node) => node.shape[2] * (8 + 72 * node.channels),
    cost(node, batch, { winograd }) {
      const [c, n] = [node.channels, node.shape[2]];
      const patches = patchCount(node, 4, batch);
      const products = (Math.max(4, patches) * 36 * c * n) / winograd;
      const transforms = (patches * 36 * (2 * c + 4 * n)) / (1.5 * BYTES_PER_MS);
      const bytes = 72 * c * n > L2 ? 72 * c * n : 0;
      return products + bytes / BYTES_PER_MS + transforms;
    },
  },
  {
    algorithm: "dot8",
    kernels: ["conv_i8"],
    fits: (node) => !node.int8!.signed && node.int8!.pads === undefined && (node.channels / node.groups) % 4 === 0,
    weightBytes: (node) => panelBytesI8(node, 4),
    cost: (node, batch, { dot8 }) => (batch * macsOf(node)) / dot8,
  },
  {
    algorithm: "dot16",
    kernels: ["widen_i8", "conv_i8"],
    fits: (node) => node.int8!.pads === undefined && (node.channels / node.groups) % 2 === 0,
    weightBytes: (node) => panelBytesI8(node, 2),
    cost: (node, batch, { dot16 }) => (batch * macsOf(node)) / dot16,
  },
  {
    algorithm: "im2col8",
    kernels: ["im2col_i8"],
    fits: (node) => isCopied(node) && !node.int8!.signed,
    weightBytes: (node) => PADS_BYTES + panelBytesI8(node, 4),
    cost: (node, batch, { dot8 }) => (1.5 * batch * macsOf(node)) / dot8,
  },
  {
    algorithm: "im2col16",
    kernels: ["im2col_i8"],
    fits: isCopied,
    weightBytes: (node) => PADS_BYTES + panelBytesI8(node, 2),
    cost: (node, batch, { dot16 }) => (1.5 * batch * macsOf(node)) / dot16,
  },
];

/** Every variant in f32; of those that fit and cost the same, the first is taken. */
const F32: readonly Variant[] = [
  winograd(4),
  winograd(2),
  direct("gemm", "gemm_f32", (node) => isPointwise(node) && node.stride[0] * node.stride[1] === 1),
  // Few channels: pointers to every pixel of the kernel would cost as much as the products.
  direct("im2col", "im2col_f32", (node) => {
    return node.groups === 1 && node.dilation[0] * node.dilation[1] === 1 && node.channels < 16;
  }),
  direct("direct", "conv_f32", () => true),
];

/** Every variant of both kinds of network. */
export const VARIANTS: readonly Variant[] = [...F32, ...INT8];

/** The variant of a name, where it computes the node right. */
export function variantOf(node: ConvNode, algorithm: string): Variant | undefined {
  const variants = node.int8 === undefined ? F32 : INT8;
  return variants.find((variant) => variant.algorithm === algorithm && variant.fits(node));
}

/** Measured milliseconds of one image, by convolution (`tuningKey`) and algorithm; made by `tune`, plain JSON. */
export interface Tuning {
  readonly build: Build;
  readonly ms: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** Whether a value has a tuning's form: milliseconds by convolution and algorithm. */
export function isTuning(value: unknown): value is Tuning {
  const isRecord = (each: unknown): each is object => typeof each === "object" && each !== null && !Array.isArray(each);
  if (!isRecord(value)) return false;
  const { build, ms } = value as Partial<Tuning>;
  if (typeof build !== "string" || !isRecord(ms)) return false;
  const isTime = (each: unknown): boolean => Number.isFinite(each) && (each as number) >= 0;
  return Object.values(ms).every((times) => isRecord(times) && Object.values(times).every(isTime));
}

/** What makes two convolutions cost the same: `56×56×64 ← 64, 3×3/1`, the groups where there are any, and int8. */
export function tuningKey(node: ConvNode): string {
  const groups = node.groups === 1 ? "" : `, ${node.groups} groups`;
  const dtype = node.int8 === undefined ? "" : ", int8";
  return `${node.shape.join("×")} ← ${node.channels}, ${node.kernel.join("×")}/${node.stride.join("×")}${groups}${dtype}`;
}

/** What is known of a machine's speed beyond the estimates. */
interface Speeds {
  readonly tuning?: Tuning | undefined;
  readonly dots: Dots;
}

/** Milliseconds to expect of a variant: measured ones where they are known. */
function costOf(node: ConvNode, variant: Variant, batch: number, { tuning, dots }: Speeds): number {
  const measured = tuning?.ms[tuningKey(node)]?.[variant.algorithm];
  return measured === undefined ? variant.cost(node, batch, DOT_RATES[dots]) : batch * measured;
}

/** A smaller variant is worth this share of the fastest one's time: timings are no finer. */
const NEARLY = 1.03;

/**
 * The variants a node may get: the fastest first (of those that are nearly as fast the smallest), and of those in f32 that multiply
 * directly only the first that fits.
 */
export function candidates(node: ConvNode, batch: number, tuning?: Tuning, dots: Dots = "both"): readonly Variant[] {
  const fitting = (node.int8 === undefined ? F32 : INT8).filter((variant) => variant.fits(node));
  const plain = fitting.find(({ weightBytes }) => weightBytes === directBytes);
  const timed = fitting
    .filter((variant) => variant === plain || variant.weightBytes !== directBytes)
    .map((variant) => ({ variant, ms: costOf(node, variant, batch, { tuning, dots }) }))
    .filter(({ ms }) => Number.isFinite(ms));
  const bound = NEARLY * Math.min(...timed.map(({ ms }) => ms));
  const bytes = ({ variant }: { readonly variant: Variant }): number => variant.weightBytes(node);
  return timed
    .sort((a, b) => (a.ms <= bound && b.ms <= bound ? bytes(a) - bytes(b) || a.ms - b.ms : a.ms - b.ms))
    .map(({ variant }) => variant);
}

/**
 * A variant for every convolution and linear layer: the fastest, and where their weights do not fit `bytes` together, smaller ones, first
 * where a byte saved costs the least time.
 *
 * @param bytes that packed convolution weights may take; never refuses: at worst every layer is direct
 * @param batch images at once that time is estimated for
 * @param tuning measured times to use instead of estimates
 * @param dots which int8 products are faster here
 */
export function choose(
  graph: Graph,
  bytes: number,
  batch = 1,
  tuning?: Tuning,
  dots: Dots = "both",
): ReadonlyMap<string, Variant> {
  return chooseOf(estimate(graph, batch, tuning, dots), bytes);
}

/** What each convolution and linear layer may get, with what it takes: the fastest first. */
export type Estimates = ReadonlyMap<string, readonly Estimate[]>;

interface Estimate {
  readonly variant: Variant;
  readonly bytes: number;
  readonly cost: number;
}

/** Estimates for `chooseOf`; parameters as those of `choose`. */
export function estimate(graph: Graph, batch: number, tuning: Tuning | undefined, dots: Dots): Estimates {
  const estimates = new Map<string, readonly Estimate[]>();
  for (const node of graph.nodes) {
    const conv = node.op === "linear" ? asConv(node) : node;
    if (conv.op !== "conv") continue;
    const each = candidates(conv, batch, tuning, dots).map((variant): Estimate => {
      return { variant, bytes: variant.weightBytes(conv), cost: costOf(conv, variant, batch, { tuning, dots }) };
    });
    estimates.set(node.name, each);
  }
  return estimates;
}

/** As `choose`. */
export function chooseOf(estimates: Estimates, bytes: number): ReadonlyMap<string, Variant> {
  const choice = new Map(estimates);
  let total = 0;
  for (const each of choice.values()) total += each[0]!.bytes;
  while (total > bytes) {
    let best: { name: string; at: number; saved: number; price: number } | undefined;
    for (const [name, variants] of choice) {
      const now = variants[0]!;
      for (let at = 1; at < variants.length; ++at) {
        const saved = now.bytes - variants[at]!.bytes;
        if (saved <= 0) continue;
        const price = (variants[at]!.cost - now.cost) / saved;
        if (best === undefined || price < best.price) best = { name, at, saved, price };
      }
    }
    if (best === undefined) break;
    choice.set(best.name, choice.get(best.name)!.slice(best.at));
    total -= best.saved;
  }
  return new Map([...choice].map(([name, variants]) => [name, variants[0]!.variant]));
}
