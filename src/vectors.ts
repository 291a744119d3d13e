/**
 * Whether this engine packs pairs of neighbouring 128-bit operations into 256-bit ones, found by measurement: wide tiles
 * are up to half as fast again where it does, and a third slower where it does not. Kept per process.
 */
import { DOT8, DOT16, HEADER_BYTES, PANEL_COLUMNS } from "../wasm/tile.js";
import { compareSteps, type Times } from "./compare.ts";
import { expectedGot } from "./errors.ts";
import { type Build, type Kernels, loadKernels } from "./kernels.ts";
import { STATIC_BYTES } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import { runStep, type Step, step } from "./tape.ts";
import { type Tile, tilesOf, type Vectors } from "./variants.ts";

/** A product small enough for the first cache: rows, outputs, depth. Rows and outputs do not fill their last tiles. */
const [M, N, K] = [53, 40, 96];
/** Calls of each tile in the self-test: before optimised code is there, and after. */
const CALLS = 300;
/** Time of products in pairs over that of the same without, up to which pairs are packed. Seen: packed 0.6, else 1.0. */
const PACKED = 0.8;
/**
 * How much faster code becomes at least when it is optimised. Before, nothing is packed, and the wide tile is the faster one in any
 * engine: so what is concluded earlier needs times that have fallen so much.
 */
const OPTIMISED = 1.4;
/** Least time, in ms, and most, for pairs and for tiles. */
const [LEAST_MS, PAIRS_MS, TILES_MS] = [10, 100, 400];
/** The share of the narrow tile's time up to which a wide tile is taken. Seen: packed 0.7 to 0.85, not packed 1.5. */
const WORTH = 0.97;

const SLOT_BYTES = 65536;
const ROWS = STATIC_BYTES;
const PANELS = ROWS + SLOT_BYTES;
const OUT = PANELS + SLOT_BYTES;
const OTHER = OUT + SLOT_BYTES;
const SCRATCH = OTHER + SLOT_BYTES;

const measured = new Map<Build, Promise<Measured>>();

/** What was found, and why where wide tiles were fast and are not used. */
export interface Measured {
  readonly vectors: Vectors;
  /** Kernels whose wide tile gave other bytes than the narrow one. */
  readonly wrong: readonly string[];
}

const NARROW: Measured = { vectors: 128, wrong: [] };

/**
 * The vectors to choose tiles for, measured once per process and build: 128 where the clock stands still, and where a wide tile
 * gives other bytes than its narrow twin.
 *
 * @param patience times as long it may take on a machine that is so busy that optimised code comes late: more than 1 where packing is expected
 */
export function measureVectors(runtime: Runtime, build: Build, patience = 1): Promise<Measured> {
  const known = measured.get(build);
  if (known !== undefined) return known;
  const result = measure(runtime, build, patience);
  measured.set(build, result);
  return result;
}

async function measure(runtime: Runtime, build: Build, patience: number): Promise<Measured> {
  const kernels = await loadKernels(runtime, build, new WebAssembly.Memory({ initial: 8 }));
  const [narrow, wide] = ([128, 256] as const).map((vectors) => tilesOf(build, vectors));
  if (!packsPairs(kernels, patience)) return NARROW;
  fill(kernels, "f32");
  // An engine may pack pairs, and not those of the tiles: Node 22 packs few.
  const products = [matrixProduct(wide!.f32, OTHER), matrixProduct(narrow!.f32, OUT)] as const;
  if (!isFaster(kernels, ...products, WORTH, patience * TILES_MS)) return NARROW;
  const kinds: readonly Kind[] = ["f32", "wgrad", "i16", "dot16", ...(build === "relaxed" ? (["dot8"] as const) : [])];
  const wrong = kinds.filter((kind) => {
    fill(kernels, kind);
    const tile = kind === "i16" ? "dot16" : kind === "wgrad" ? "f32" : kind;
    const bytes = [narrow![tile], wide![tile]].map((each, i) => {
      const address = i === 0 ? OUT : OTHER;
      const one = STEPS[kind](each, address);
      // Compilers differ in their optimised code: until then, and once more.
      for (let call = 0; call < CALLS; ++call) runStep(kernels.exports, one);
      return new Uint8Array(kernels.memory.buffer, address, 4 * Math.max(M, K) * N);
    });
    return bytes[0]!.some((value, i) => value !== bytes[1]![i]);
  });
  if (wrong.length === 0) return { vectors: 256, wrong };
  const hint = "this engine's packing of vectors is faulty; computing with 128 bits";
  console.warn(expectedGot("wide vectors", "the results of narrow ones", `others for ${wrong.join(", ")}`, hint));
  return { vectors: 128, wrong };
}

