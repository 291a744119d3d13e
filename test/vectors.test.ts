/** Wide tiles: chosen by measurement, and never with other bytes than narrow ones. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { describe, expect, it } from "vitest";
import { bytesOf } from "../bench/lib/prepared.ts";
import { loadWith } from "../src/classifier.ts";
import { fold } from "../src/fold.ts";
import { inputShape, outputNode } from "../src/graph.ts";
import { loadKernels } from "../src/kernels.ts";
import { randomCheckpoint } from "../src/models/random.ts";
import { resnet, resnetSpec } from "../src/models/resnet.ts";
import { defaultMemory, fitWeights, plan } from "../src/plan.ts";
import { load, nodeRuntime } from "../src/runtimes/node.ts";
import { enableWideVectors, mayPackPairs } from "../src/runtimes/node-vectors.ts";
import { run } from "../src/tape.ts";
import { tilesOf, type Vectors } from "../src/variants.ts";
import { measureVectors } from "../src/vectors.ts";
import { ensureMemory, packWeights } from "../src/weights.ts";
import { goldenInt8 } from "./golden/int8.ts";
import { RUNNABLE } from "./wasm.ts";

describe.each(RUNNABLE)("%s", (build) => {
  it("gives the same logits with wide tiles as with narrow ones, to the bit", async () => {
    const whole = resnet("resnet18", resnetSpec("resnet18"));
    const graph = fold(whole);
    const budget = { memory: defaultMemory(graph), winograd: true };
    const logits = async (vectors: Vectors): Promise<Buffer> => {
      const target = { build, threads: 1, vectors };
      const weights = fitWeights(graph, target, budget, outputNode(graph).inputs);
      const { memory, ...kernels } = await loadKernels(nodeRuntime(), build, new WebAssembly.Memory({ initial: 1 }));
      await packWeights("resnet18", graph, weights, randomCheckpoint(whole, 1), { memory, ...kernels });
      const { tape, addresses, end } = plan(graph, weights, target, 1, [64, 64, 3], []);
      ensureMemory(memory, end);
      new Float32Array(memory.buffer, addresses.get("input")!, 64 * 64 * 3).forEach((_, i, all) => {
        all[i] = Math.sin(i * i);
      });
      run(kernels.exports, tape);
      return Buffer.from(memory.buffer.slice(addresses.get(outputNode(graph).name)!).slice(0, 4000));
    };
    expect(inputShape(graph)).toEqual([224, 224, 3]);
    expect((await logits(256)).equals(await logits(128))).toBe(true);
  });
  it("keeps to narrow tiles when asked", async () => {
    const bytes = await bytesOf(randomCheckpoint(resnet("resnet20", resnetSpec("resnet20")), 1));
    const model = await load(bytes, { arch: "resnet20", build, vectors: 128 });
    expect(model.vectors).toBe(128);
    await model.dispose();
    const wrong = load(bytes, { arch: "resnet20", build, vectors: 512 as never });
    await expect(wrong).rejects.toThrow("vectors: expected 128 or auto, got 512");
  });
  it("finds no wrong tile, once per process", async () => {
    const first = measureVectors(nodeRuntime(), build);
    expect(measureVectors(nodeRuntime(), build)).toBe(first);
    const { vectors, wrong } = await first;
    expect([128, 256]).toContain(vectors);
    expect(wrong).toEqual([]);
  });
  it("computes where the runtime measures nothing: Workers", async () => {
    const { measure: _, ...still } = nodeRuntime();
    const model = await loadWith(still, goldenInt8("resnet20", resnetSpec("resnet20")), { build });
    expect(model.vectors).toBe(128);
    await model.dispose();
  });
  it("has 16 columns where pairs are packed, and 8 where not", () => {
    for (const { nr } of Object.values(tilesOf(build, 128))) expect(nr).toBe(8);
    for (const { nr } of Object.values(tilesOf(build, 256))) expect(nr).toBe(16);
  });
});

it("can be switched on from Node 24 on x86-64, and says so where not", () => {
  const able = process.arch === "x64" && Number.parseInt(process.versions.node, 10) >= 24;
  expect(enableWideVectors()).toBe(able);
  // In worker threads it is not known.
  expect([able, undefined]).toContain(mayPackPairs());
  // What this process compiles later need not be packed.
  if (able) setFlagsFromString("--no-experimental-wasm-revectorize");
});

describe("modules that V8 compiles where it packs pairs", () => {
  // A fault of V8's packing ends the process, and only when the optimising compiler reaches the function that it cannot do.
  const folder = join(import.meta.dirname, "../wasm");
  const flags = ["--experimental-wasm-revectorize", "--no-liftoff", "--no-wasm-tier-up", "--no-wasm-lazy-compilation"];
  const compile = 'new WebAssembly.Module(require("node:fs").readFileSync(process.argv[1]))';
  const isPacking = process.arch === "x64" && Number(process.versions.node.split(".")[0]) >= 24;
  it.runIf(isPacking).each(readdirSync(folder).filter((name) => name.endsWith(".wasm")))("%s", (name) => {
    const { status, stderr } = spawnSync(process.execPath, [...flags, "--eval", compile, join(folder, name)]);
    expect(status, stderr.toString()).toBe(0);
  });
});
