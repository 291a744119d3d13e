/**
 * This project against its rivals in headless browsers: one page, the same weights and images, logits compared before
 * anything is timed, turns in reversed order. One thread on a plain page, more on an isolated one; Chromium also with V8's
 * packing of vectors.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { environment } from "../../src/cli/environment.ts";
import { table } from "../../src/cli/terminal.ts";
import { absenceOf, BROWSERS, type BrowserName } from "../../test/runtimes/browsers.ts";
import { DTYPES, median, type Setting } from "../versus/contest.ts";
import { runtime } from "../versus/environment.ts";
import { writeModel } from "../versus/files.ts";
import { among, counts, vectorsOf } from "../versus/options.ts";
import type { PageResult, PageRow } from "./page.ts";
import { FOLDERS, launch, pageScript, resultOf, serve } from "./serve.ts";

interface Row extends Setting, Omit<PageRow, "ms"> {
  readonly browser: string;
  readonly medianMs: number;
  readonly minMs: number;
}

/**
 * `bench browser [--models resnet18] [--dtypes f32,int8] [--browsers chromium,firefox,webkit] [--threads 1,2] [--batch 1]
 * [--vectors both] [--rounds 15] [--json FILE]`
 */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string", default: "resnet18" },
      dtypes: { type: "string", default: "f32,int8" },
      browsers: { type: "string", default: "chromium,firefox,webkit" },
      threads: { type: "string", default: "1,2" },
      batch: { type: "string", default: "1" },
      vectors: { type: "string", default: "both" },
      rounds: { type: "string", default: "15" },
      json: { type: "string" },
    },
  });
  const dtypes = among("--dtypes", values.dtypes, DTYPES);
  const browsers = among("--browsers", values.browsers, BROWSERS);
  const threads = counts("--threads", values.threads);
  const batches = counts("--batch", values.batch);
  const widths = vectorsOf(values.vectors);
  const script = await pageScript("page.ts");
  const rows: Row[] = [];
  for (const model of values.models.split(",")) {
    for (const dtype of dtypes) {
      for (const batch of batches) {
        const settings = threads.flatMap((count) =>
          widths.map((vectors): Setting => ({ model, dtype, threads: count, batch, vectors })),
        );
        rows.push(...(await measure(settings, browsers, script, values.rounds)));
      }
    }
  }
  const sizes = {
    "resnet-wasm": statSync(join(FOLDERS.wasm, "relaxed.wasm")).size,
    "onnxruntime-web": statSync(join(FOLDERS.ort, "ort-wasm-simd-threaded.wasm")).size,
    "TensorFlow.js wasm": statSync(join(FOLDERS.tfjs, "tfjs-backend-wasm-simd.wasm")).size,
    "LiteRT.js": statSync(join(FOLDERS.litert, "litert_wasm_internal.wasm")).size,
  };
  if (values.json !== undefined) {
    const { packages } = await runtime();
    writeFileSync(values.json, `${JSON.stringify({ ...environment(), packages, sizes, rows }, undefined, 2)}\n`);
  }
  const short = (value: number): number => Number(value.toFixed(1));
  const keys = ["browser", "model", "dtype", "threads", "batch", "vectors"] as const;
  const first = (row: Row): Row => rows.find((each) => keys.every((key) => each[key] === row[key]))!;
  process.stdout.write(
    `${table([
      [...keys, "engine", "build", "min ms", "median", "first", "load", "÷ first row", "difference", "wasm kB"],
      ...rows.map((row) => [
        ...[...keys.map((key) => row[key]), row.engine, row.build, short(row.minMs), short(row.medianMs)],
        ...[short(row.firstMs), short(row.loadMs), Number((row.minMs / first(row).minMs).toFixed(2))],
        ...[row.difference.toExponential(1), Math.round(sizes[row.engine as keyof typeof sizes] / 1000)],
      ]),
    ])}\n`,
  );
  return 0;
}

/** Settings that differ in threads and vectors: one set of files serves them all. */
async function measure(
  settings: readonly Setting[],
  browsers: readonly BrowserName[],
  script: string,
  rounds: string,
): Promise<readonly Row[]> {
  const models = mkdtempSync(join(tmpdir(), "resnet-wasm-browser-"));
  const rows: Row[] = [];
  try {
    await writeModel(models, settings[0]!);
    for (const name of browsers) {
      const absent = absenceOf(name);
      if (absent !== undefined) {
        process.stderr.write(`bench browser: ${absent}: left out\n`);
        continue;
      }
      for (const setting of settings) {
        // Only V8 has such packing; WebKitGTK has no shared memory.
        if (name !== "chromium" && setting.vectors === 256) continue;
        if (name === "webkit" && setting.threads > 1) continue;
        // Ours measures whether vectors are packed, and keeps to narrow tiles on a plain page, whose clock moves in steps of 0.1 ms.
        const isolated = setting.threads > 1 || setting.vectors === 256;
        const server = await serve({ ...FOLDERS, models }, script, isolated);
        const browser = await launch(name, setting.vectors);
        try {
          const query = new URLSearchParams(Object.entries({ ...setting, rounds }).map(([key, to]) => [key, `${to}`]));
          const result = await resultOf<PageResult>(browser, server, query);
          for (const { engine, reason } of result.absent) process.stderr.write(`${name}: ${engine}: ${reason}\n`);
          for (const { ms, ...row } of result.rows) {
            rows.push({ browser: browser.version, ...setting, medianMs: median(ms), minMs: Math.min(...ms), ...row });
          }
        } finally {
          await browser.close();
          server.closeAllConnections();
          server.close();
        }
      }
    }
  } finally {
    rmSync(models, { recursive: true });
  }
  return rows;
}
