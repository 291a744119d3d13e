/** The pieces of the experiments: tables, plots, gradient norms, subsets, and how a model is shipped. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { csv } from "../bench/experiments/csv.ts";
import { depthPoints, depthRows, spread } from "../bench/experiments/depth.ts";
import { firstGradNorms } from "../bench/experiments/gradients.ts";
import { batchOf } from "../bench/experiments/initialisation.ts";
import { COLOURS, SCHEMES, svg } from "../bench/experiments/plot.ts";
import { ship } from "../bench/experiments/shipping.ts";
import { ofEachClass } from "../bench/experiments/transfer.ts";
import { loadWith } from "../src/classifier.ts";
import { uniform } from "../src/models/random.ts";
import { createTrainer, type Dataset, nodeRuntime, train } from "../src/runtimes/node.ts";
import { gradNormsOf } from "../src/train/grad-norms.ts";

vi.mock("../src/models/shipped.ts", () => {
  const tiny = { arch: "resnet20", preprocess: "cifar", credit: "a test", licence: "MIT", bytes: 1 };
  return { SHIPPED: { "tiny-cifar10": { source: "package:tiny.safetensors", ...tiny } } };
});

const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-experiments-"));
afterAll(() => rmSync(folder, { recursive: true }));
const signal = new AbortController().signal;

/** 32×32 pixels of noise, in ten classes. */
function noise(count: number): Dataset {
  const next = uniform(1);
  const examples = Array.from({ length: count }, (_, i) => {
    const data = Uint8Array.from({ length: 4 * 32 * 32 }, () => Math.floor(256 * next()));
    return { name: `${i}`, label: i % 10, image: () => ({ width: 32, height: 32, data }) };
  });
  return { classes: Array.from("abcdefghij"), examples };
}

describe("csv", () => {
  it("has a column for each name, and quotes what would be taken for two fields", () => {
    expect(
      csv([
        { a: 1, b: "x,y" },
        { a: undefined, c: 'a "b"\n' },
      ]),
    ).toBe('a,b,c\n1,"x,y",\n,,"a ""b""\n"\n');
  });
});

describe("plots", () => {
  const points = [0, 1].flatMap((run) =>
    [1, 2, 3].map((x) => ({ x, y: x * x + run, series: x < 9 ? "plain20" : "", run })),
  );
  it("are SVG with the names of axes and series, in the colours of light and dark pages", async () => {
    const text = await svg({ title: "Squares", x: "number", y: "its square", points });
    expect(text).toMatch(/^<svg [^>]*viewBox/);
    expect(text.trimEnd()).toMatch(/<\/svg>$/);
    for (const word of ["Squares", "number", "its square", "plain20"]) expect(text).toContain(`>${word}<`);
    expect(text).toContain("prefers-color-scheme:dark");
    expect(text).toContain("currentColor");
    expect(text).not.toMatch(/fill="(white|black|#000|#fff)"/);
    // A line of each run, and one of their mean.
    expect(
      text.match(new RegExp(`stroke="${COLOURS[0]}"[^>]*>|<path[^>]*stroke="${COLOURS[0]}"`, "g"))!.length,
    ).toBeGreaterThan(2);
  });
  it("have panels beside each other", async () => {
    const panels = points.map((point) => ({ ...point, panel: `seed ${point.run}` }));
    const text = await svg({ title: "Panels", x: "x", y: "y", logY: true, points: panels });
    for (const word of ["seed 0", "seed 1"]) expect(text).toContain(`>${word}<`);
  });
  it.each(COLOURS)("%s has a contrast of 3:1 with both backgrounds", (colour) => {
    for (const { background } of Object.values(SCHEMES)) expect(contrast(colour, background)).toBeGreaterThanOrEqual(3);
  });
});

/** Contrast ratio of WCAG 2. */
function contrast(one: string, two: string): number {
  const luminance = (hex: string): number => {
    const parts = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255);
    const [r, g, b] = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)) as [
      number,
      number,
      number,
    ];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low, high] = [luminance(one), luminance(two)].sort((a, b) => a - b) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

