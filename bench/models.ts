/**
 * Networks through the public API: variant × dtype × build × threads × batch. Each cell is a fresh process, so that the first run
 * is cold and the peak of memory its own.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { table } from "../src/cli/terminal.ts";
import { BUILDS, type Build, pickBuild } from "../src/kernels.ts";
import { defaultSize, resnetSpec } from "../src/models/resnet.ts";
import { load } from "../src/runtimes/node.ts";
import { type Dtype, randomModel } from "./lib/prepared.ts";

/** One cell of the table. */
interface Row {
  readonly model: string;
  readonly dtype: Dtype;
  readonly build: Build;
  readonly threads: number;
  readonly batch: number;
  readonly loadMs: number;
  readonly firstMs: number;
  readonly medianMs: number;
  readonly minMs: number;
  readonly imagesPerSecond: number;
  /** wasm memory at the end. */
  readonly wasmMB: number;
}

async function cell(
  model: string,
  dtype: Dtype,
  file: string,
  build: Build,
  threads: number,
  batch: number,
  runs: number,
): Promise<Row> {
  const spec = resnetSpec(model);
  const start = performance.now();
  const loaded = await load(file, { arch: model, build, threads });
  const loadMs = performance.now() - start;
  const side = defaultSize(spec);
  const data = Float32Array.from({ length: batch * side * side * 3 }, (_, i) => Math.sin(i * i));
  const times: number[] = [];
  for (let i = 0; i <= runs; ++i) {
    const begin = performance.now();
    await loaded.logits({ data, shape: [batch, side, side, 3] });
    times.push(performance.now() - begin);
  }
  const [firstMs, ...rest] = times;
  const warm = rest.slice(rest.length >> 2).sort((a, b) => a - b);
  const medianMs = warm[warm.length >> 1]!;
  const wasmMB = loaded.memoryBytes / 1e6;
  await loaded.dispose();
  const imagesPerSecond = (1e3 * batch) / medianMs;
  const figures = { loadMs, firstMs: firstMs!, medianMs, minMs: warm[0]!, imagesPerSecond, wasmMB };
  return { model, dtype, build, threads, batch, ...figures };
}

/** `bench models [--models …] [--dtypes f32,int8] [--builds …] [--threads 1,2] [--batch 1,8] [--runs 20] [--json]` */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string", default: "resnet18,resnet34,resnet50,resnet20" },
      builds: { type: "string", default: pickBuild() === "relaxed" ? [...BUILDS].reverse().join() : "baseline" },
      threads: { type: "string", default: "1,2" },
      batch: { type: "string", default: "1,8" },
      runs: { type: "string", default: "20" },
      json: { type: "boolean", default: false },
      dtypes: { type: "string", default: "f32,int8" },
      cell: { type: "string" },
    },
  });
  const lists = [values.models, values.builds, values.threads, values.batch, values.dtypes].map((text) =>
    text.split(","),
  );
  const [models, builds, threads, batches, dtypes] = lists as [string[], Build[], string[], string[], Dtype[]];
  if (values.cell !== undefined) {
    const sizes = [threads[0], batches[0], values.runs].map(Number) as [number, number, number];
    const row = await cell(models[0]!, dtypes[0]!, values.cell, builds[0]!, ...sizes);
    process.stdout.write(JSON.stringify(row));
    return 0;
  }
  const rows: Row[] = [];
  const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-bench-"));
  const script = new URL("main.ts", import.meta.url).pathname;
  const fixed = (["models", "dtypes", "builds", "threads", "batch", "runs", "cell"] as const).map(
    (name) => `--${name}`,
  );
  for (const model of models) {
    for (const dtype of dtypes) {
      const file = join(folder, `${model}-${dtype}.safetensors`);
      writeFileSync(file, await randomModel(model, dtype));
      for (const build of builds) {
        for (const count of threads) {
          for (const batch of batches) {
            const given = [model, dtype, build, count, batch, values.runs, file];
            const one = fixed.flatMap((name, i) => [name, given[i]!]);
            rows.push(
              JSON.parse(execFileSync(process.execPath, [script, "models", ...one], { encoding: "utf8" })) as Row,
            );
          }
        }
      }
    }
  }
  rmSync(folder, { recursive: true });
  if (values.json) process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
  else {
    const head = [
      "model",
      "dtype",
      "build",
      "threads",
      "batch",
      "load ms",
      "first ms",
      "median ms",
      "min ms",
      "images/s",
      "wasm MB",
    ];
    const lines = rows.map((row) => [
      ...[row.model, row.dtype, row.build, row.threads, row.batch],
      ...[row.loadMs, row.firstMs, row.medianMs, row.minMs, row.imagesPerSecond, row.wasmMB].map((value) =>
        Number(value.toFixed(1)),
      ),
    ]);
    process.stdout.write(`${table([head, ...lines])}\n`);
  }
  return 0;
}
