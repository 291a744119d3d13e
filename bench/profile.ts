/**
 * One network, step by step, as it runs: every step is timed where it stands in the tape, so with the caches its
 * predecessors left it. The median of many runs.
 */
import { parseArgs } from "node:util";
import { table } from "../src/cli/terminal.ts";
import { type Build, pickBuild } from "../src/kernels.ts";
import { opOf } from "../src/ops/ops.ts";
import { measurePeak } from "../src/peak.ts";
import { runStep } from "../src/tape.ts";
import { prepare } from "./lib/prepared.ts";

/** `bench profile [--model resnet50] [--build auto] [--batch 1] [--runs 30] [--memory BYTES] [--json]` */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: "string", default: "resnet50" },
      build: { type: "string", default: "auto" },
      batch: { type: "string", default: "1" },
      runs: { type: "string", default: "30" },
      memory: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const build = pickBuild(values.build as Build | "auto");
  const batch = Number(values.batch);
  const memory = values.memory === undefined ? undefined : Number(values.memory);
  const { graph, kernels, weights, plan } = await prepare(values.model, build, batch, memory);
  const peak = measurePeak(kernels);
  const samples: number[][] = plan.tape.map(() => []);
  for (let i = 0; i < Number(values.runs) + 5; ++i) {
    for (const [at, step] of plan.tape.entries()) {
      const start = performance.now();
      runStep(kernels.exports, step);
      if (i >= 5) samples[at]!.push(performance.now() - start);
    }
  }
  const median = (times: number[]): number => times.sort((a, b) => a - b)[times.length >> 1]!;
  const total = { ms: 0, gmac: 0 };
  const rows = graph.nodes.flatMap((node) => {
    const own = plan.tape.flatMap((step, at) => (step.label === node.name ? [{ step, ms: median(samples[at]!) }] : []));
    if (own.length === 0) return [];
    const ms = own.reduce((sum, each) => sum + each.ms, 0);
    const gmac = (batch * opOf(node).macs(node)) / 1e9;
    total.ms += ms;
    total.gmac += gmac;
    const algorithm = weights.variants.get(node.name)?.algorithm ?? node.op;
    return [{ layer: node.name, how: algorithm, output: node.shape.join("×"), steps: own.length, ms, gmac }];
  });
  const rate = (gmac: number, ms: number): number => (2 * gmac * 1e3) / ms;
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ build, batch, peakGflops: peak, total, rows }, undefined, 2)}\n`);
    return 0;
  }
  const line = (name: string, how: string, output: string, ms: number, gmac: number): (string | number)[] => [
    name,
    how,
    output,
    ms.toFixed(2).padStart(7),
    gmac === 0 ? "" : rate(gmac, ms).toFixed(1).padStart(7),
    gmac === 0 ? "" : `${((100 * rate(gmac, ms)) / peak).toFixed(0)} %`.padStart(6),
  ];
  const lines = [
    ["layer", "how", "output", "     ms", "GFLOP/s", "  peak"],
    ...rows.map(({ layer, how, output, ms, gmac }) => line(layer, how, output, ms, gmac)),
    line("total", "", "", total.ms, total.gmac),
  ];
  process.stdout.write(`${values.model}, ${build}, batch ${batch}; peak ${peak.toFixed(1)} GFLOP/s\n${table(lines)}\n`);
  process.stdout.write("GFLOP/s count direct convolution's operations: Winograd may exceed the peak.\n");
  return 0;
}
