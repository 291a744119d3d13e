/**
 * Every way to compute a convolution, at the shapes ResNet-18 and ResNet-50 have: rate, per cent of the peak measured in
 * the same process, residual against Float64, with narrow tiles (128 bits) and wide ones (256), and a mark on the one that is
 * taken here. Variants of a shape run interleaved,
 * the order reversed each round; the minimum counts.
 */
import { parseArgs } from "node:util";
import { table } from "../src/cli/terminal.ts";
import { fold } from "../src/fold.ts";
import { BUILDS, type Build, loadKernels, pickBuild } from "../src/kernels.ts";
import { resnet, resnetSpec } from "../src/models/resnet.ts";
import { opOf } from "../src/ops/ops.ts";
import { measurePeak } from "../src/peak.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { run as runTape } from "../src/tape.ts";
import { type Alone, convolutionsOf, makeReady, type Ready, weightElements } from "../src/tune.ts";
import { choose, VARIANTS, type Variant, type Vectors } from "../src/variants.ts";
import { measureVectors } from "../src/vectors.ts";

/** One convolution with values to compute. */
interface Case extends Alone {
  readonly input: Float32Array;
  readonly weight: Float32Array;
}

/** Distinct convolutions of the networks. */
function shapes(models: readonly string[]): readonly Case[] {
  const found = new Map<string, Case>();
  for (const model of models) {
    for (const alone of convolutionsOf(fold(resnet(model, resnetSpec(model))))) {
      const pixels = alone.graph.nodes[0]!.shape.reduce((a, b) => a * b, 1);
      found.set(alone.graph.name, {
        ...alone,
        input: Float32Array.from({ length: pixels }, (_, i) => Math.sin(i * i)),
        weight: Float32Array.from({ length: weightElements(alone) }, (_, i) => Math.cos(i * i)),
      });
    }
  }
  return [...found.values()];
}

/** The value at output pixel (y, x), channel j, in Float64. */
function exact({ node, input, weight, graph }: Case, y: number, x: number, j: number): number {
  const [h, w, c] = graph.nodes[0]!.shape;
  const [kh, kw] = node.kernel;
  let sum = 0;
  for (let v = 0; v < kh; ++v) {
    for (let u = 0; u < kw; ++u) {
      const [iy, ix] = [y * node.stride[0] + v - node.pads[0], x * node.stride[1] + u - node.pads[1]];
      if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
      for (let i = 0; i < c; ++i) sum += input[(iy * w + ix) * c + i]! * weight[((j * c + i) * kh + v) * kw + u]!;
    }
  }
  return sum;
}

/** A case with one variant, and its largest error over a sample of outputs, relative to the largest value. */
interface Entry extends Ready {
  readonly vectors: Vectors;
  readonly residual: number;
}

async function enter(each: Case, variant: Variant, build: Build, vectors: Vectors): Promise<Entry> {
  const ready = await makeReady(nodeRuntime(), each, variant, build, each.weight, 1, vectors);
  const { kernels, addresses, tape } = ready;
  const view = (name: string, length: number): Float32Array =>
    new Float32Array(kernels.memory.buffer, addresses.get(name)!, length);
  view("input", each.input.length).set(each.input);
  runTape(kernels.exports, tape);
  const [oh, ow, n] = each.node.shape;
  const out = view("conv", oh * ow * n);
  let [worst, largest] = [0, 0];
  for (let i = 0; i < 64; ++i) {
    const at = (i * 7919) % out.length;
    const want = exact(each, Math.floor(at / n / ow), Math.floor(at / n) % ow, at % n);
    worst = Math.max(worst, Math.abs(out[at]! - want));
    largest = Math.max(largest, Math.abs(want));
  }
  return { ...ready, vectors, residual: worst / largest };
}

/** `bench kernels [--models resnet18,resnet50] [--builds relaxed,baseline] [--rounds 30] [--json]` */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string", default: "resnet18,resnet50" },
      builds: { type: "string", default: pickBuild() === "relaxed" ? [...BUILDS].reverse().join() : "baseline" },
      rounds: { type: "string", default: "30" },
      json: { type: "boolean", default: false },
    },
  });
  const report: object[] = [];
  for (const build of values.builds.split(",") as Build[]) {
    const first = await loadKernels(nodeRuntime(), build, new WebAssembly.Memory({ initial: 1 }));
    const peak = measurePeak(first);
    const { vectors } = await measureVectors(nodeRuntime(), build);
    const lines: (string | number)[][] = [
      ["input", "output", "kernel", "how", "bits", "", "     ms", "GFLOP/s", "  peak", "residual"],
    ];
    const direct: number[] = [];
    for (const each of shapes(values.models.split(","))) {
      const chosen = choose(each.graph, Number.MAX_SAFE_INTEGER).get("conv")!;
      const entries: Entry[] = [];
      for (const variant of VARIANTS) {
        if (!variant.fits(each.node)) continue;
        for (const bits of [128, 256] as const) entries.push(await enter(each, variant, build, bits));
      }
      const best = entries.map(() => Number.POSITIVE_INFINITY);
      for (let round = 0; round < Number(values.rounds); ++round) {
        const order = [...entries.keys()];
        for (const i of round % 2 === 0 ? order : order.reverse()) {
          const start = performance.now();
          runTape(entries[i]!.kernels.exports, entries[i]!.tape);
          best[i] = Math.min(best[i]!, performance.now() - start);
        }
      }
      entries.forEach(({ variant, vectors: bits, residual }, i) => {
        const ms = best[i]!;
        const gflops = (2 * opOf(each.node).macs(each.node)) / ms / 1e6;
        const input = each.graph.nodes[0]!.shape.join("×");
        const kernel = `${each.node.kernel.join("×")}/${each.node.stride[0]}`;
        const picked = variant === chosen && bits === vectors;
        if (!variant.algorithm.startsWith("winograd") && each.node.shape[0] > 1 && picked) direct.push(gflops / peak);
        report.push({
          build,
          input,
          output: each.node.shape.join("×"),
          kernel,
          how: variant.algorithm,
          vectors: bits,
          picked,
          ms,
          gflops,
          peak,
          residual,
        });
        lines.push([
          ...[input, each.node.shape.join("×"), kernel, variant.algorithm, bits, picked ? "←" : ""],
          ...[
            ms.toFixed(3).padStart(7),
            gflops.toFixed(1).padStart(7),
            `${((100 * gflops) / peak).toFixed(0)} %`.padStart(6),
          ],
          residual.toExponential(1),
        ]);
      });
    }
    if (values.json) continue;
    const sorted = direct.sort((a, b) => a - b);
    const percent = (fraction: number): string => `${(100 * fraction).toFixed(0)} %`;
    process.stdout.write(`${build}: peak ${peak.toFixed(1)} GFLOP/s; ← is what choose() takes\n${table(lines)}\n`);
    process.stdout.write(
      `of peak, where choose() takes a product without Winograd: best ${percent(sorted.at(-1)!)}, ` +
        `median ${percent(sorted[sorted.length >> 1]!)}, worst ${percent(sorted[0]!)}\n\n`,
    );
  }
  if (values.json) process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  return 0;
}
