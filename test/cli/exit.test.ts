/** Exit statuses and what a failure leaves undone, by codes alone: no test in this file reads a message. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resnetSpec } from "../../src/models/resnet.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { runIn } from "./in-process.ts";

const root = join(import.meta.dirname, "../..");
const script = join(root, "dist/cli/main.js");
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "resnet-wasm-exit-"));
  const photo = readFileSync(join(root, "node_modules/baboon-image/baboon.png"));
  writeFileSync(join(folder, "m.safetensors"), goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }));
  mkdirSync(join(folder, "set"));
  writeFileSync(join(folder, "set/a.png"), photo);
  writeFileSync(join(folder, "set/cut.png"), photo.subarray(0, 9000));
  writeFileSync(join(folder, "set/labels.csv"), "file,label\na.png,1\ncut.png,2\n");
  writeFileSync(join(folder, "cut-only.csv"), "file,label\ncut.png,2\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (...args: readonly string[]) => runIn(folder, ...args);
const MODEL = ["--model", "m.safetensors", "--threads", "1", "--quiet"] as const;

describe("exit statuses", () => {
  it.each<[status: number, ...args: string[]]>([
    [0, "--help"],
    [0, "--version"],
    [0, "classify", "set/a.png", ...MODEL],
    [1, "classify", "set/cut.png", ...MODEL],
    [1, "classify", "missing.png", ...MODEL],
    [1, "classify", "m.safetensors", ...MODEL],
    [1, "classify", "set/a.png", "--model", "missing.safetensors"],
    [1, "classify", "set/a.png", "--model", "set/a.png"],
    [1, "eval", "set", ...MODEL],
    [1, "eval", "set", ...MODEL, "--labels", "cut-only.csv"],
    [1, "eval", "set", ...MODEL, "--labels", "missing.csv"],
    [1, "inspect", "m.safetensors", "--memory", "1kB"],
    [2, "classify"],
    [2, "classify", "set/a.png", ...MODEL, "--top-k", "none"],
    [2, "guess", "set/a.png"],
  ])("%i for %j", async (status, ...args) => {
    expect((await run(...(args as string[]))).code).toBe(status);
  });
});

describe("a broken image among others", () => {
  it("is the only one without an answer", async () => {
    const results = JSON.parse((await run("classify", "set/cut.png", "set/a.png", ...MODEL, "--json")).stdout);
    expect(results.map(({ predictions }: { predictions: unknown[] }) => predictions.length)).toEqual([0, 5]);
  });
  it("is not counted in an accuracy", async () => {
    expect(JSON.parse((await run("eval", "set", ...MODEL, "--json")).stdout).images).toBe(1);
  });
});

describe("an output", () => {
  it.skipIf(process.platform === "win32")("that nobody reads any more ends the command without a word", () => {
    const command = `{ "${process.execPath}" "${script}" inspect resnet18 --json 2>stderr; echo $? >status; } | true`;
    spawnSync("sh", ["-c", command], { cwd: folder });
    const [status, stderr] = ["status", "stderr"].map((name) => readFileSync(join(folder, name), "utf8"));
    expect({ status, stderr }).toEqual({ status: "0\n", stderr: "" });
  });
  it.skipIf(!existsSync("/dev/full"))("on a full disk is one line and status 1", () => {
    const full = openSync("/dev/full", "w");
    const { status, stderr } = spawnSync(process.execPath, [script, "inspect", "resnet18"], {
      cwd: folder,
      encoding: "utf8",
      stdio: ["ignore", full, "pipe"],
    });
    expect({ status, lines: stderr.trimEnd().split("\n").length }).toEqual({ status: 1, lines: 1 });
  });
});
