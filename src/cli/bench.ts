/**
 * `resnet-wasm bench`: for people who measure CPUs. Scenarios and percentiles as MLPerf Inference defines them
 * (inference_rules.adoc, section "Scenarios"); not an MLPerf result, which needs 600 s and their load generator.
 */
import { readFile } from "node:fs/promises";
import type { Classifier } from "../classifier.ts";
import { ModelError } from "../errors.ts";
import { writeSafetensors } from "../formats/safetensors.ts";
import { loadKernels } from "../kernels.ts";
import { DEFAULT_MODEL, pretrained } from "../models/pretrained.ts";
import { randomCheckpoint } from "../models/random.ts";
import { RESNETS, resnet } from "../models/resnet.ts";
import { macCount } from "../ops/ops.ts";
import { measurePeak } from "../peak.ts";
import { load, nodeRuntime } from "../runtimes/node.ts";
import { openDataset } from "./dataset.ts";
import { environment } from "./environment.ts";
import { accuracyOf } from "./evaluate.ts";
import { interruptible } from "./interrupt.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { mean, percentile } from "./statistics.ts";
import { remark, table } from "./terminal.ts";

/** What a query is, and the percentile of its latency that the scenario reports. */
interface Scenario {
  readonly samples: number;
  /** Absent: throughput is what counts. */
  readonly tail?: number;
}

/**
 * Offline's one query of all samples is cut into batches; `samples` is how many are handed over at once. `photo`, which is not
 * MLPerf's, is single-stream from an encoded photo to its classes.
 */
export const SCENARIOS = {
  "single-stream": { samples: 1, tail: 90 },
  "multi-stream": { samples: 8, tail: 99 },
  offline: { samples: 64 },
  photo: { samples: 1, tail: 90 },
} as const satisfies Record<string, Scenario>;

/** Seconds that MLPerf asks of every scenario. */
const MLPERF_SECONDS = 600;
const PERCENTILES = [50, 90, 95, 97, 99, 99.9] as const;

export interface BenchOptions extends CommonOptions {
  readonly scenario: keyof typeof SCENARIOS;
  /** Seconds. */
  readonly duration: number;
  /** The file of the scenario `photo`. */
  readonly photo?: string;
  /** A labelled folder, to report accuracy beside speed. */
  readonly accuracy?: string;
}

/** A model of the source's weights, or of random ones where only a network is named: time does not depend on them. */
async function open(options: BenchOptions, signal: AbortSignal): Promise<{ model: Classifier; weights: string }> {
  const source = options.model;
  const loading = loadOptions(options, signal);
  // Speed does not depend on weights: those of a network of the table are not downloaded for it.
  const isNetwork = Object.hasOwn(RESNETS, source) && source !== DEFAULT_MODEL && options.accuracy === undefined;
  if (!isNetwork) return { model: await load(source, loading), weights: "as published" };
  if (pretrained(source) !== undefined) {
    try {
      return { model: await load(source, { ...loading, offline: true }), weights: "as published" };
    } catch (error) {
      if (!(error instanceof ModelError && error.code === "offline")) throw error;
    }
  }
  const checkpoint = randomCheckpoint(resnet(source, RESNETS[source]!), 1);
  const tensors = [];
  for (const [name, { dtype, shape }] of checkpoint.tensors) {
    tensors.push({ name, dtype, shape, bytes: await checkpoint.read(name) });
  }
  const model = await load(writeSafetensors(tensors), { ...loading, arch: source });
  return { model, weights: "random" };
}

/** Latencies of queries, one after the other, until `seconds` are over, in ms. */
async function query(model: Classifier, samples: number, seconds: number, signal: AbortSignal): Promise<number[]> {
  const [{ shape: input }] = [model.model.graph.nodes[0]!];
  const data = Float32Array.from({ length: samples * input[0] * input[1] * 3 }, (_, i) => 2 * Math.sin(i * i));
  const shape = [samples, input[0], input[1], 3] as const;
  const latencies: number[] = [];
  const end = performance.now() + 1000 * seconds;
  do {
    signal.throwIfAborted();
    const start = performance.now();
    await model.logits({ data, shape });
    latencies.push(performance.now() - start);
  } while (performance.now() < end);
  return latencies;
}

