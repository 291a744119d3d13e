/** The tape is what runs: that of ResNet-18 stands here to be read, and a change of plan shows as a change of text. */
import { expect, it } from "vitest";
import { fold } from "../src/fold.ts";
import { outputNode } from "../src/graph.ts";
import { resnet, resnetSpec } from "../src/models/resnet.ts";
import { defaultMemory, fitWeights, plan } from "../src/plan.ts";
import { printTape, withScratchAt } from "../src/tape.ts";

it("of ResNet-18 is the one on file", async () => {
  const graph = fold(resnet("resnet18", resnetSpec("resnet18")));
  const target = { build: "relaxed", threads: 1 } as const;
  const budget = { memory: defaultMemory(graph), winograd: true };
  const weights = fitWeights(graph, target, budget, outputNode(graph).inputs);
  const { tape } = plan(graph, weights, target, 1, [224, 224, 3], []);
  await expect(`${printTape(tape)}\n`).toMatchFileSnapshot("golden/resnet18.tape.txt");
});

it("gives a thread its own scratch, and changes nothing else", () => {
  const args = [8192, 6, 8, 12, 49, 64, 64, 1, 64, 64, 4096, 4096, 0, 4096, 0, 6];
  const step = { label: "", kernel: "gemm_f32", units: 1, args } as const;
  expect(withScratchAt(step, 100).args).toEqual([8292, ...args.slice(1)]);
  const other = { ...step, kernel: "clamp_f32" } as const;
  expect(withScratchAt(other, 100)).toBe(other);
});
