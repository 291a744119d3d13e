/** The debug build of the kernels: what a kernel's header says must hold is an assertion there. Only in `npm run debug`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { instantiateSync } from "@assemblyscript/loader";
import { beforeAll, describe, expect, it } from "vitest";
import type { KernelExports } from "../src/tape.ts";

const folder = join(import.meta.dirname, "../wasm");
/** The second page: the first holds the tables that `exp` reads. */
const at = 65536;

interface Instance {
  readonly memory: WebAssembly.Memory;
  readonly exports: KernelExports;
}
let debug: Instance;
let release: Instance;

/** By AssemblyScript's loader, whose `abort` reports an assertion that fails. */
function instance(file: string): Instance {
  const memory = new WebAssembly.Memory({ initial: 2 });
  const { exports } = instantiateSync<KernelExports & Record<string, unknown>>(readFileSync(file), { env: { memory } });
  return { memory, exports };
}

beforeAll(() => {
  debug = instance(join(folder, "debug/baseline.wasm"));
  release = instance(join(folder, "baseline.wasm"));
});

describe("the debug build", () => {
  it("gives the bytes of the release build", () => {
    const results = [debug, release].map(({ memory, exports }) => {
      const numbers = new Float32Array(memory.buffer, at, 12);
      numbers.set([1, 2, 3, 4, 5, 6]);
      exports.sigmoid_f32(0, 2, 3, at, at + 24);
      return [...numbers.subarray(6)];
    });
    expect(results[0]).toEqual(results[1]);
    expect(results[0]![0]!).toBeCloseTo(1 / (1 + Math.exp(-1)), 6);
  });

  it("traps where an assertion does not hold; the release build has none", () => {
    expect(() => debug.exports.sum_squares_f32(0, 1, 5, at, at + 64)).toThrow("sum_squares_f32.ts");
    expect(() => release.exports.sum_squares_f32(0, 1, 5, at, at + 64)).not.toThrow();
    expect(() => debug.exports.sum_squares_f32(0, 1, 8, at, at + 64)).not.toThrow();
  });
});
