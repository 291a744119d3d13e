/** The choice of algorithms: what fits, what a budget gives up first, what tuning changes. */
import { describe, expect, it } from "vitest";
import { measureDots } from "../src/dots.ts";
import { fold } from "../src/fold.ts";
import { type Graph, outputNode } from "../src/graph.ts";
import { toInt8 } from "../src/int8.ts";
import { resnet, resnetSpec } from "../src/models/resnet.ts";
import { defaultMemory, fitWeights, memoryCounter, plan, planWeights } from "../src/plan.ts";
import { PRESETS } from "../src/preprocess.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { tuneGraph } from "../src/tune.ts";
import { choose, type Dots, type Tuning } from "../src/variants.ts";
import { RUNNABLE } from "./wasm.ts";

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

/** ResNet-50 in int8, its scales made up: they do not matter to the choice. */
function int8Graph(): Graph {
  const graph = graphOf("resnet50");
  const of = (value: number) => Object.fromEntries(graph.nodes.map(({ name }) => [name, value]));
  return toInt8("resnet50", graph, { scales: of(0.1), weightSums: of(1000) }, PRESETS["torchvision-v1"]);
}

describe("choose, in int8", () => {
  const chosen = (dots: Dots): Readonly<Record<string, number>> => {
    const counts: Record<string, number> = {};
    for (const { algorithm } of choose(int8Graph(), 1e9, 1, undefined, dots).values()) {
      counts[algorithm] = (counts[algorithm] ?? 0) + 1;
    }
    return counts;
  };
  it("keeps to dot8 where it is fast, and needs no more memory than that", () => {
    expect(chosen("dot8")).toEqual({ im2col8: 1, dot8: 53 });
    const target = { build: "relaxed", vectors: 128 } as const;
    const budget = { memory: 64e6, winograd: true, dots: "dot8" } as const;
    expect(fitWeights(int8Graph(), target, budget, []).end).toBeLessThan(27e6);
  });
  it("takes the products of the baseline build, and Winograd, where there is no dot8", () => {
    expect(chosen("dot16")).toEqual({ im2col16: 1, winograd4: 13, dot16: 40 });
  });
  it("takes Winograd, and no widened inputs, where dot8 is several instructions", () => {
    expect(chosen("both")).toEqual({ im2col8: 1, winograd4: 13, dot8: 40 });
  });
  it("takes the smaller of two that are nearly as fast", () => {
    const key = "14×14×256 ← 256, 3×3/1×1, int8";
    const of = (winograd4: number): string => {
      const tuning: Tuning = { build: "relaxed", ms: { [key]: { winograd4, dot8: 1.02, dot16: 2 } } };
      return choose(int8Graph(), 1e9, 1, tuning, "dot16").get("layer3.1.conv2")!.algorithm;
    };
    expect([of(1), of(0.98)]).toEqual(["dot8", "winograd4"]);
  });
});

describe("measureDots", () => {
  it("gives one answer, however often it is asked", async () => {
    for (const build of RUNNABLE) {
      const first = await measureDots(nodeRuntime(), build);
      expect(["dot8", "dot16", "both"]).toContain(first);
      expect(await measureDots(nodeRuntime(), build)).toBe(first);
    }
    expect(await measureDots(nodeRuntime(), "baseline")).toBe("dot16");
  });
});

describe("memoryCounter", () => {
  const graphs = ["resnet18", "resnext50_32x4d", "seresnet50", "resnet20"].map(graphOf);
  it.each([...graphs, int8Graph()].map((graph, i) => [`${graph.name}, ${i}`, graph] as const))(
    "%s: counts what the plan takes, of one weight plan after another",
    (_, graph) => {
      const kept = outputNode(graph).inputs;
      for (const build of RUNNABLE) {
        const target = { build, vectors: 256 } as const;
        const bytesOf = memoryCounter(graph, target, kept);
        for (const bytes of [1e9, 120e6, 20e6, 0]) {
          const weights = planWeights(graph, choose(graph, bytes));
          const { end } = plan(graph, weights, { ...target, threads: 1 }, 1, graph.nodes[0]!.shape, kept);
          expect(bytesOf(weights)).toBe(end);
        }
      }
    },
  );
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
