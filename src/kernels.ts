/**
 * The compiled kernels: which of the two builds this engine can run, and an instance of it.
 */
import type { Runtime } from "./runtime.ts";
import type { Build, KernelExports, Kernels } from "./tape.ts";

export { BUILDS, type Build, type Kernels } from "./tape.ts";

/**
 * `(x: i32) => lane 0 of i32x4.relaxed_dot_i8x16_i7x16_add_s(splat(x), splat(100), splat(7))`, so 400 · x + 7.
 * Assembled by hand: type, function, export "p", code.
 */
const PROBE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x06, 0x01, 0x60, 0x01, 0x7f, 0x01, 0x7f],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x07, 0x05, 0x01, 0x01, 0x70, 0x00, 0x00],
  ...[0x0a, 0x17, 0x01, 0x15, 0x00],
  ...[0x20, 0x00, 0xfd, 0x0f, 0x41, 0xe4, 0x00, 0xfd, 0x0f, 0x41, 0x07, 0xfd, 0x11],
  ...[0xfd, 0x93, 0x02, 0xfd, 0x1b, 0x00, 0x0b],
);

let relaxed: boolean | undefined;

/**
 * Whether this engine runs relaxed SIMD and gets its sums right: V8 11.3 (Node 20 with the flag) accepts it and
 * answers wrongly in its first compiler tier.
 */
export function supportsRelaxed(): boolean {
  relaxed ??= runsRelaxed();
  return relaxed;
}

function runsRelaxed(): boolean {
  if (!WebAssembly.validate(PROBE)) return false;
  let probe: WebAssembly.Module;
  try {
    probe = new WebAssembly.Module(PROBE);
  } catch {
    // Valid, but nothing may be compiled while running: Workers, whose engines are newer than that.
    return true;
  }
  const { p } = new WebAssembly.Instance(probe).exports as { p(x: number): number };
  return p(3) === 1207 && p(-128) === -51193;
}

/** The build to use: what was asked for, or the best this engine can run. */
export function pickBuild(build: Build | "auto" = "auto"): Build {
  if (build !== "auto") return build;
  return supportsRelaxed() ? "relaxed" : "baseline";
}

/** An instance of a compiled build over `memory`. Kernels take and return numbers only, so the loader's wrappers are not needed. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): KernelExports {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as KernelExports;
}

/**
 * Loads a build over `memory`, which decides whether it is the plain or the shared twin.
 *
 * @throws WebAssembly.CompileError when the engine cannot run it
 */
export async function loadKernels(runtime: Runtime, build: Build, memory: WebAssembly.Memory): Promise<Kernels> {
  const shared = typeof SharedArrayBuffer !== "undefined" && memory.buffer instanceof SharedArrayBuffer;
  const module = await moduleOf(runtime, build, shared);
  return { build, module, memory, exports: instantiateKernels(module, memory) };
}

function moduleOf(runtime: Runtime, build: Build, shared: boolean): Promise<WebAssembly.Module> {
  return runtime.module(shared ? `${build}.shared` : build);
}

/** Starts compiling a build, to be there when it is needed; what goes wrong is thrown then. */
export function prepareKernels(runtime: Runtime, build: Build, shared: boolean): void {
  moduleOf(runtime, build, shared).catch(() => {});
}
