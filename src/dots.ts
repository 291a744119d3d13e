/**
 * Which int8 products are faster in this engine on this machine, found by measurement and kept per process. `relaxed_dot` is one
 * instruction on arm64 and, in V8, with AVX-VNNI; elsewhere it is several. Results do not depend on it.
 */
import { DOT8, DOT16 } from "../wasm/tile.js";
import { compareSteps } from "./compare.ts";
import { type Build, loadKernels } from "./kernels.ts";
import { STATIC_BYTES } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import { step } from "./tape.ts";
import type { Dots } from "./variants.ts";

/**
 * Time of `dot8` from operand to result, over that of `dot16` and its addition, up to which it is one instruction. One: 1.0 or less by the
 * tables of instructions; several, seen on Zen 3: 1.6 to 1.75 (V8, optimised or not, and Bun). No machine is near the bound, so that
 * the choice is the same whenever it is made.
 */
const ONE_INSTRUCTION = 1.3;
/** A share from which on the answer is clear. One that is small is not: 3 of 20 busy processes of Bun saw 1.1 and less in their first 1.5 ms. */
const CLEARLY_SEVERAL = 1.5;
/** Least time that is spent, in ms, where the share is clear and where it is not, and most. */
const [CLEAR_MS, LEAST_MS, MOST_MS] = [4, 10, 100];

const measured = new Map<Build, Promise<Dots>>();

/** Which products to prefer, measured once per process and build; `both` where the clock stands still. */
export function measureDots(runtime: Runtime, build: Build): Promise<Dots> {
  const known = measured.get(build) ?? measure(runtime, build);
  measured.set(build, known);
  return known;
}

async function measure(runtime: Runtime, build: Build): Promise<Dots> {
  if (build === "baseline") return "dot16";
  const { exports } = await loadKernels(runtime, build, new WebAssembly.Memory({ initial: 1 }));
  const steps = [DOT16, DOT8].map((kind) => step("dots", "probe_dot_i8", 4, { kind, out: STATIC_BYTES }));
  const times = compareSteps(exports, steps, ({ best, spentMs, isStable }) => {
    const share = best[1]! / best[0]!;
    const leastMs = share >= CLEARLY_SEVERAL ? CLEAR_MS : LEAST_MS;
    return spentMs >= MOST_MS || (isStable && spentMs >= leastMs);
  });
  return times !== undefined && times.best[1]! <= ONE_INSTRUCTION * times.best[0]! ? "dot8" : "both";
}
