/**
 * One load in a fresh process, as JSON: `node cold.ts FILE`. The file's bytes are in memory before, and the library is imported.
 *
 * `floorMs` is what nothing can go below on this machine: as many bytes as the model's memory then has, copied into fresh wasm
 * memory. Most of it is the system's first touch of every page.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { load } from "../../src/runtimes/node.ts";

export interface ColdLoad {
  readonly loadMs: number;
  /** CPU time of the thread, which other processes disturb less. */
  readonly loadCpuMs: number;
  readonly firstMs: number;
  readonly secondMs: number;
  readonly floorMs: number;
  readonly floorCpuMs: number;
  readonly memoryMB: number;
  /** Of the logits. */
  readonly sum: number;
}

/** Milliseconds of work, and of CPU in it. */
async function timed<T>(
  work: () => T | Promise<T>,
): Promise<{ readonly ms: number; readonly cpuMs: number; readonly value: T }> {
  const before = process.threadCpuUsage();
  const began = performance.now();
  const value = await work();
  const ms = performance.now() - began;
  const { user, system } = process.threadCpuUsage(before);
  return { ms, cpuMs: (user + system) / 1000, value };
}

const bytes = readFileSync(process.argv[2]!);
// What stripping the types left behind: the package has none of it, and its collection would fall into the load.
globalThis.gc?.();
const loaded = await timed(() => load(bytes));
const model = loaded.value;
const { memoryBytes } = model;
const shape = [1, 224, 224, 3] as const;
const data = Float32Array.from({ length: 224 * 224 * 3 }, (_, i) => Math.SQRT2 * Math.sin(i * i));
const first = await timed(() => model.logits({ data, shape }));
const second = await timed(() => model.logits({ data, shape }));
const from = new Uint8Array(memoryBytes).fill(1);
const fresh = new WebAssembly.Memory({ initial: Math.ceil(memoryBytes / 65536) });
const floor = await timed(() => new Uint8Array(fresh.buffer).set(from));
const cold: ColdLoad = {
  ...{ loadMs: loaded.ms, loadCpuMs: loaded.cpuMs, floorMs: floor.ms, floorCpuMs: floor.cpuMs },
  ...{ firstMs: first.ms, secondMs: second.ms, memoryMB: memoryBytes / 1e6 },
  sum: first.value.data.reduce((a, b) => a + b),
};
process.stdout.write(JSON.stringify(cold));
