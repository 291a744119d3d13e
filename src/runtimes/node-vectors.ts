/** The switch for 256-bit vectors: V8's packing of pairs of 128-bit operations (revectorization), off by default in Node. */
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { isMainThread } from "node:worker_threads";

/** First Node whose V8 packs enough of the kernels: Node 22 has the flag and packs little. */
const FIRST_NODE = 24;

/**
 * V8 versions under whose packing the kernels' laws, PyTorch's goldens, the int8 digests and 300 photos gave the same bytes as
 * without (`npm run test:vectors`, `.ci/int8.ts`): the command turns it on there by itself.
 */
const TESTED_V8: readonly string[] = ["14.6"];

/** Where this thread keeps whether it has turned it on: in one place for all copies of this file, which are in several bundles. */
const ENABLED = Symbol.for("resnet-wasm: pairs of vectors");

/**
 * Whether V8 may pack: false where nothing has turned it on, so that loading need not measure it. Undefined where that cannot be
 * known: in worker threads, whose process may have, and in Deno and Bun.
 */
export function mayPackPairs(): boolean | undefined {
  const { bun, deno } = process.versions as Readonly<Record<string, string | undefined>>;
  if (bun !== undefined || deno !== undefined || !isMainThread) return undefined;
  return ENABLED in globalThis || /revectorize/.test([...process.execArgv, process.env.NODE_OPTIONS].join(" "));
}

/** Whether packing was tested with the V8 that runs this. */
export function isWideTested(): boolean {
  return TESTED_V8.includes((process.versions.v8 ?? "").split(".").slice(0, 2).join("."));
}

/**
 * Lets V8 pack pairs of 128-bit WebAssembly SIMD operations into 256-bit ones, for all code that this process compiles from
 * now on, worker threads included. **Changes the V8 flags of the whole process**: call it before any WebAssembly is
 * compiled. Whether wide vectors are then used is still decided by measurement when a model is loaded, after a self-test of
 * every wide kernel. Results do not change by a bit.
 *
 * @returns false, having done nothing, where there is no such switch: Deno, Bun, Node before 24, other processors than x86-64
 */
export function enableWideVectors(): boolean {
  const { node, v8, bun, deno } = process.versions as Readonly<Record<string, string | undefined>>;
  if (bun !== undefined || deno !== undefined || process.arch !== "x64") return false;
  if (Number.parseInt(node ?? "0", 10) < FIRST_NODE) return false;
  const [major = 0, minor = 0] = (v8 ?? "").split(".").map(Number);
  // The flag's name lost its prefix in V8 15.3. V8 prints a complaint about a name that it does not know, so only one is set.
  const isRenamed = major > 15 || (major === 15 && minor >= 3);
  setFlagsFromString(isRenamed ? "--wasm-revectorize" : "--experimental-wasm-revectorize");
  Object.assign(globalThis, { [ENABLED]: true });
  return true;
}
