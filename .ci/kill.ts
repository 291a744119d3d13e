/**
 * kill −9 at random moments of a download, convert, quantize, finetune and eval: whatever is left, no file is damaged, and
 * the next run ends in the same bytes as one that was never stopped. `--times N` kills of each, 4; `--seed N`;
 * `--only NAME` of one.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { encode } from "jpeg-js";
import { resnetSpec } from "../src/models/resnet.ts";
import { randomOf } from "../test/fuzz/random.ts";
import { goldenCheckpoint } from "../test/golden/checkpoint.ts";
import { check, finish, root } from "./checks.ts";

const { values } = parseArgs({
  options: {
    times: { type: "string", default: "4" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
  },
});
const times = Number(values.times);
const random = randomOf(Number(values.seed));

const base = mkdtempSync(join(tmpdir(), "resnet-wasm-kill-"));
const model = join(base, "model.safetensors");
const photos = join(base, "photos");
const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

const SPEC = { ...resnetSpec("resnet20"), shortcut: "B", classes: 3 } as const;
writeFileSync(model, goldenCheckpoint({ ...SPEC, width: 64 }, "bn2"));
for (const [label, name] of ["ant", "bee", "wasp"].entries()) {
  mkdirSync(join(photos, name), { recursive: true });
  for (let i = 0; i < 8; ++i) {
    const data = Buffer.alloc(4 * 64 * 56).map((_, p) => 128 + 90 * Math.sin(p / (3 + 5 * label)) + random.below(30));
    writeFileSync(join(photos, name, `${i}.jpg`), encode({ width: 64, height: 56, data }, 90).data);
  }
}

/** Serves the model slowly, with ranges, so that a kill falls into the middle of it. */
const server = createServer((request, response) => {
  const bytes = readFileSync(model);
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const headers = { etag: '"one"', "content-length": bytes.length - from, "content-type": "application/octet-stream" };
  if (from === 0) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
  let at = from;
  const timer = setInterval(() => {
    response.write(bytes.subarray(at, at + (bytes.length >> 5)));
    at += bytes.length >> 5;
    if (at >= bytes.length) response.end();
    if (at >= bytes.length) clearInterval(timer);
  }, 10);
  request.on("close", () => at < bytes.length || clearInterval(timer));
  response.on("close", () => clearInterval(timer));
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.safetensors`;

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command, and kills it after some time when one is given. */
async function run(folder: string, args: readonly string[], killAfterMs?: number): Promise<Ended> {
  const child = spawn(process.execPath, [join(root, "dist/cli/main.js"), ...args, "--quiet"], { cwd: folder });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearTimeout(timer);
  return { status, stdout, stderr };
}

interface Job {
  readonly name: string;
  readonly args: readonly string[];
  /** What identifies the result in a folder: the bytes of its files, or an accuracy. `undefined` while there is none. */
  result(folder: string, ended: Ended): Promise<string | undefined> | string | undefined;
  /** After a kill: what is wrong with what was left, if anything is. */
  left(folder: string, whole: string): Promise<string | undefined> | string | undefined;
}

const outFile = (folder: string): string => join(folder, "out.safetensors");
const outDigest = (folder: string): string | undefined =>
  existsSync(outFile(folder)) ? digest(outFile(folder)) : undefined;
/** The output is not there yet, or whole. */
const absentOrWhole = (folder: string, whole: string): string | undefined =>
  [undefined, whole].includes(outDigest(folder)) ? undefined : "an output that is neither absent nor whole";

/** The model in the cache, once its entry has its name. */
function entryOf(folder: string): string | undefined {
  const cache = join(folder, "cache");
  if (!existsSync(cache)) return undefined;
  return readdirSync(cache, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile() && item.name === "model.safetensors")
    .map((item) => join(item.parentPath, item.name))
    .find((path) => !/\.(?:tmp|part)-/.test(path.slice(cache.length)));
}

/** An evaluation without the time it took. */
function accuracy({ status, stdout }: Ended): string | undefined {
  if (status !== 0) return undefined;
  const { msPerImage: _, ...rest } = JSON.parse(stdout) as Record<string, unknown>;
  return JSON.stringify(rest);
}

const JOBS: readonly Job[] = [
  {
    name: "download",
    args: ["inspect", address, "--cache", "cache"],
    result: (folder) => {
      const entry = entryOf(folder);
      return entry && digest(entry);
    },
    async left(folder, whole) {
      const entry = entryOf(folder);
      if (entry !== undefined && digest(entry) !== whole) return "an entry of the cache with other bytes";
      const { status, stderr } = await run(folder, ["inspect", address, "--cache", "cache", "--offline"]);
      return (status === 0) === (entry !== undefined) ? undefined : `offline: ${stderr}`;
    },
  },
  {
    name: "convert",
    args: ["convert", model, "--dtype", "f16", "--out", "out.safetensors"],
    result: outDigest,
    left: absentOrWhole,
  },
  {
    name: "quantize",
    args: ["quantize", model, "--calibrate", photos, "--out", "out.safetensors"],
    result: outDigest,
    left: absentOrWhole,
  },
  {
    name: "finetune",
    args: [
      "finetune",
      photos,
      "--model",
      model,
      "--train",
      "layer3",
      "--epochs",
      "4",
      "--batch",
      "4",
      "--seed",
      "1",
      "--resume",
      "--out",
      "out.safetensors",
    ],
    result: outDigest,
    left: absentOrWhole,
  },
  {
    name: "eval",
    args: ["eval", photos, "--model", model, "--crops", "10", "--json", "--resume", "journal"],
    result: (_, ended) => accuracy(ended),
    left: () => undefined,
  },
];

for (const job of JOBS.filter(({ name }) => (values.only ?? name) === name)) {
  const fresh = (): string => mkdtempSync(join(base, `${job.name}-`));
  const reference = fresh();
  const start = performance.now();
  const ended = await run(reference, job.args);
  const ms = performance.now() - start;
  const whole = await job.result(reference, ended);
  if (whole === undefined) {
    check(`${job.name}, never stopped`, false, ended.stderr);
    continue;
  }
  const wrong: string[] = [];
  let killed = 0;
  // Some end before they are killed.
  for (let i = 0; killed < times && i < 3 * times; ++i) {
    const folder = fresh();
    // Most of a short job is the start of the process, where there is nothing to damage yet.
    const stopped = await run(folder, job.args, ms * (0.2 + 0.85 * (random.below(1000) / 1000)));
    killed += stopped.status === null ? 1 : 0;
    const damage = await job.left(folder, whole);
    if (damage !== undefined) wrong.push(damage);
    const resumed = await run(folder, job.args);
    const result = await job.result(folder, resumed);
    if (result !== whole) wrong.push(`after a resume ${result ?? resumed.stderr}, not ${whole}`);
    const temporary = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
      /\.tmp-|\.part-/.test(path),
    );
    if (temporary.length > 0) wrong.push(`left behind: ${temporary.join(", ")}`);
    rmSync(folder, { recursive: true });
  }
  const seen = wrong.length === 0 ? `${killed} killed, the same bytes` : wrong.slice(0, 5).join("; ");
  check(`${job.name}: kill −9 at random moments damages nothing`, wrong.length === 0 && killed > 0, seen);
}
server.closeAllConnections();
server.close();
rmSync(base, { recursive: true });
finish();
