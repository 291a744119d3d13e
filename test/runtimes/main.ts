/**
 * `npm run test:runtimes`: the contract in every runtime there is here, and the matrix of what held. With `--require-all` a
 * runtime that is not installed is a failure instead of a skip.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import puppeteer, { type Browser } from "puppeteer-core";
import { startWorker } from "../../examples/worker/workerd.ts";
import { ARM64_NODE, missingForArm64 } from "./arm64.ts";
import type { Expected, Outcome } from "./contract.ts";
import { type Fixtures, fixtures, root, serve } from "./fixtures.ts";
import { hasWebKit, startWebKit } from "./webdriver.ts";

/** `--only NAME`: one column. */
const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : undefined;
const requireAll = process.argv.includes("--require-all");
const bin = (path: string): string => join(root, "node_modules", path);
/** Deno and Bun: a package of their own. */
const apart = join(import.meta.dirname, "node_modules/.bin");
// Inside the checkout, where Deno looks for the package's dependencies.
const folder = mkdtempSync(join(root, "dist/contract-"));
const given: Fixtures = await fixtures();

/** A script of this folder as one file, beside what it may import. */
async function bundled(name: string, platform: "node" | "browser"): Promise<string> {
  const outfile = join(folder, `${name}.js`);
  const entryPoints = [join(import.meta.dirname, `${name}.ts`)];
  await build({ entryPoints, outfile, bundle: true, format: "esm", platform, target: "es2022", logLevel: "error" });
  return outfile;
}

const local = await bundled("local", "node");
const page = readFileSync(await bundled("page", "browser"), "utf8");
const entry = join(root, "dist/runtimes/node.js");
/** What all runtimes gave when this was last changed on purpose: `node test/runtimes/main.ts --write`. */
const committed = join(import.meta.dirname, "expected.json");

function localOutcomes(command: readonly string[], site: string, expected: string): Promise<readonly Outcome[]> {
  const [program, ...args] = command as [string, ...string[]];
  const url = program.includes("deno") || program.includes("bun") ? entry : `file://${entry}`;
  return new Promise((resolve) => {
    execFile(
      program,
      [...args, local, site, expected, url],
      { cwd: folder, timeout: 300_000 },
      (error, stdout, stderr) => {
        const line = stdout.split("\n").find((text) => text.startsWith("outcomes "));
        if (line === undefined) resolve([{ name: "start", failed: `${error?.message} ${stderr}` }]);
        else resolve(JSON.parse(line.slice("outcomes ".length)));
      },
    );
  });
}

if (process.argv.includes("--write")) {
  const site = await serve(given, page, "{}", false);
  const outcomes = await localOutcomes([process.execPath], site.url, "none");
  const seen = new Map(outcomes.map((outcome) => [outcome.name, outcome.seen]));
  const digest = seen.get("int8 digest, baseline");
  const expected = { best: seen.get("classify"), digest, losses: seen.get("fine-tune a head") };
  writeFileSync(committed, `${JSON.stringify(expected, undefined, 2)}\n`);
  site.close();
}
const expected = JSON.parse(readFileSync(committed, "utf8")) as Expected;
const expectedFile = join(folder, "expected.json");
writeFileSync(expectedFile, JSON.stringify(expected));

/** A site whose pages know what to expect. */
const siteOf = (isolated: boolean): ReturnType<typeof serve> => {
  return serve(given, page, JSON.stringify(expected), isolated);
};

interface Column {
  readonly name: string;
  /** Why it is not here. */
  readonly absent?: string;
  run(): Promise<readonly Outcome[]>;
}

const inNode = (
  name: string,
  command: readonly string[],
  absent = existsSync(command[0]!) ? undefined : "not installed",
): Column => ({
  name,
  ...(absent === undefined ? {} : { absent }),
  async run() {
    const site = await siteOf(false);
    try {
      return await localOutcomes(command, site.url, expectedFile);
    } finally {
      site.close();
    }
  },
});

