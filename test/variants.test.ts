/** The choice of algorithms: what fits, what a budget gives up first, what tuning changes. */
import { describe, expect, it } from "vitest";
import { fold } from "../src/fold.ts";
import { outputNode } from "../src/graph.ts";
import { resnet, resnetSpec } from "../src/models/resnet.ts";
import { defaultMemory, fitWeights, plan, planWeights } from "../src/plan.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { tuneGraph } from "../src/tune.ts";
import { choose, type Tuning } from "../src/variants.ts";

const graphOf = (name: string): ReturnType<typeof resnet> => fold(resnet(name, resnetSpec(name)));

function algorithms(name: string, bytes: number, tuning?: Tuning): readonly string[] {
  return [...choose(graphOf(name), bytes, 1, tuning).values()].map(({ algorithm }) => algorithm);
}

describe("choose", () => {
  it("takes Winograd for every 3×3 with stride 1 when memory is plenty", () => {
    const chosen = choose(graphOf("resnet18"), 1e9);
    expect(chosen.get("layer1.0.conv1")!.algorithm).toBe("winograd4");
    expect(chosen.get("layer2.0.conv1")!.algorithm).toBe("direct");
    expect(chosen.get("conv1")!.algorithm).toBe("im2col");
    expect(chosen.get("fc")!.algorithm).toBe("gemm");
  });
  it("computes grouped convolutions directly", () => {
    expect(choose(graphOf("resnext50_32x4d"), 1e9).get("layer1.0.conv2")!.algorithm).toBe("direct");
  });
  it("gives up Winograd layer by layer as the budget shrinks, never refusing", () => {
    const counts = [300e6, 150e6, 80e6, 0].map(
      (bytes) => algorithms("resnet18", bytes).filter((algorithm) => algorithm.startsWith("winograd")).length,
    );
    expect(counts[0]).toBe(13);
    expect(counts.at(-1)).toBe(0);
    expect(counts).toEqual([...counts].sort((a, b) => b - a));
  });
  it("believes measured times", () => {
    const key = "7×7×512 ← 512, 3×3/1×1";
    const slow: Tuning = { build: "relaxed", ms: { [key]: { winograd4: 9, winograd2: 8, direct: 1 } } };
    expect(choose(graphOf("resnet18"), 1e9, 1, slow).get("layer4.1.conv2")!.algorithm).toBe("direct");
    expect(choose(graphOf("resnet18"), 1e9, 1, slow).get("layer1.1.conv2")!.algorithm).toBe("winograd4");
  });
});

describe("fitWeights", () => {
  it.each(["resnet18", "resnet50", "resnet101"])(
    "%s: everything fits the usual memory, and 1.3 times its weights",
    (name) => {
      const graph = graphOf(name);
      const file = planWeights(graph, choose(graph, 0)).end;
      for (const memory of [defaultMemory(graph), 1.3 * file]) {
        const weights = fitWeights(graph, { build: "relaxed" }, { memory, winograd: true }, outputNode(graph).inputs);
        const { end } = plan(graph, weights, { build: "relaxed", threads: 1 }, 1, [224, 224, 3], []);
        expect(end).toBeLessThanOrEqual(memory);
      }
    },
  );
  it("refuses what even direct convolution does not fit", () => {
    const graph = graphOf("resnet50");
    expect(() => fitWeights(graph, { build: "baseline" }, { memory: 90e6, winograd: true }, [])).toThrow(
      /memoryBytes: expected at least 10\d\.\d MB for resnet50, got 90\.0 MB/,
    );
  });
});

describe("tune", () => {
  it("times every candidate of every shape that has a choice", async () => {
    const tuning = await tuneGraph(nodeRuntime(), resnet("resnet20", resnetSpec("resnet20")), "baseline");
    expect(tuning.build).toBe("baseline");
    expect(Object.keys(tuning.ms).sort()).toEqual([
      "16×16×32 ← 32, 3×3/1×1",
      "32×32×16 ← 16, 3×3/1×1",
      "8×8×64 ← 64, 3×3/1×1",
    ]);
    for (const times of Object.values(tuning.ms)) {
      expect(Object.keys(times).sort()).toEqual(["direct", "winograd2", "winograd4"]);
      for (const ms of Object.values(times)) expect(ms).toBeGreaterThan(0);
    }
    expect(JSON.parse(JSON.stringify(tuning))).toEqual(tuning);
  });
});
