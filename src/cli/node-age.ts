/** What an old Node costs. */
import process from "node:process";

/** The first Node with relaxed SIMD: V8 11.4. */
const RELAXED_NODE = 21;

/** Node that lacks what the fastest kernels are made of, in a sentence; ResNet-50 took 1.6 to 2.6 times as long in Node 20 as in 26. */
export function slowNode(
  versions: Readonly<Record<string, string | undefined>> = process.versions,
): string | undefined {
  const { node = "", bun, deno } = versions;
  if (bun !== undefined || deno !== undefined || Number.parseInt(node, 10) >= RELAXED_NODE) return undefined;
  return `Node ${node} has no relaxed SIMD, which makes this about half as fast as Node 26`;
}