const inBrowser = (name: string, path: string, isolated: boolean): Column => ({
  name: `${name}${isolated ? ", isolated" : ""}`,
  ...(existsSync(path) ? {} : { absent: `${path} is not installed` }),
  async run() {
    const site = await siteOf(isolated);
    const isFirefox = name === "Firefox";
    let browser: Browser | undefined;
    try {
      browser = await puppeteer.launch({
        browser: isFirefox ? "firefox" : "chrome",
        executablePath: path,
        args: isFirefox
          ? []
          : [
              ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
              ...["--disable-background-networking", "--disable-component-update"],
            ],
      });
      const tab = await browser.newPage();
      await tab.goto(`${site.url}/page.html`);
      await tab.waitForFunction(() => document.title === "done", { timeout: 60_000 });
      return JSON.parse(await tab.evaluate(() => document.body.textContent!));
    } finally {
      await browser?.close();
      site.close();
    }
  },
});

const inWebKit = (isolated: boolean): Column => ({
  name: `WebKit${isolated ? ", isolated" : ""}`,
  ...(hasWebKit() ? {} : { absent: "webkit2gtk-driver or xvfb is not installed" }),
  async run() {
    const site = await siteOf(isolated);
    const webkit = await startWebKit();
    try {
      await webkit.open(`${site.url}/page.html`);
      for (let i = 0; i < 600; ++i) {
        if ((await webkit.evaluate("return document.title")) === "done") {
          return JSON.parse((await webkit.evaluate("return document.body.textContent")) as string);
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      throw new Error("expected an end within a minute, got none");
    } finally {
      await webkit.close();
      site.close();
    }
  },
});

const inWorkerd: Column = {
  name: "workerd",
  async run() {
    const site = await siteOf(false);
    const assets = join(folder, "assets");
    mkdirSync(assets);
    const worker = await startWorker({
      ...{ main: join(import.meta.dirname, "worker.ts"), assets, allow: ["public", "private"] },
    });
    try {
      return (await (await fetch(`${worker.url}/?site=${site.url}`)).json()) as readonly Outcome[];
    } finally {
      await worker.stop();
      site.close();
    }
  },
};

const columns: readonly Column[] = [
  inNode("Node 26", [bin("node/bin/node")]),
  inNode("Node 20", [bin("node20/bin/node")]),
  inNode("arm64: Node 26 under QEMU", ARM64_NODE, missingForArm64()),
  inNode("Deno", [join(apart, "deno"), "run", "--allow-all"]),
  inNode("Bun", [join(apart, "bun"), "run"]),
  inWorkerd,
  ...[false, true].map((isolated) => inBrowser("Chromium", process.env.CHROMIUM ?? "/usr/bin/chromium", isolated)),
  ...[false, true].map((isolated) => inBrowser("Firefox", process.env.FIREFOX ?? "/usr/bin/firefox-esr", isolated)),
  ...[false, true].map(inWebKit),
];

let [passed, failed] = [0, 0];
const results = new Map<string, ReadonlyMap<string, Outcome>>();
const names = new Set<string>();
for (const column of columns.filter(({ name }) => only === undefined || name.startsWith(only))) {
  let outcomes: readonly Outcome[];
  if (column.absent !== undefined) {
    process.stdout.write(`${column.name}: ${requireAll ? "FAILED" : "skipped"}, ${column.absent}\n`);
    if (requireAll) failed += 1;
    continue;
  }
  try {
    outcomes = await column.run();
  } catch (error) {
    outcomes = [{ name: "start", failed: `${(error as Error).stack}` }];
  }
  for (const { name, failed: message, skipped } of outcomes) {
    names.add(name);
    if (message !== undefined) {
      failed += 1;
      process.stdout.write(`FAILED ${column.name}: ${name}: ${message.slice(0, 600)}\n`);
    } else if (skipped === undefined) passed += 1;
    else process.stdout.write(`left out in ${column.name}: ${name}: ${skipped}\n`);
  }
  results.set(column.name, new Map(outcomes.map((outcome) => [outcome.name, outcome])));
}
rmSync(folder, { recursive: true, force: true });

const mark = (outcome: Outcome | undefined): string => {
  if (outcome === undefined) return "";
  return outcome.failed !== undefined ? "FAILED" : outcome.skipped !== undefined ? "–" : "✓";
};
process.stdout.write(`\n| | ${[...names].join(" | ")} |\n| --- |${" --- |".repeat(names.size)}\n`);
for (const [runtime, outcomes] of results) {
  process.stdout.write(`| ${runtime} | ${[...names].map((name) => mark(outcomes.get(name))).join(" | ")} |\n`);
}
process.stdout.write(`\nchecks: ${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
