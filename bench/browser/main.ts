/**
 * This project against its rivals in headless browsers: one page, the same weights and image, logits compared before
 * anything is timed, turns in reversed order. One thread on a plain page, more on an isolated one.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import puppeteer from "puppeteer-core";
import { environment } from "../../src/cli/environment.ts";
import { table } from "../../src/cli/terminal.ts";
import { median } from "../versus/contest.ts";
import { writeModel } from "../versus/files.ts";
import type { PageResult } from "./page.ts";

const root = join(import.meta.dirname, "../..");
const versus = join(import.meta.dirname, "../versus");
const rivals = join(versus, "node_modules");

const BROWSERS: Readonly<Record<string, string>> = {
  chromium: process.env.CHROMIUM ?? "/usr/bin/chromium",
  firefox: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
};
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};

/** Why one rival of the platform's list is not among the engines. */
const LITERT = "LiteRT.js: it reads .tflite only, which this bench cannot write from the project's weights";

interface Row {
  readonly browser: string;
  readonly engine: string;
  readonly model: string;
  readonly dtype: "f32";
  readonly threads: number;
  readonly build: string;
  readonly batch: 1;
  readonly medianMs: number;
  readonly minMs: number;
  readonly firstMs: number;
  readonly loadMs: number;
  readonly difference: number;
}

function serve(folders: Readonly<Record<string, string>>, script: string, isolated: boolean): Promise<Server> {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url!, "http://x").pathname);
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    response.setHeader("Content-Type", TYPES[extname(path)] ?? "application/octet-stream");
    if (path === "/page.js") return response.end(script);
    if (path === "/page.html") {
      return response.end('<!doctype html><title>waiting</title><body><script type="module" src="/page.js"></script>');
    }
    const [, first = "", rest = ""] = /^\/([^/]+)\/(.+)$/.exec(path) ?? [];
    const folder = folders[first];
    const file = folder === undefined ? undefined : join(folder, rest);
    return file !== undefined && existsSync(file) ? response.end(readFileSync(file)) : response.writeHead(404).end();
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** `bench browser [--models resnet18] [--browsers chromium,firefox] [--threads 1,2] [--rounds 15] [--json FILE]` */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string", default: "resnet18" },
      browsers: { type: "string", default: "chromium,firefox" },
      threads: { type: "string", default: "1,2" },
      rounds: { type: "string", default: "15" },
      json: { type: "string" },
    },
  });
  if (!existsSync(rivals)) {
    execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: versus,
      stdio: ["ignore", 2, 2],
    });
  }
  execFileSync(process.execPath, [join(root, "build.ts")], { stdio: ["ignore", 2, 2] });
  const { outputFiles } = await build({
    ...{ entryPoints: [join(import.meta.dirname, "page.ts")], bundle: true, write: false, format: "esm", minify: true },
    ...{ platform: "browser", target: "es2023", nodePaths: [rivals], logLevel: "error" },
  });
  const models = mkdtempSync(join(tmpdir(), "resnet-wasm-browser-"));
  const tfjs = join(rivals, "@tensorflow/tfjs-backend-wasm/dist");
  const ort = join(rivals, "onnxruntime-web/dist");
  const folders = { models, ort, tfjs, dist: join(root, "dist"), wasm: join(root, "wasm") };
  const rows: Row[] = [];
  for (const model of values.models.split(",")) {
    await writeModel(models, { model, dtype: "f32", threads: 1, batch: 1 });
    for (const name of values.browsers.split(",")) {
      const path = BROWSERS[name];
      if (path === undefined || !existsSync(path)) {
        process.stderr.write(`bench browser: ${name} is not installed: left out\n`);
        continue;
      }
      for (const threads of values.threads.split(",").map(Number)) {
        const server = await serve(folders, outputFiles![0]!.text, threads > 1);
        const isFirefox = name === "firefox";
        const browser = await puppeteer.launch({
          browser: isFirefox ? "firefox" : "chrome",
          executablePath: path,
          args: isFirefox
            ? []
            : ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
        });
        try {
          const tab = await browser.newPage();
          const query = `model=${model}&threads=${threads}&rounds=${values.rounds}`;
          await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/page.html?${query}`);
          await tab.waitForFunction(() => document.title === "done", { timeout: 300_000 });
          const result = JSON.parse(await tab.evaluate(() => document.body.textContent!)) as PageResult;
          for (const { engine, reason } of result.absent) process.stderr.write(`${name}: ${engine}: ${reason}\n`);
          for (const { ms, ...row } of result.rows) {
            const times = { medianMs: median(ms), minMs: Math.min(...ms) };
            rows.push({ browser: await browser.version(), model, dtype: "f32", threads, batch: 1, ...times, ...row });
          }
        } finally {
          await browser.close();
          server.closeAllConnections();
          server.close();
        }
      }
    }
  }
  rmSync(models, { recursive: true });
  process.stderr.write(`left out: ${LITERT}\n`);
  const sizes = {
    "resnet-wasm": statSync(join(root, "wasm/relaxed.wasm")).size,
    "onnxruntime-web": statSync(join(ort, "ort-wasm-simd-threaded.wasm")).size,
    "TensorFlow.js wasm": statSync(join(tfjs, "tfjs-backend-wasm-simd.wasm")).size,
  };
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify({ ...environment(), sizes, rows }, undefined, 2)}\n`);
  }
  const short = (value: number): number => Number(value.toFixed(1));
  const bestOf = ({ browser, model, threads }: Row): number =>
    rows.find((row) => row.browser === browser && row.model === model && row.threads === threads)!.minMs;
  process.stdout.write(
    `${table([
      ["browser", "model", "threads", "engine", "build", "min ms", "median", "first", "load", "÷ ours", "wasm kB"],
      ...rows.map((row) => [
        ...[row.browser, row.model, row.threads, row.engine, row.build, short(row.minMs), short(row.medianMs)],
        ...[short(row.firstMs), short(row.loadMs), Number((row.minMs / bestOf(row)).toFixed(2))],
        Math.round(sizes[row.engine as keyof typeof sizes] / 1000),
      ]),
    ])}\n`,
  );
  return 0;
}
