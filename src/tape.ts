/**
 * The tape: a network as an array of kernel calls that are plain data. Every thread of every runtime runs the same loop
 * over it; training is the same loop over a longer tape.
 */
import { KERNEL_ARGUMENTS } from "../wasm/arguments.js";
import type { instantiate } from "../wasm/baseline.js";

/** What the compiled module exports, typed by the declarations that `asc` writes. */
export type KernelExports = Omit<Awaited<ReturnType<typeof instantiate>>, "memory">;
export type KernelName = keyof KernelExports & keyof typeof KERNEL_ARGUMENTS;

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

/** A kernel's arguments after `from` and `to`, by name. */
export type KernelArgs<K extends KernelName> = Readonly<Record<(typeof KERNEL_ARGUMENTS)[K][number], number>>;

/** One kernel call over a range of `units` independent units. */
export interface Step {
  /** The node it belongs to, and what of it. */
  readonly label: string;
  readonly kernel: KernelName;
  readonly units: number;
  /** Everything after `from` and `to`, in the kernel's order: counts in elements, addresses in bytes. */
  readonly args: readonly number[];
}

export type Tape = readonly Step[];

/**
 * Makes a step. Arguments are given by name, every one exactly once: a missing, a wrong or an extra name does not compile,
 * whether it is written out or comes from a spread.
 */
export function step<K extends KernelName, A extends KernelArgs<K>>(
  label: string,
  kernel: K,
  units: number,
  args: A & { readonly [Extra in Exclude<keyof A, keyof KernelArgs<K>>]: never },
): Step {
  const names: readonly (keyof A)[] = KERNEL_ARGUMENTS[kernel] as readonly string[] as readonly (keyof A)[];
  return { label, kernel, units, args: names.map((name) => args[name] as number) };
}

/**
 * The same step with scratch memory `bytes` further on. A tape is written for the first thread; the others move their
 * scratch, which is the first argument of every kernel that has any.
 */
export function withScratchAt(each: Step, bytes: number): Step {
  if (KERNEL_ARGUMENTS[each.kernel][0] !== "scratch") return each;
  return { ...each, args: each.args.with(0, each.args[0]! + bytes) };
}

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

/** A tape as text, a step a line: what it computes, the kernel, how many units, the arguments by name. */
export function printTape(tape: Tape): string {
  return tape
    .map(({ label, kernel, units, args }) => {
      const named = KERNEL_ARGUMENTS[kernel].map((name, i) => `${name}=${args[i]}`);
      return `${label.padEnd(28)} ${kernel.padEnd(30)} ×${units}  ${named.join(" ")}`;
    })
    .join("\n");
}
