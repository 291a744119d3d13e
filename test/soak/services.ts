/** The service in every runtime that is installed here, each in a process of its own, and what that process takes. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startWorker } from "../../examples/worker/workerd.ts";

export interface Service {
  readonly name: string;
  readonly url: string;
  /** Megabytes in memory now. */
  rss(): number;
  /** Megabytes of its own: for a Worker, what counts against its limit. */
  own(): number;
  /** Open file descriptors. */
  files(): number;
  stop(): Promise<void>;
}

const root = join(import.meta.dirname, "../..");
/** Deno, Bun and workerd are in packages of their own. */
const [deno, bun] = ["deno", "bun"].map((name) => join(root, "test/runtimes/node_modules/.bin", name)) as [
  string,
  string,
];
const workerd = join(root, "examples/node_modules/workerd");

/** The program itself where npm's is a wrapper around it. */
function programOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
  return child === undefined || child === "" ? pid : programOf(Number(child));
}

function probes(wrapper: number): Pick<Service, "rss" | "own" | "files"> {
  const pid = programOf(wrapper);
  const field = (key: string): number => {
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(new RegExp(`${key}:\\s+(\\d+)`).exec(text)![1]) * 1.024e-3;
  };
  return { rss: () => field("VmRSS"), own: () => field("RssAnon"), files: () => readdirSync(`/proc/${pid}/fd`).length };
}

/** A server that does nothing, in a process of its own: how soon this machine answers at all, as busy as it is. */
export async function startControl(): Promise<{ readonly url: string; stop(): void }> {
  const program = `const server = require("node:http").createServer((_, response) => response.end("ok"));
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));`;
  const child = spawn(process.execPath, ["--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
  const port = await new Promise((resolve) => child.stdout.once("data", resolve));
  return { url: `http://127.0.0.1:${Number(`${port}`)}`, stop: () => child.kill() };
}

async function startServe(name: string, command: readonly string[], model: string): Promise<Service> {
  const [program, ...args] = command as [string, ...string[]];
  const serve = ["serve", "--model", model, "--port", "0", "--json", "--quiet", "--offline"];
  const child = spawn(program, [...args, join(root, "dist/cli/main.js"), ...serve], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  const url = await new Promise<string>((done, fail) => {
    let text = "";
    child.stdout!.on("data", (chunk) => {
      text += chunk;
      if (text.includes("\n")) done(new URL((JSON.parse(text) as { url: string }).url).origin);
    });
    child.once("exit", (code) => fail(new Error(`${name} ended with ${code}`)));
  });
  return {
    ...{ name, url, ...probes(child.pid!) },
    async stop() {
      const pid = programOf(child.pid!);
      process.kill(pid, "SIGTERM");
      const late = setTimeout(() => process.kill(pid, "SIGKILL"), 30_000);
      await ended;
      clearTimeout(late);
    },
  };
}

async function startWorkerd(model: string, folder: string): Promise<Service> {
  const assets = join(folder, "assets");
  mkdirSync(assets, { recursive: true });
  writeFileSync(join(assets, "model.safetensors"), readFileSync(model));
  const main = join(import.meta.dirname, "worker.ts");
  const worker = await startWorker({ main, assets, v8Flags: ["--expose-gc"] });
  return { name: "workerd", url: worker.url, ...probes(worker.process.pid!), stop: () => worker.stop() };
}

/** A runtime's name, and how its service is started; absent ones are left out. */
export const RUNTIMES: Readonly<Record<string, ((model: string, folder: string) => Promise<Service>) | undefined>> = {
  node: (model) => startServe("node", [process.execPath], model),
  deno: existsSync(deno) ? (model) => startServe("deno", [deno, "run", "-A"], model) : undefined,
  bun: existsSync(bun) ? (model) => startServe("bun", [bun], model) : undefined,
  workerd: existsSync(workerd) ? startWorkerd : undefined,
};
