/** Model laws: published counts, checkpoint names, what folding leaves, no two live tensors in one place. */
import { describe, expect, it } from "vitest";
import { fold } from "../../src/fold.ts";
import { nodeOf, outputNode } from "../../src/graph.ts";
import { RESNETS, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { macCount, parameterCount, paramsOf } from "../../src/ops/ops.ts";
import { lifetimes, plan, planWeights, resize } from "../../src/plan.ts";
import { choose } from "../../src/variants.ts";

/** torchvision's documentation: parameters, and GMAC at 224 ("GFLOPS" there). */
const PUBLISHED: Readonly<Record<string, readonly [params: number, gmac: number]>> = {
  resnet18: [11_689_512, 1.814],
  resnet34: [21_797_672, 3.664],
  resnet50: [25_557_032, 4.089],
  resnet101: [44_549_160, 7.801],
  resnet152: [60_192_808, 11.514],
  wide_resnet50_2: [68_883_240, 11.398],
  wide_resnet101_2: [126_886_696, 22.753],
  resnext50_32x4d: [25_028_904, 4.23],
  resnext101_32x8d: [88_791_336, 16.414],
};

/** timm's table of results: millions of parameters, and GMAC at 224. */
const TIMM: Readonly<Record<string, readonly [millions: number, gmac: number]>> = {
  resnet26: [16.0, 2.36],
  resnet26d: [16.01, 2.6],
  resnet34d: [21.82, 3.91],
  resnet50d: [25.58, 4.35],
  resnet101d: [44.57, 8.08],
  seresnet50: [28.09, 4.11],
  seresnext50_32x4d: [27.56, 4.26],
  seresnext101_32x4d: [48.96, 8.02],
  resnetv2_50: [25.55, 4.11],
  resnetv2_101: [44.54, 7.83],
};

/** He et al. 2015, table 6: millions of parameters of the CIFAR networks. */
const CIFAR: Readonly<Record<string, number>> = {
  resnet20: 0.27,
  resnet32: 0.46,
  resnet44: 0.66,
  resnet56: 0.85,
  resnet110: 1.7,
  resnet1202: 19.4,
};

describe("counts", () => {
  it.each(Object.entries(PUBLISHED))("%s has the published parameters and multiply-adds", (name, [params, gmac]) => {
    const graph = resnet(name, resnetSpec(name));
    expect(parameterCount(graph)).toBe(params);
    expect(macCount(graph) / 1e9).toBeCloseTo(gmac, 2);
  });
  it.each(Object.entries(TIMM))("%s has timm's parameters and multiply-adds", (name, [millions, gmac]) => {
    const graph = resnet(name, resnetSpec(name));
    expect(parameterCount(graph) / 1e6).toBeCloseTo(millions, 2);
    expect(Math.abs(macCount(graph) / 1e9 - gmac)).toBeLessThan(0.05);
  });
  it.each(Object.entries(CIFAR))("%s has the parameters of the paper's table 6", (name, millions) => {
    const count = parameterCount(resnet(name, resnetSpec(name))) / 1e6;
    expect(count).toBeGreaterThan(millions - 0.05);
    expect(count).toBeLessThan(millions + 0.05);
  });
  it.each([20, 32, 44, 56, 110])("plain%i has as many parameters as its residual twin", (depth) => {
    const [plain, residual] = [`plain${depth}`, `resnet${depth}`].map((name) => resnet(name, resnetSpec(name)));
    expect(parameterCount(plain!)).toBe(parameterCount(residual!));
    expect(plain!.nodes.some((node) => node.op === "add")).toBe(false);
  });
  it("resnet8x4 has four times the channels in three blocks", () => {
    const [stem, fc] = [27 * 64 + 2 * 64, 256 * 10 + 10];
    const convs = 9 * (2 * 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256);
    const norms = 4 * (64 + 128 + 256);
    expect(parameterCount(resnet("resnet8x4", resnetSpec("resnet8x4")))).toBe(stem + convs + norms + fc);
  });
  it("plain18 and plain34 are ResNets without their projections", () => {
    expect(parameterCount(resnet("plain18", resnetSpec("plain18")))).toBe(
      11_689_512 - (128 * 66 + 256 * 130 + 512 * 258),
    );
  });
  it("the first 1×1 takes the stride in v1, and saves multiply-adds", () => {
    const v1 = resnet("resnet50", { ...resnetSpec("resnet50"), stride: "1x1" });
    expect(macCount(v1) / 1e9).toBeCloseTo(3.858, 2);
    expect(nodeOf(v1, "layer2.0.conv1")).toMatchObject({ stride: [2, 2] });
    expect(nodeOf(v1, "layer2.0.conv2")).toMatchObject({ stride: [1, 1] });
  });
  it.each([
    ["A", 0],
    ["B", 3],
    ["C", 8],
  ] as const)("shortcut %s of an 18-layer network has %i projections", (shortcut, projections) => {
    const graph = resnet("x", { ...resnetSpec("resnet18"), shortcut });
    expect(graph.nodes.filter((node) => node.name.endsWith("downsample.0")).length).toBe(projections);
  });
  it("knows no other names", () => {
    expect(() => resnetSpec("resnet19")).toThrow(/arch: expected one of resnet18, .*, got "resnet19"/);
  });
});

describe("names", () => {
  it("are torchvision's", () => {
    const names = paramsOf(resnet("resnet50", resnetSpec("resnet50"))).map(({ name }) => name);
    for (const name of [
      "conv1.weight",
      "bn1.running_var",
      "layer1.0.downsample.1.bias",
      "layer4.2.conv3.weight",
      "fc.bias",
    ]) {
      expect(names).toContain(name);
    }
    expect(names.length).toBe(new Set(names).size);
    expect(names.length).toBe(161 + 2 * 53);
  });
});

describe("folding", () => {
  it.each(["resnet50", "resnet18", "resnet20", "plain20", "resnext50_32x4d"])(
    "leaves %s no norm, no add, no ReLU",
    (name) => {
      const folded = fold(resnet(name, resnetSpec(name)));
      expect(
        folded.nodes.map((node) => node.op).filter((op) => op === "norm" || op === "add" || op === "clamp"),
      ).toEqual([]);
      const known = new Set<string>();
      for (const node of folded.nodes) {
        for (const input of node.inputs) expect(known).toContain(input);
        known.add(node.name);
      }
    },
  );
  it("keeps every weight", () => {
    const graph = resnet("resnet50", resnetSpec("resnet50"));
    const names = (nodes: typeof graph): string[] =>
      paramsOf(nodes)
        .map(({ name }) => name)
        .sort();
    expect(names(fold(graph))).toEqual(names(graph));
  });
});

describe("planning", () => {
  it.each(Object.keys(RESNETS))("%s: no two live tensors overlap", (name) => {
    const graph = fold(resnet(name, resnetSpec(name)));
    const kept = outputNode(graph).inputs;
    const { addresses } = plan(
      graph,
      planWeights(graph, choose(graph, 1e9)),
      { build: "relaxed", threads: 1 },
      2,
      resize(graph, [64, 48, 3]).nodes[0]!.shape,
      kept,
    );
    const sized = resize(graph, [64, 48, 3]);
    const buffers = lifetimes(sized, 2, [...kept, outputNode(graph).name]);
    expect(buffers.flatMap(({ names }) => names).length).toBe(graph.nodes.length);
    for (const a of buffers) {
      for (const b of buffers) {
        if (a === b || a.first > b.last || b.first > a.last) continue;
        const [x, y] = [addresses.get(a.names[0]!)!, addresses.get(b.names[0]!)!];
        expect(x + a.bytes <= y || y + b.bytes <= x, `${a.names} and ${b.names}`).toBe(true);
      }
    }
  });
  it("refuses an input that leaves no pixels", () => {
    const graph = resnet("resnet18", resnetSpec("resnet18"));
    expect(() => resize({ ...graph, nodes: graph.nodes }, [0, 5, 3])).toThrow(RangeError);
  });
});
