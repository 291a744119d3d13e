/**
 * The tape: a network as an array of kernel calls that are plain data. Every thread of every runtime runs the same loop
 * over it; training is the same loop over a longer tape.
 */
import type { instantiate } from "../wasm/baseline.js";

/** What the compiled module exports: typed by the declarations that `asc` writes, so a wrong call does not compile. */
export type KernelExports = Omit<Awaited<ReturnType<typeof instantiate>>, "memory">;
export type KernelName = keyof KernelExports;

/** `baseline` is SIMD128; `relaxed` adds relaxed SIMD, whose one opcode makes a module invalid where it is unknown. */
export type Build = "baseline" | "relaxed";
export const BUILDS: readonly Build[] = ["baseline", "relaxed"];

/** An instance of one build over a memory of ours. */
export interface Kernels {
  readonly build: Build;
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly exports: KernelExports;
}

type AfterRange<A extends unknown[]> = A extends [unknown, unknown, ...infer Rest] ? Rest : never;
/** A kernel's arguments after `from` and `to`. */
export type KernelArgs<K extends KernelName> = AfterRange<Parameters<KernelExports[K]>>;

/** One kernel call over a range of `units` independent units. */
export interface Step {
  /** The node it belongs to, and what of it. */
  readonly label: string;
  readonly kernel: KernelName;
  readonly units: number;
  /** Everything after `from` and `to`: counts in elements, addresses in bytes. */
  readonly args: readonly number[];
}

export type Tape = readonly Step[];

/** Makes a step; the kernel's name decides which arguments compile. */
export function step<K extends KernelName>(label: string, kernel: K, units: number, ...args: KernelArgs<K>): Step {
  return { label, kernel, units, args: args as readonly number[] };
}

/**
 * Which argument after the range is the running thread's scratch. A tape is written for the first thread; the others put
 * their own address there.
 */
export const SCRATCH_ARG: Readonly<Partial<Record<KernelName, number>>> = {
  gemm_f32: 12,
  conv_f32: 23,
  im2col_f32: 19,
  conv_i8: 25,
  im2col_i8: 21,
  winograd4_input_i8: 12,
  winograd4_output_i8: 10,
  winograd2_input_f32: 12,
  winograd4_input_f32: 12,
  winograd2_output_f32: 9,
  winograd4_output_f32: 9,
  outer_f32: 14,
  outer_conv_f32: 21,
  conv_input_f32: 21,
  winograd4_pack_f32: 6,
  winograd4_gradient_f32: 9,
  winograd4_unpack_f32: 4,
};

type Call = (from: number, to: number, ...args: readonly number[]) => void;

/** Runs one step over its whole range. */
export function runStep(exports: KernelExports, { kernel, units, args }: Step): void {
  (exports[kernel] as Call)(0, units, ...args);
}

/** Runs the share of a step that is worker `index`'s in a team of `size`. */
export function runShare(exports: KernelExports, { kernel, units, args }: Step, index: number, size: number): void {
  const from = Math.floor((units * index) / size);
  const to = Math.floor((units * (index + 1)) / size);
  if (from < to) (exports[kernel] as Call)(from, to, ...args);
}

/** Runs a tape from first step to last. */
export function run(exports: KernelExports, tape: Tape): void {
  for (const each of tape) runStep(exports, each);
}

/** A tape as text, a step a line: what it computes, the kernel, how many units, the arguments. */
export function printTape(tape: Tape): string {
  return tape
    .map(({ label, kernel, units, args }) => `${label.padEnd(28)} ${kernel.padEnd(16)} ×${units}  ${args.join(" ")}`)
    .join("\n");
}