/** Whether neighbouring vectors are packed at all: two small kernels tell within milliseconds. */
function packsPairs(kernels: Kernels, patience: number): boolean {
  const pairs = step("vectors", "probe_pairs_f32", 1, { out: OUT, factor: 0.5 });
  const apart = step("vectors", "probe_apart_f32", 1, { out: OUT, factor: 0.5 });
  // Before code is optimised, they take the same time: a difference need not wait.
  return isFaster(kernels, pairs, apart, PACKED, patience * PAIRS_MS, true);
}

/**
 * Whether a step takes at most `share` of another's time, when both are optimised, or `mostMs` have passed, in which they would have been.
 *
 * @param isSure whether a difference that is seen before they are is one afterwards
 */
function isFaster(
  { exports }: Kernels,
  candidate: Step,
  current: Step,
  share: number,
  mostMs: number,
  isSure = false,
): boolean {
  const isLess = ({ best }: Times): boolean => best[0]! <= share * best[1]!;
  const isOptimised = ({ first, best }: Times): boolean => best.every((ms, i) => ms * OPTIMISED <= first[i]!);
  const times = compareSteps(exports, [candidate, current], (now) => {
    const isKnown = isOptimised(now) || (isSure && isLess(now));
    return now.spentMs >= mostMs || (now.spentMs >= LEAST_MS && now.isStable && isKnown);
  });
  return times !== undefined && isLess(times);
}

type Kind = "f32" | "wgrad" | "i16" | "dot16" | "dot8";

/** Random operands of a kind, and zeros where both tiles will write. */
function fill({ memory: { buffer } }: Kernels, kind: Kind): void {
  let state = 1;
  /** Deterministic, from −1 to 1. */
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  };
  const put = (values: Float32Array | Int32Array | Int16Array | Int8Array, of: (random: number) => number): void => {
    for (let i = 0; i < values.length; ++i) values[i] = of(random());
  };
  for (const address of [OUT, OTHER]) new Uint8Array(buffer, address, SLOT_BYTES).fill(0);
  if (kind === "f32" || kind === "wgrad") {
    for (const address of [ROWS, PANELS]) put(new Float32Array(buffer, address, SLOT_BYTES / 4), (x) => x);
    return;
  }
  if (kind === "dot8") put(new Int8Array(buffer, ROWS, SLOT_BYTES), (x) => Math.floor(64 + 63 * x));
  else put(new Int16Array(buffer, ROWS, SLOT_BYTES / 2), (x) => Math.floor((kind === "i16" ? 8636 : 128) * x));
  put(new Int8Array(buffer, PANELS, SLOT_BYTES), (x) => Math.floor(127 * x));
  if (kind === "i16") return;
  for (let panel = 0; panel < N / PANEL_COLUMNS; ++panel) {
    const header = PANELS + panel * (HEADER_BYTES + PANEL_COLUMNS * K);
    put(new Int32Array(buffer, header, PANEL_COLUMNS), (x) => Math.floor(5000 * x));
    put(new Float32Array(buffer, header + HEADER_BYTES / 2, PANEL_COLUMNS), (x) => (x + 1.5) / 4000);
  }
}

function unitsOf({ nr }: Tile): number {
  return Math.ceil(N / nr);
}

function matrixProduct(tile: Tile, out: number): Step {
  return step("vectors", "gemm_f32", unitsOf(tile), {
    ...{ scratch: SCRATCH, ...tile, mc: M, m: M, n: N, k: K, groups: 1, lda: K, ldo: N },
    ...{ a: ROWS, panels: PANELS, residual: 0, out, lo: -1e9, hi: 1e9 },
  });
}

function convolution(kind: number): (tile: Tile, out: number) => Step {
  return (tile, out) =>
    step("vectors", "conv_i8", unitsOf(tile), {
      ...{ scratch: SCRATCH, kind, ...tile, mc: M, batch: 1, h: 1, w: M, c: K, oh: 1, ow: M, n: N },
      ...{ kh: 1, kw: 1, sh: 1, sw: 1, dh: 1, dw: 1, top: 0, left: 0, groups: 1, dequantize: 0 },
      ...{ input: ROWS, panels: PANELS, residual: 0, zeros: OTHER, out, rs: 0, lo: -127, hi: 127 },
    });
}

const STEPS: Readonly<Record<Kind, (tile: Tile, out: number) => Step>> = {
  f32: matrixProduct,
  wgrad: ({ mr, nr }, dw) =>
    step("vectors", "gemm_wgrad_f32", Math.ceil(K / mr) * Math.ceil(N / nr), {
      ...{ scratch: SCRATCH, mr, nr, mc: M, m: M, n: N, k: K, groups: 1, lda: K, ldb: N, ldo: N, ogo: 0, adds: 0 },
      ...{ input: ROWS, dy: PANELS, dw },
    }),
  i16: (tile, out) =>
    step("vectors", "gemm_i16", unitsOf(tile), {
      ...{ scratch: SCRATCH, ...tile, mc: M, m: M, n: N, k: K, groups: 1, a: ROWS, panels: PANELS, out },
    }),
  dot16: convolution(DOT16),
  dot8: convolution(DOT8),
};
