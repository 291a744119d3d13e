/** Every runtime that there may be here, and how each runs a task: scripts of this folder, and a site that serves what they need. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import puppeteer, { type Browser } from "puppeteer-core";
import { startWorker } from "../../examples/worker/workerd.ts";
import { ARM64_NODE, missingForArm64 } from "./arm64.ts";
import { root, type Site } from "./fixtures.ts";
import { hasWebKit, startWebKit } from "./webdriver.ts";

/** What every column runs. */
export interface Task {
  /** A bundled script for Node, Deno and Bun: `SCRIPT SITE …`; prints a line `result JSON`. */
  readonly local: string;
  /** What the script is given after the site. */
  localArguments(program: string): readonly string[];
  /** The main module of a Worker; it answers `/?site=…` with JSON. */
  readonly worker: string;
  /** Serves `/page.html`, which writes JSON into its body and then has the title `done`. */
  site(isolated: boolean): Promise<Site>;
  /** Time that a column has. */
  readonly timeoutMs: number;
}

export interface Column {
  readonly name: string;
  /** Why it is not here. */
  readonly absent?: string;
  /** The JSON that the task leaves, parsed. */
  run(): Promise<unknown>;
}

const bin = (path: string): string => join(root, "node_modules", path);
/** Deno and Bun: a package of their own. */
const apart = join(import.meta.dirname, "node_modules/.bin");
const NODE = bin("node/bin/node");

/** A folder for what is bundled, inside the checkout: Deno looks there for the package's dependencies. */
export function bundleFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(root, "dist/runtimes-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A script of this folder as one file in `folder`, beside what it may import. */
export async function bundled(folder: string, name: string, platform: "node" | "browser"): Promise<string> {
  const outfile = join(folder, `${name.replace("/", "-")}.js`);
  const entryPoints = [join(import.meta.dirname, `${name}.ts`)];
  await build({ entryPoints, outfile, bundle: true, format: "esm", platform, target: "es2022", logLevel: "error" });
  return outfile;
}

/** Runs a task's script; throws `Error` with what the program says when it leaves no result. */
export function runLocally(task: Task, command: readonly string[], site: string): Promise<unknown> {
  const [program, ...args] = command as [string, ...string[]];
  const all = [...args, task.local, site, ...task.localArguments(program)];
  const options = { cwd: join(task.local, ".."), timeout: task.timeoutMs };
  return new Promise((resolve, reject) => {
    execFile(program, all, options, (error, stdout, stderr) => {
      const line = stdout.split("\n").find((text) => text.startsWith("result "));
      if (line === undefined) reject(new Error(`${error?.message} ${stderr}`));
      else resolve(JSON.parse(line.slice("result ".length)));
    });
  });
}

async function withSite<T>(task: Task, isolated: boolean, work: (url: string) => Promise<T>): Promise<T> {
  const site = await task.site(isolated);
  try {
    return await work(site.url);
  } finally {
    site.close();
  }
}

/** A program that runs the task's script: Node, Deno or Bun. */
export function inProgram(
  task: Task,
  name: string,
  command: readonly string[],
  absent = existsSync(command[0]!) ? undefined : "not installed",
): Column {
  return {
    name,
    ...(absent === undefined ? {} : { absent }),
    run: () => withSite(task, false, (url) => runLocally(task, command, url)),
  };
}

function inBrowser(task: Task, name: string, path: string, isolated: boolean): Column {
  return {
    name: `${name}${isolated ? ", isolated" : ""}`,
    ...(existsSync(path) ? {} : { absent: `${path} is not installed` }),
    run: () =>
      withSite(task, isolated, async (url) => {
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
          await tab.goto(`${url}/page.html`);
          await tab.waitForFunction(() => document.title === "done", { timeout: task.timeoutMs });
          return JSON.parse(await tab.evaluate(() => document.body.textContent!));
        } finally {
          await browser?.close();
        }
      }),
  };
}

function inWebKit(task: Task, isolated: boolean): Column {
  return {
    name: `WebKit${isolated ? ", isolated" : ""}`,
    ...(hasWebKit() ? {} : { absent: "webkit2gtk-driver or xvfb is not installed" }),
    run: () =>
      withSite(task, isolated, async (url) => {
        const webkit = await startWebKit();
        try {
          return JSON.parse(await webkit.resultOf(`${url}/page.html`, task.timeoutMs));
        } finally {
          await webkit.close();
        }
      }),
  };
}

function inWorkerd(task: Task): Column {
  return {
    name: "workerd",
    run: () =>
      withSite(task, false, async (url) => {
        const assets = join(task.local, "../assets");
        mkdirSync(assets);
        const worker = await startWorker({ main: task.worker, assets, allow: ["public", "private"] });
        try {
          return await (await fetch(`${worker.url}/?site=${url}`)).json();
        } finally {
          await worker.stop();
        }
      }),
  };
}

/** Node with V8's packing of pairs of vectors, as the command turns it on. */
export function inPackedNode(task: Task): Column {
  return inProgram(task, "Node 26, packed", [NODE, "--experimental-wasm-revectorize"]);
}

/** All of them. */
export function columns(task: Task): readonly Column[] {
  const [chromium, firefox] = [
    process.env.CHROMIUM ?? "/usr/bin/chromium",
    process.env.FIREFOX ?? "/usr/bin/firefox-esr",
  ];
  return [
    inProgram(task, "Node 26", [NODE]),
    inProgram(task, "Node 20", [bin("node20/bin/node")]),
    inProgram(task, "arm64: Node 26 under QEMU", ARM64_NODE, missingForArm64()),
    inProgram(task, "Deno", [join(apart, "deno"), "run", "--allow-all"]),
    inProgram(task, "Bun", [join(apart, "bun"), "run"]),
    inWorkerd(task),
    ...[false, true].map((isolated) => inBrowser(task, "Chromium", chromium, isolated)),
    ...[false, true].map((isolated) => inBrowser(task, "Firefox", firefox, isolated)),
    ...[false, true].map((isolated) => inWebKit(task, isolated)),
  ];
}
