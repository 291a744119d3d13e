/**
 * Which int8 products are faster in this engine on this machine, found by measurement and kept per process. `relaxed_dot` is one
 * instruction on arm64 and, in V8, with AVX-VNNI; elsewhere it takes several and gains nothing. Results do not depend on it.
 */
import { DOT8, DOT16 } from "../wasm/tile.js";
import { compareSteps } from "./compare.ts";
import { type Build, loadKernels } from "./kernels.ts";
import { STATIC_BYTES } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import { type Step, step } from "./tape.ts";
import { type Dots, tilesOf, type Vectors } from "./variants.ts";

/** A product small enough for the first cache: rows, outputs, and depth. */
const [M, N, K] = [40, 64, 256];
/**
 * Speed of `dot8` over that of `dot16` from which it is chosen. Seen: 2.3 (Zen 5, V8), 1.0 (Zen 3 and 4, V8), 0.7 (Firefox, Bun): no
 * machine is near the bound, so that the choice is the same whenever it is made.
 */
const WORTH = 1.4;
/** Least and most time that is spent, in ms: the engine's optimising compiler must have had its turn. */
const [LEAST_MS, MOST_MS] = [15, 200];

const measured = new Map<string, Promise<Dots>>();

/** The faster way to multiply, measured once per process, build and kind of tile; `unknown` where the clock stands still. */
export function measureDots(runtime: Runtime, build: Build, vectors: Vectors): Promise<Dots> {
  const key = `${build} ${vectors}`;
  const known = measured.get(key) ?? measure(runtime, build, vectors);
  measured.set(key, known);
  return known;
}

async function measure(runtime: Runtime, build: Build, vectors: Vectors): Promise<Dots> {
  if (build === "baseline") return "dot16";
  const { exports } = await loadKernels(runtime, build, new WebAssembly.Memory({ initial: 8 }));
  const tiles = tilesOf(build, vectors);
  const steps = [product(DOT16, tiles.dot16), product(DOT8, tiles.dot8)];
  const best = compareSteps(exports, steps, ({ spentMs, isStable }) => {
    return spentMs >= MOST_MS || (isStable && spentMs >= LEAST_MS);
  });
  if (best === undefined) return "unknown";
  return best[0]! >= WORTH * best[1]! ? "dot8" : "dot16";
}

function product(kind: number, tile: { readonly mr: number; readonly nr: number }): Step {
  const input = STATIC_BYTES;
  const panels = input + 2 * M * K;
  const out = panels + (N / 8) * (K + 8) * 8;
  return step("dots", "conv_i8", N / tile.nr, {
    ...{ scratch: out + M * N, kind, ...tile, mc: M, batch: 1, h: 1, w: M, c: K, oh: 1, ow: M, n: N },
    ...{ kh: 1, kw: 1, sh: 1, sw: 1, dh: 1, dw: 1, top: 0, left: 0, groups: 1, dequantize: 0 },
    ...{ input, panels, residual: 0, zeros: input, out, rs: 0, lo: 0, hi: 127 },
  });
}
