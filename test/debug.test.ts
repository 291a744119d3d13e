/** The debug build of the kernels (`npm run debug`): what a kernel's header says must hold is an assertion there. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { instantiateSync } from "@assemblyscript/loader";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { KernelExports } from "../src/tape.ts";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-debug-"));
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
  const file = join(folder, "debug.wasm");
  const args = ["--config", "asconfig.json", "--target", "debug", "--outFile", file];
  execFileSync(process.execPath, [join(root, "node_modules/assemblyscript/bin/asc.js"), ...args], { cwd: root });
  debug = instance(file);
  release = instance(join(root, "wasm/baseline.wasm"));
});
afterAll(() => rmSync(folder, { recursive: true }));

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
