/** Kernel instances for tests: the builds that this engine can run, each over a memory of its own. */
import { readFileSync } from "node:fs";
import { instantiate } from "@assemblyscript/loader";
import { BUILDS, type Build, type Kernels, loadKernels, supportsRelaxed } from "../src/kernels.ts";
import { STATIC_BYTES } from "../src/plan.ts";
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

const kept = new Map<string, Promise<Kernels>>();

/**
 * The same instance each time, for tests that fill the whole memory: an engine reserves 10 GB of addresses for each memory,
 * which QEMU keeps account of page by page (0.2 s and 50 MB).
 */
export function keptKernels(build: Build, pages: number): Promise<Kernels> {
  const key = `${build} ${pages}`;
  const kernels = kept.get(key) ?? kernelsOf(build, pages);
  kept.set(key, kernels);
  return kernels;
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

/** 37 i + 11 for every i: what no kernel would write by chance. */
const CANARIES = Uint8Array.from({ length: 65536 }, (_, i) => (i * 37 + 11) & 255);

/** Fills memory with canaries, but for what belongs to the module. */
export function fillCanaries(memory: Pick<WebAssembly.Memory, "buffer">): void {
  const all = new Uint8Array(memory.buffer);
  for (let at = 0; at < all.length; at += CANARIES.length) {
    const first = Math.max(at, STATIC_BYTES);
    if (first < at + CANARIES.length) all.set(CANARIES.subarray(first - at), first);
  }
}

/** How many bytes outside `writable` (in ascending order) two states of a memory differ in. */
export function strayedBytes(
  before: Uint8Array,
  after: Uint8Array,
  writable: readonly { readonly address: number; readonly bytes: number }[],
): number {
  let strayed = 0;
  let at = 0;
  for (const { address, bytes } of [...writable, { address: after.length, bytes: 0 }]) {
    const [was, is] = [Buffer.from(before.buffer, at, address - at), Buffer.from(after.buffer, at, address - at)];
    // One comparison of all bytes is a hundred times as fast as a loop, and they hardly ever differ.
    if (!was.equals(is)) for (let i = 0; i < was.length; ++i) if (was[i] !== is[i]) strayed += 1;
    at = address + bytes;
  }
  return strayed;
}
