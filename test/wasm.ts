/** Kernel instances for tests: the builds that this engine can run, each over a memory of its own. */
import { readFileSync } from "node:fs";
import { instantiate } from "@assemblyscript/loader";
import { BUILDS, type Build, type Kernels, loadKernels, supportsRelaxed } from "../src/kernels.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import type { KernelExports } from "../src/tape.ts";

/** Builds that this engine runs. Node 20 has no relaxed SIMD: there the relaxed build's tests do not exist. */
export const RUNNABLE: readonly Build[] = BUILDS.filter((build) => build === "baseline" || supportsRelaxed());

/** An instance; with `KERNELS=debug` in the environment the baseline build is the one with assertions (`npm run debug`). */
export async function kernelsOf(build: Build, pages: number): Promise<Kernels> {
  const memory = new WebAssembly.Memory({ initial: pages });
  if (process.env.KERNELS !== "debug" || build !== "baseline") return loadKernels(nodeRuntime(), build, memory);
  const file = new URL("../wasm/debug/baseline.wasm", import.meta.url);
  const module = new WebAssembly.Module(readFileSync(file));
  const { exports } = await instantiate<KernelExports & Record<string, unknown>>(module, { env: { memory } });
  return { build, module, memory, exports };
}

/** Deterministic numbers in [−1, 1): the fractional parts of a Weyl sequence through a xorshift. */
export function randomly(seed: number): () => number {
  let state = (seed * 0x9e3779b1 + 0x7f4a7c15) >>> 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 31 - 1;
  };
}
