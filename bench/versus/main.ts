/**
 * The same weights and the same images through this project and its rivals, at equal numbers of threads.
 *
 * For each setting: models are written once; all contenders together in one process, logits compared before anything is
 * timed, then interleaved (`warm.ts`); each contender loaded and run once in fresh processes (`cold.ts`).
 * Batch norms are folded beforehand for the rivals; ours folds at load. Each engine gets its own input layout.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { expectedGot } from "../../src/errors.ts";
import { BUILDS } from "../../src/kernels.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import { runChild } from "./child.ts";
import {
  type Absence,
  type Cold,
  type Contender,
  DTYPES,
  ENGINES,
  type EngineName,
  type Job,
  median,
  type Row,
  type Setting,
} from "./contest.ts";
import { machine, runtime } from "./environment.ts";
import { writeModel } from "./files.ts";
import { among, count, counts, vectorsOf } from "./options.ts";
import { chart, table, title } from "./report.ts";
import type { Warms } from "./warm.ts";

interface Options {
  readonly settings: readonly Setting[];
  readonly contenders: readonly Contender[];
  readonly rounds: number;
  readonly cold: number;
  readonly json: string | undefined;
  readonly chart: string | undefined;
}

const USAGE = `bench versus [--models resnet18,resnet50] [--dtypes f32,int8] [--threads 1] [--batch 1] [--vectors both] [--rounds 15] [--cold 3]
             [--engines ${ENGINES.join(",")}] [--builds ${BUILDS.toReversed().join(",")}] [--json FILE] [--chart FILE.svg]
bench versus photo …  whole photos, against sharp and onnxruntime-node
`;

/** Runs the bench; resolves to the exit code. Throws when an engine's logits differ from ours. */
export async function run(args: readonly string[]): Promise<number> {
  if (args[0] === "photo") return (await import("./photo.ts")).run(args.slice(1));
  let options: Options;
  try {
    options = parse(args);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  const rows: Row[] = [];
  const absent: Absence[] = [];
  for (const setting of options.settings) {
    const result = await contest(setting, options);
    rows.push(...result.rows);
    absent.push(...result.absent);
    process.stdout.write(`${table(setting, result.rows, result.absent)}\n`);
  }
  const environment = { machine: machine(), runtime: await runtime() };
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ ...environment, rows, absent }, rounded, 2)}\n`);
  }
  if (options.chart !== undefined) {
    await writeFile(options.chart, chart(rows, environment.machine, environment.runtime));
  }
  return 0;
}

/** Four digits after the point are below any clock's noise; differences need theirs. */
function rounded(key: string, value: unknown): unknown {
  return typeof value === "number" && /(Ms|MB)$/.test(key) ? Number(value.toFixed(4)) : value;
}

async function contest(
  setting: Setting,
  { contenders, rounds, cold }: Options,
): Promise<{ rows: readonly Row[]; absent: readonly Absence[] }> {
  const folder = await mkdtemp(join(tmpdir(), "resnet-wasm-versus-"));
  try {
    process.stderr.write(`${title(setting)}: writing models …`);
    const job: Job = { setting, files: await writeModel(folder, setting), contenders, rounds };
    process.stderr.write(" warm …");
    const answer = await runChild<Warms>(new URL("warm.ts", import.meta.url), job);
    if ("unavailable" in answer) {
      process.stderr.write("\n");
      return { rows: [], absent: contenders.map((each) => ({ ...each, ...setting, reason: answer.unavailable })) };
    }
    process.stderr.write(" cold …");
    const colds = await runCold({ ...job, contenders: answer.result.warms }, cold);
    process.stderr.write("\n");
    const rows = answer.result.warms.map(({ ms, joules, engine, build, difference }): Row => {
      const { model, dtype, threads, batch, vectors } = setting;
      const { firstMs, loadMs, peakMB } = colds.get(`${engine} ${build}`)!;
      const [medianMs, minMs] = [median(ms), Math.min(...ms)];
      return {
        ...{ engine, model, dtype, threads, build, batch, vectors, medianMs, minMs, firstMs, loadMs, peakMB },
        ...(joules.length === 0 ? {} : { joules: median(joules) }),
        difference,
      };
    });
    return { rows, absent: answer.result.absent };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The median of `count` fresh processes of each contender, interleaved like the warm rounds; memory is the largest. */
async function runCold(job: Job, count: number): Promise<ReadonlyMap<string, Cold>> {
  const samples = new Map<string, Cold[]>();
  for (let i = 0; i < count; ++i) {
    for (const { engine, build } of i % 2 === 0 ? job.contenders : job.contenders.toReversed()) {
      const name = `${engine} ${build}`;
      const answer = await runChild<Cold>(new URL("cold.ts", import.meta.url), {
        ...job,
        contenders: [{ engine, build }],
      });
      // On a busy machine a process may measure other vectors than those of the setting.
      if ("unavailable" in answer) process.stderr.write(` (${name}: left out once: ${answer.unavailable})`);
      else samples.set(name, [...(samples.get(name) ?? []), answer.result]);
    }
  }
  for (const { engine, build } of job.contenders) {
    const name = `${engine} ${build}`;
    if (!samples.has(name)) throw new Error(expectedGot(`versus: ${name}`, "what ran warm to run cold", "nothing"));
  }
  return new Map(
    [...samples].map(([name, runs]) => {
      const middle = (key: keyof Cold): number => median(runs.map((each) => each[key]));
      const peakMB = Math.max(...runs.map((each) => each.peakMB));
      return [name, { loadMs: middle("loadMs"), firstMs: middle("firstMs"), peakMB }];
    }),
  );
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string", default: "resnet18,resnet50" },
      dtypes: { type: "string", default: "f32" },
      threads: { type: "string", default: "1" },
      batch: { type: "string", default: "1" },
      vectors: { type: "string", default: "both" },
      rounds: { type: "string", default: "15" },
      cold: { type: "string", default: "3" },
      engines: { type: "string", default: ENGINES.join() },
      builds: { type: "string", default: BUILDS.toReversed().join() },
      json: { type: "string" },
      chart: { type: "string" },
    },
  });
  const models = values.models.split(",");
  for (const model of models) {
    if (resnetSpec(model).stem !== "imagenet") {
      throw new RangeError(expectedGot("--models", "networks for ImageNet's images", `"${model}"`));
    }
  }
  const dtypes = among("--dtypes", values.dtypes, DTYPES);
  const threads = counts("--threads", values.threads);
  const batches = counts("--batch", values.batch);
  const settings = models.flatMap((model) =>
    dtypes.flatMap((dtype) =>
      threads.flatMap((count) =>
        batches.flatMap((batch) =>
          vectorsOf(values.vectors).map((vectors): Setting => ({ model, dtype, threads: count, batch, vectors })),
        ),
      ),
    ),
  );
  const builds = among("--builds", values.builds, BUILDS);
  return {
    settings,
    contenders: among("--engines", values.engines, ENGINES).flatMap((name) => contendersOf(name, builds)),
    rounds: count("--rounds", values.rounds),
    cold: count("--cold", values.cold),
    json: values.json,
    chart: values.chart,
  };
}

function contendersOf(engine: EngineName, builds: readonly string[]): readonly Contender[] {
  switch (engine) {
    case "ours":
      return builds.map((build) => ({ engine, build }));
    case "ort-node":
      return [{ engine, build: "native" }];
    default:
      return [{ engine, build: "simd" }];
  }
}
