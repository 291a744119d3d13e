/**
 * How fast this engine multiplies int8. `relaxed_dot` is one instruction on arm64 and with AVX-VNNI, and five elsewhere:
 * what it is here decides which convolutions use it, by measurement, not by a name. The results do not depend on it.
 */
import { type Build, loadKernels } from "./kernels.ts";
import { STATIC_BYTES } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import { runStep, step } from "./tape.ts";
import { DEFAULT_DOT_THROUGHPUT, type DotThroughput, tilesOf, type Vectors } from "./variants.ts";

/** A product small enough for the first cache: rows, outputs, and depth. */
const [M, N, K] = [40, 64, 256];
/** Calls of each kind: some milliseconds in all, in which the engine's optimising compiler has its turn. */
const CALLS = 400;
/** Calls after which a clock that has not moved will not move: they take longer than the coarsest tick. */
const PATIENCE = 100;

/**
 * Measures both ways to multiply. Where a build has one way, or a runtime's clock stands still (Workers), what is usual is
 * returned.
 */
export async function measureDotThroughput(runtime: Runtime, build: Build, vectors: Vectors): Promise<DotThroughput> {
  const tiles = tilesOf(build, vectors);
  if (build === "baseline") return DEFAULT_DOT_THROUGHPUT[build];
  const memory = new WebAssembly.Memory({ initial: 8 });
  const { exports } = await loadKernels(runtime, build, memory);
  const input = STATIC_BYTES;
  const panels = input + 2 * M * K;
  const out = panels + (N / 8) * (K + 8) * 8;
  const scratch = out + M * N;
  const steps = [0, 1].map((kind) =>
    step("dot throughput", "conv_i8", N / tiles[kind === 0 ? "dot16" : "dot8"].nr, {
      ...{
        scratch,
        kind,
        ...tiles[kind === 0 ? "dot16" : "dot8"],
        mc: M,
        batch: 1,
        h: 1,
        w: M,
        c: K,
        oh: 1,
        ow: M,
        n: N,
      },
      ...{ kh: 1, kw: 1, sh: 1, sw: 1, dh: 1, dw: 1, top: 0, left: 0, groups: 1, dequantize: 0 },
      ...{ input, panels, residual: 0, zeros: input, out, rs: 0, lo: 0, hi: 127 },
    }),
  );
  const best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const began = performance.now();
  for (let call = 0; call < CALLS; ++call) {
    if (call === PATIENCE && performance.now() === began) break;
    for (const kind of [0, 1]) {
      const start = performance.now();
      runStep(exports, steps[kind]!);
      best[kind] = Math.min(best[kind]!, performance.now() - start);
    }
  }
  const [dot16, dot8] = best.map((ms) => (M * N * K) / ms);
  const isPlausible = [dot16!, dot8!].every((rate) => Number.isFinite(rate) && rate > 0);
  return isPlausible ? { dot8: dot8!, dot16: dot16! } : DEFAULT_DOT_THROUGHPUT[build];
}