describe("gradient norms", () => {
  it("are those of the tensors, by layer from the input on and by stage", async () => {
    const { images, labels } = batchOf(noise(4));
    await using trainer = await createTrainer("plain20", { batch: 4 });
    trainer.learningRate = 0;
    const { gradNorm } = await trainer.step(images, labels);
    const gradients = await trainer.gradients();
    const { stages, layers } = gradNormsOf(trainer.graph, gradients);
    const names = Object.keys(layers);
    expect(names).toHaveLength(20);
    expect([names[0], names[1], names.at(-1)]).toEqual(["conv1", "layer1.0.conv1", "fc"]);
    for (const [name, norm] of Object.entries(layers)) {
      expect(norm).toBeCloseTo(Math.hypot(...gradients.get(`${name}.weight`)!), 4);
    }
    expect(Object.keys(stages)).toEqual(["conv1", "layer1", "layer2", "layer3", "fc"]);
    expect(Math.abs(Math.hypot(...Object.values(stages)) / gradNorm - 1)).toBeLessThan(1e-4);
  });
  it("of a linear layer is the difference quotient of the loss along it", async () => {
    const { images, labels } = batchOf(noise(4));
    // One step of plain gradient descent lowers the loss by rate · |gradient|².
    const rate = 1e-4;
    const one = { batch: 4, momentum: 0, weightDecay: 0, train: (node: string) => node === "fc" } as const;
    await using trainer = await createTrainer("resnet20", { ...one, learningRate: rate });
    const before = await trainer.step(images, labels);
    const gradients = await trainer.gradients();
    const after = await trainer.step(images, labels);
    const { fc } = gradNormsOf(trainer.graph, gradients).stages;
    expect(Math.abs((before.loss - after.loss) / (rate * fc! ** 2) - 1)).toBeLessThan(0.05);
  });
  it("of a plain network at initialisation grow towards the input, those of its residual twin do not", async () => {
    const batch = batchOf(noise(4));
    const [plain, residual] = await Promise.all(
      ["plain56", "resnet56"].map((arch) => firstGradNorms({ threads: 1, signal }, arch, 1, batch)),
    );
    expect(spread(plain!.layers)).toBeGreaterThan(10 * spread(residual!.layers));
    const rows = depthRows("plain56", 1, plain!.layers);
    expect(rows[0]).toMatchObject({ network: "plain56", depth: 1, layer: "conv1", gradNorm: plain!.layers.conv1 });
    expect(depthPoints([{ ...rows[0]!, gradNorm: 0 }, rows[1]!])).toEqual([
      { x: 2, y: rows[1]!.gradNorm, series: "plain56", run: 1 },
    ]);
  });
});

describe("subsets", () => {
  it("have so many of each class, the same for the same seed", () => {
    const set = noise(60);
    const seen = ofEachClass(set, 2, 1).examples;
    expect(seen.map(({ label }) => label)).toEqual(Array.from({ length: 20 }, (_, i) => i >> 1));
    expect(ofEachClass(set, 2, 1).examples).toEqual(seen);
    expect(ofEachClass(set, 2, 2).examples).not.toEqual(seen);
    expect(ofEachClass(set, 100, 1).examples).toHaveLength(60);
  });
});

describe("shipping", () => {
  const set = noise(20);
  const origin = {
    arch: "resnet20",
    date: "2026-11-28T00:00:00Z",
    cpu: "a CPU",
    seed: 1,
    command: "make",
    settings: { epochs: 1 },
  };
  const given = {
    name: "tiny",
    origin,
    calibration: set,
    test: set,
    models: join(folder, "models"),
    table: join(folder, "shipped.ts"),
  };
  const made = train("resnet20", set, { epochs: 1, batch: 10 });
  it("refuses weights that are not good enough", async () => {
    const { bytes: weights } = await made;
    await expect(ship({ signal }, { ...given, weights, goal: 2 })).rejects.toThrow("expected 200 % of the test images");
  });
  it("writes f16 and int8 files with a card, which load by name without a network", async () => {
    const { bytes: weights } = await made;
    const files = await ship({ signal }, { ...given, weights, goal: 0 });
    expect(files.map(({ file }) => file)).toEqual(["tiny.safetensors", "tiny-int8.safetensors"]);
    const [half, small] = files.map(({ bytes }) => bytes.length) as [number, number];
    expect(half).toBeLessThan(0.55 * weights.length);
    expect(small).toBeLessThan(0.6 * half);
    const card = readFileSync(join(given.models, "tiny.md"), "utf8");
    for (const { file, sha256, bytes } of files) {
      expect(card).toMatch(new RegExp(`\\| \`${file}\` \\| ${bytes.length} \\| [\\d.]+ % \\| \`${sha256}\` \\|`));
    }
    const table = readFileSync(given.table, "utf8");
    for (const { file } of files) expect(table).toContain(`source: "package:${file}"`);
    const runtime = nodeRuntime({ models: given.models });
    for (const source of ["tiny-cifar10", "package:tiny-int8.safetensors"]) {
      await using classifier = await loadWith(runtime, source, { offline: true });
      expect(classifier.model.labels).toEqual(set.classes);
      expect(await classifier.classify(set.examples[0]!.image(), { topK: 10 })).toHaveLength(10);
    }
  });
  it("names a file that is not there, and what to do where there are no files", async () => {
    const runtime = nodeRuntime({ models: folder });
    await expect(loadWith(runtime, "package:other.safetensors")).rejects.toThrow("other.safetensors");
    const { shipped: _, ...without } = runtime;
    const { locateShipped } = await import("../src/hub/shipped.ts");
    await expect(locateShipped("package:a.safetensors", without)).rejects.toMatchObject({ code: "runtime" });
  });
});