/** Latencies of whole photos, in ms; and, from as many more, of their way to the network's input. */
async function photoQueries(
  model: Classifier,
  photo: Uint8Array,
  seconds: number,
  signal: AbortSignal,
): Promise<{ readonly latencies: number[]; readonly inputs: number[] }> {
  const [latencies, inputs]: number[][] = [[], []];
  const end = performance.now() + 1000 * seconds;
  do {
    signal.throwIfAborted();
    const start = performance.now();
    await model.classify(photo);
    const middle = performance.now();
    await model.preprocess(photo);
    latencies!.push(middle - start);
    inputs!.push(performance.now() - middle);
  } while (performance.now() < end || latencies!.length < 2);
  return { latencies: latencies!, inputs: inputs! };
}

const round = (value: number, digits = 2): number => Number(value.toFixed(digits));

/** How much of a photo's time is its way to the network's input: decoding, resizing, normalising. */
function stagesOf(latencies: readonly number[], inputs: readonly number[]): Readonly<Record<string, number>> {
  const [whole, input] = [percentile(latencies, 50), percentile(inputs, 50)];
  return {
    photoToInputMs: round(input),
    networkMs: round(whole - input),
    photoPercent: round((100 * input) / whole, 1),
  };
}

/** Runs one scenario and prints its report. */
export async function bench(options: BenchOptions): Promise<number> {
  const signal = interruptible();
  const photo = options.photo === undefined ? undefined : await readFile(options.photo);
  // What would fail after the measurement fails now.
  if (options.accuracy !== undefined) await openDataset(options.accuracy, undefined, options, signal);
  const { threads = 1 } = options;
  const machine = environment();
  const scenario: Scenario = SCENARIOS[options.scenario];
  const started = performance.now();
  const { model, weights } = await open(options, signal);
  const loadMs = performance.now() - started;
  const { firstMs } = await model.warmup();
  if (options.photo !== undefined) await model.classify(options.photo);
  const queries = async (seconds: number): Promise<{ readonly latencies: number[]; readonly inputs?: number[] }> =>
    photo === undefined
      ? { latencies: await query(model, scenario.samples, seconds, signal) }
      : photoQueries(model, photo, seconds, signal);
  await queries(0);
  remark(options.quiet, `${options.scenario}, ${options.duration} s …`);
  const { latencies, inputs } = await queries(options.duration);
  const kernels = await loadKernels(nodeRuntime(), model.build, new WebAssembly.Memory({ initial: 1 }));
  const peakGflops = measurePeak(kernels);
  const samplesPerSecond = (1000 * scenario.samples) / mean(latencies);
  const gflops = (2 * macCount(model.model.graph) * samplesPerSecond) / 1e9;
  const accuracy =
    options.accuracy === undefined ? undefined : await accuracyOf(model, options.accuracy, options, signal);
  const report = {
    scenario: options.scenario,
    model: options.model,
    weights,
    dtype: model.model.graph.nodes[0]!.int8 === undefined ? "f32" : "int8",
    build: model.build,
    ...(options.replicas === undefined ? { threads } : { replicas: options.replicas }),
    queries: latencies.length,
    samplesPerQuery: scenario.samples,
    latencyMs: {
      mean: round(mean(latencies)),
      min: round(percentile(latencies, 0)),
      ...Object.fromEntries(PERCENTILES.map((percent) => [`p${percent}`, round(percentile(latencies, percent))])),
    },
    result:
      scenario.tail === undefined
        ? { samplesPerSecond: round(samplesPerSecond) }
        : { [`p${scenario.tail}Ms`]: round(percentile(latencies, scenario.tail)) },
    ...(inputs === undefined ? {} : { stages: stagesOf(latencies, inputs) }),
    samplesPerSecond: round(samplesPerSecond),
    gflops: round(gflops, 1),
    peakGflops: round(peakGflops, 1),
    percentOfPeak: round((100 * gflops) / (peakGflops * (options.replicas ?? threads)), 1),
    loadMs: round(loadMs, 1),
    firstMs: round(firstMs, 1),
    memoryMB: round(model.memoryBytes / 1e6, 1),
    mlperfDuration: options.duration >= MLPERF_SECONDS,
    ...(accuracy === undefined ? {} : { accuracy }),
    environment: machine,
  };
  await model.dispose();
  if (options.json) process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  else process.stdout.write(text(report));
  return 0;
}

/** The report as lines of name and value. */
function text(report: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(report).flatMap(([name, value]): [string, string][] => {
    if (typeof value !== "object" || value === null) return [[name, String(value)]];
    return Object.entries(value).map(([inner, each]) => [`${name}.${inner}`, String(each)]);
  });
  return `${table(lines)}\n`;
}
