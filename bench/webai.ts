/**
 * The image classification workload of GoogleChrome/webai-compute-benchmark, by its protocol and with its score, for this
 * project and its rivals: 10,000 divided by the milliseconds of five inferences in a fresh frame, the mean of five iterations.
 * The network is one of ours where theirs is MobileNet-v3-Small, so scores compare only among these rows.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { environment } from "../src/cli/environment.ts";
import { table } from "../src/cli/terminal.ts";
import { absenceOf } from "../test/runtimes/browsers.ts";
import { FOLDERS, launch, pageScript, resultOf, serve } from "./browser/serve.ts";
import type { WebaiResult, WebaiRow } from "./browser/webai.ts";
import { DTYPES, type Setting } from "./versus/contest.ts";
import { runtime } from "./versus/environment.ts";
import { writeModel } from "./versus/files.ts";
import { among, vectorsOf } from "./versus/options.ts";

interface Row extends Setting, WebaiRow {
  readonly browser: string;
  readonly score: number;
}

/** `bench webai [--model resnet18] [--dtypes f32,int8] [--vectors both] [--iterations 5] [--json FILE]`, in Chromium */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: "string", default: "resnet18" },
      dtypes: { type: "string", default: "f32,int8" },
      vectors: { type: "string", default: "both" },
      iterations: { type: "string", default: "5" },
      json: { type: "string" },
    },
  });
  if (absenceOf("chromium") !== undefined) {
    process.stderr.write("bench webai: expected Chromium, got none; CHROMIUM is the path of another\n");
    return 1;
  }
  const script = await pageScript("webai.ts");
  const rows: Row[] = [];
  for (const dtype of among("--dtypes", values.dtypes, DTYPES)) {
    const models = mkdtempSync(join(tmpdir(), "resnet-wasm-webai-"));
    const settings = vectorsOf(values.vectors).map(
      (vectors): Setting => ({ model: values.model, dtype, threads: 1, batch: 1, vectors }),
    );
    await writeModel(models, settings[0]!);
    for (const setting of settings) {
      const server = await serve({ ...FOLDERS, models }, script, setting.vectors === 256);
      const browser = await launch("chromium", setting.vectors);
      try {
        const query = { ...setting, iterations: values.iterations };
        const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, `${value}`]));
        const result = await resultOf<WebaiResult>(browser, server, search);
        for (const { engine, reason } of result.absent) process.stderr.write(`${engine}: ${reason}\n`);
        for (const row of result.rows) {
          const scores = row.totalMs.map((ms) => 1e4 / ms);
          const score = scores.reduce((a, b) => a + b) / scores.length;
          rows.push({ browser: browser.version, ...setting, ...row, score });
        }
      } finally {
        await browser.close();
        server.closeAllConnections();
        server.close();
      }
    }
    rmSync(models, { recursive: true });
  }
  if (values.json !== undefined) {
    const { packages } = await runtime();
    writeFileSync(values.json, `${JSON.stringify({ ...environment(), packages, rows }, undefined, 2)}\n`);
  }
  const keys = ["browser", "model", "dtype", "vectors", "engine", "build"] as const;
  process.stdout.write(
    `${table([
      [...keys, "best ms", "score"],
      ...rows.map((row) => [
        ...keys.map((key) => row[key]),
        Number(Math.min(...row.totalMs).toFixed(1)),
        Number(row.score.toFixed(1)),
      ]),
    ])}\n`,
  );
  return 0;
}
