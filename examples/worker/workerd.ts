/**
 * Runs a Worker on this machine, in the runtime that Cloudflare runs it in: bundles it as wrangler would, writes a
 * configuration for `workerd` and starts it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";

export interface WorkerOptions {
  /** The Worker's main module. */
  readonly main: string;
  /** Folder of static assets, bound as ASSETS. */
  readonly assets: string;
  /** Text bindings. */
  readonly vars?: Readonly<Record<string, string>>;
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port?: number;
  /** For V8, as `--max-old-space-size=64`. */
  readonly v8Flags?: readonly string[];
  /** Networks that `fetch` may reach. */
  readonly allow?: readonly string[];
}

export interface RunningWorker {
  readonly url: string;
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

/** The program itself, not its npm wrapper: signals and memory are then those of one process. */
function workerdPath(): string {
  return (createRequire(import.meta.url)("workerd") as { default: string }).default;
}

/** Bundles a Worker's main module into `folder`, its wasm modules beside it. */
export async function bundleWorker(main: string, folder: string): Promise<readonly string[]> {
  await build({
    entryPoints: { main: resolve(main) },
    outdir: folder,
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*"],
    loader: { ".wasm": "copy" },
    assetNames: "[name]",
    logLevel: "error",
    tsconfigRaw: "{}",
  });
  return readdirSync(folder).filter((name) => name.endsWith(".wasm"));
}

const text = (value: string): string => JSON.stringify(value);

/** Starts a Worker and waits until it listens. Throws `Error` with what workerd says when it does not. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { main, assets, vars = {}, host = "127.0.0.1", port = 0, allow = ["public"], v8Flags = [] } = options;
  const folder = mkdtempSync(join(tmpdir(), "resnet-worker-"));
  const modules = await bundleWorker(main, folder);
  const lines = [
    'using Workerd = import "/workerd/workerd.capnp";',
    "const config :Workerd.Config = (",
    "  services = [",
    '    (name = "main", worker = .worker),',
    `    (name = "assets", disk = (path = ${text(resolve(assets))})),`,
    `    (name = "internet", network = (allow = [${allow.map(text).join(", ")}], tlsOptions = (trustBrowserCas = true))),`,
    "  ],",
    `  sockets = [(name = "http", address = ${text(`${host}:${port}`)}, http = (), service = "main")],`,
    `  v8Flags = [${v8Flags.map(text).join(", ")}],`,
    ");",
    "const worker :Workerd.Worker = (",
    "  modules = [",
    '    (name = "main.js", esModule = embed "main.js"),',
    ...modules.map((name) => `    (name = ${text(name)}, wasm = embed ${text(name)}),`),
    "  ],",
    "  bindings = [",
    '    (name = "ASSETS", service = "assets"),',
    ...Object.entries(vars).map(([name, value]) => `    (name = ${text(name)}, text = ${text(value)}),`),
    "  ],",
    '  compatibilityDate = "2026-03-01",',
    '  compatibilityFlags = ["enable_request_signal"],',
    ");",
  ];
  writeFileSync(join(folder, "config.capnp"), `${lines.join("\n")}\n`);
  const args = ["serve", join(folder, "config.capnp"), "--control-fd=3"];
  const child = spawn(workerdPath(), args, { stdio: ["ignore", "inherit", "pipe", "pipe"] });
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  let errors = "";
  child.stderr!.on("data", (chunk) => {
    errors = `${errors}${chunk}`.slice(-4000);
    process.stderr.write(chunk);
  });
  const listening = new Promise<number>((done, fail) => {
    let said = "";
    child.stdio[3]!.on("data", (chunk) => {
      said += chunk;
      for (const line of said.split("\n").slice(0, -1)) {
        const event = JSON.parse(line) as { event: string; port?: number };
        if (event.event === "listen") done(event.port!);
      }
      said = said.slice(said.lastIndexOf("\n") + 1);
    });
    child.once("exit", () => fail(new Error(`workerd ended: ${errors.trim()}`)));
    child.once("error", fail);
  });
  try {
    return { url: `http://${host}:${await listening}`, process: child, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
