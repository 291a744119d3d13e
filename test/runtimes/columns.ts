/** Every runtime that there may be here, and how each runs a task: scripts of this folder, and a site that serves what they need. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { startWorker } from "../../examples/worker/workerd.ts";
import { ARM64_NODE, missingForArm64 } from "./arm64.ts";
import { absenceOf, BROWSERS, type BrowserName, startBrowser } from "./browsers.ts";
import { root, type Site } from "./fixtures.ts";

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

/** Runs a script; resolves to the JSON of its line `result …`. Throws `Error` with what the program says when there is none. */
export function runScript(
  command: readonly string[],
  script: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<unknown> {
  const [program, ...before] = command as [string, ...string[]];
  const options = { cwd: join(script, ".."), timeout: timeoutMs };
  return new Promise((resolve, reject) => {
    execFile(program, [...before, script, ...args], options, (error, stdout, stderr) => {
      const line = stdout.split("\n").find((text) => text.startsWith("result "));
      if (line === undefined) reject(new Error(`${error?.message} ${stderr}`));
      else resolve(JSON.parse(line.slice("result ".length)));
    });
  });
}

/** Runs a task in a program. */
export function runLocally(task: Task, command: readonly string[], site: string): Promise<unknown> {
  return runScript(command, task.local, [site, ...task.localArguments(command[0]!)], task.timeoutMs);
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
function inProgram(
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

const TITLES = { chromium: "Chromium", firefox: "Firefox", webkit: "WebKit" } as const;

function inBrowser(task: Task, browser: BrowserName, isolated: boolean): Column {
  const absent = absenceOf(browser);
  return {
    name: `${TITLES[browser]}${isolated ? ", isolated" : ""}`,
    ...(absent === undefined ? {} : { absent }),
    run: () =>
      withSite(task, isolated, async (url) => {
        const running = await startBrowser(browser);
        try {
          return JSON.parse(await running.resultOf(`${url}/page.html`, task.timeoutMs));
        } finally {
          await running.close();
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

/** How the programs are started. The packed one has V8's packing of pairs of vectors, as the command turns it on. */
export const PROGRAMS = {
  "Node 26": [NODE],
  "Node 26, packed": [NODE, "--experimental-wasm-revectorize"],
  "Node 20": [bin("node20/bin/node")],
  Deno: [join(apart, "deno"), "run", "--allow-all"],
  Bun: [join(apart, "bun"), "run"],
} as const;

export function inPackedNode(task: Task): Column {
  return inProgram(task, "Node 26, packed", PROGRAMS["Node 26, packed"]);
}

/** All of them. */
export function columns(task: Task): readonly Column[] {
  return [
    inProgram(task, "Node 26", PROGRAMS["Node 26"]),
    inProgram(task, "Node 20", PROGRAMS["Node 20"]),
    inProgram(task, "arm64: Node 26 under QEMU", ARM64_NODE, missingForArm64()),
    inProgram(task, "Deno", PROGRAMS.Deno),
    inProgram(task, "Bun", PROGRAMS.Bun),
    inWorkerd(task),
    ...BROWSERS.flatMap((browser) => [false, true].map((isolated) => inBrowser(task, browser, isolated))),
  ];
}
