/** The linear algebra of heads, assembly/solve/, over a memory that goes with what was computed in it. */
import type { Runtime } from "../../runtime.ts";

interface Exports {
  heap(): number;
  pack(
    rows: number,
    columns: number,
    strideRow: number,
    strideColumn: number,
    isDouble: number,
    values: number,
    panels: number,
    scale: number,
  ): void;
  product(
    from: number,
    to: number,
    k: number,
    panels: number,
    upper: number,
    stride: number,
    a: number,
    b: number,
    c: number,
  ): void;
  tridiagonalise(m: number, stride: number, a: number, diagonal: number, off: number, tau: number, work: number): void;
  reflect(from: number, to: number, m: number, stride: number, back: number, a: number, tau: number, x: number): void;
  leverage(from: number, to: number, m: number, z: number, ratios: number, inverses: number, out: number): void;
}

/** Columns of a panel. */
export const PANEL = 4;
/** λ that `leverage` computes with at once. */
export const LAMBDAS = 12;
const PAGE_BYTES = 65536;

/** One instance, and its memory, which grows to what is needed at once: it is used again by what is computed next. */
export class Solver {
  readonly call: Exports;
  readonly #memory: WebAssembly.Memory;
  readonly #start: number;
  #end: number;

  constructor(module: WebAssembly.Module) {
    this.#memory = new WebAssembly.Memory({ initial: 1 });
    this.call = new WebAssembly.Instance(module, { env: { memory: this.#memory } }).exports as unknown as Exports;
    this.#start = Math.ceil(this.call.heap() / 16) * 16;
    this.#end = this.#start;
  }

  /** Lets all room be taken again. */
  clear(): void {
    this.#end = this.#start;
  }

  /** The address of room for so many bytes, which are zero. Throws RangeError where there is no more memory. */
  take(bytes: number): number {
    const start = this.#end;
    this.#end = Math.ceil((start + bytes) / 16) * 16;
    const missing = this.#end - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    new Uint8Array(this.#memory.buffer, start, bytes).fill(0);
    return start;
  }

  /** Numbers at an address: until `take` is called again. */
  f64(address: number, count: number): Float64Array {
    return new Float64Array(this.#memory.buffer, address, count);
  }

  /** As `f64`. */
  f32(address: number, count: number): Float32Array {
    return new Float32Array(this.#memory.buffer, address, count);
  }
}

/** A new one. Heads alone need the module, so it is fetched when the first is made. */
export async function createSolver(runtime: Runtime): Promise<Solver> {
  return new Solver(await runtime.module("solve"));
}

/** The next multiple of a panel's columns. */
export function padded(count: number): number {
  return PANEL * Math.ceil(count / PANEL);
}
