/** `finetune` and `train` as a user runs them, built, on folders of small photos; in a process of their own where it is killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "jpeg-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { uniform } from "../../src/models/random.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import { load } from "../../src/runtimes/node.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { type Outcome, runIn } from "./in-process.ts";

let dir = "";

/** A process of its own, and what it has written when it ends. */
function start(...args: readonly string[]): {
  child: ChildProcess;
  done: Promise<{ code: number | null; stderr: string }>;
} {
  const script = join(import.meta.dirname, "../../dist/cli/main.js");
  const env = { ...process.env, XDG_CACHE_HOME: join(dir, "cache") };
  const child = spawn(process.execPath, [script, ...args], { cwd: dir, env });
  const err: Buffer[] = [];
  child.stderr.on("data", (chunk) => err.push(chunk));
  const done = new Promise<{ code: number | null; stderr: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, stderr: `${Buffer.concat(err)}` }));
  });
  return { child, done };
}

const cli = (...args: readonly string[]): Promise<Outcome> => runIn(dir, ...args);

/** A photo of stripes along one axis. */
function photo(across: boolean, seed: number): Buffer {
  const next = uniform(seed);
  const data = Buffer.alloc(4 * 48 * 40);
  for (let p = 0; p < 48 * 40; ++p) {
    const light = (across ? p % 48 : Math.floor(p / 48)) % 8 < 4 ? 180 : 60;
    for (let i = 0; i < 4; ++i) data[4 * p + i] = light + 30 * next();
  }
  return encode({ width: 48, height: 40, data }, 90).data;
}

async function photos(folder: string, count: number, seed: number): Promise<void> {
  for (const name of ["across", "along"]) {
    await mkdir(join(dir, folder, name), { recursive: true });
    for (let i = 0; i < count; ++i) {
      await writeFile(join(dir, folder, name, `${i}.jpg`), photo(name === "across", seed + i));
    }
  }
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "resnet-wasm-train-"));
  await writeFile(join(dir, "m.safetensors"), goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }, "bn2"));
  await photos("set/train", 10, 1);
  await photos("set/val", 5, 100);
  await photos("one", 10, 1);
  await mkdir(join(dir, "lonely", "a"), { recursive: true });
  await writeFile(join(dir, "lonely", "a", "0.jpg"), photo(true, 1));
  await mkdir(join(dir, "gap", "b"), { recursive: true });
  await mkdir(join(dir, "gap", "a"), { recursive: true });
  await writeFile(join(dir, "gap", "a", "0.jpg"), photo(true, 1));
  const lines = ["file,class", "across/0.jpg,wide", "along/0.jpg,tall", "across/1.jpg,wide", "along/1.jpg,tall"];
  await writeFile(join(dir, "one", "list.csv"), `${lines.join("\n")}\n`);
});
afterAll(() => rm(dir, { recursive: true }));

const MODEL = ["--model", "m.safetensors", "--size", "32"] as const;
/** Workers take longer to start than this network to train. */
const ONE = [...MODEL, "--threads", "1"] as const;

describe("finetune", () => {
  it("given only a folder: JSON that scripts can rely on, and a model that knows the classes", async () => {
    const { code, stdout, stderr } = await cli(
      "finetune",
      "set",
      ...MODEL,
      "--out",
      "t.safetensors",
      "--json",
      "--quiet",
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const result = JSON.parse(stdout);
    expect(Object.keys(result)).toEqual([
      "leaveOneOut",
      "head",
      "trainLoss",
      "trainTop1",
      "valTop1",
      "imagesPerSecond",
      "chosen",
      "skipped",
      "out",
    ]);
    expect(result.out).toBe("t.safetensors");
    const choices = result.chosen.map(({ option, value }: { option: string; value: string }) => [option, value]);
    expect(choices.slice(0, 2)).toEqual([
      ["train", "head"],
      ["head", "ridge"],
    ]);
    const classified = await cli("classify", "set/val/across/0.jpg", "--model", "t.safetensors", "--json", "--quiet");
    const [{ predictions }] = JSON.parse(classified.stdout);
    expect(predictions.map(({ label }: { label: string }) => label).sort()).toEqual(["across", "along"]);
    const evaluated = await cli("eval", "set/val", "--model", "t.safetensors", "--json", "--quiet");
    expect(JSON.parse(evaluated.stdout).top1).toBeCloseTo(result.valTop1, 5);
    expect(existsSync(join(dir, "t.safetensors.checkpoint"))).toBe(false);
  });
  it("more of the network, with a report that needs nothing beside it", async () => {
    const { code, stderr } = await cli(
      ...["finetune", "one", ...MODEL, "--out", "l.safetensors", "--train", "layer3"],
      ...["--epochs", "2", "--val-split", "0.3", "--report", "l.html"],
    );
    expect(code).toBe(0);
    expect(stderr).toMatch(/needs \d+ MB of memory; trains [\d.]+ M weights/);
    expect(stderr).toMatch(/epoch 2 {2}loss [\d.]+ {2}training [\d.]+ % {2}validation [\d.]+ %/);
    const html = await readFile(join(dir, "l.html"), "utf8");
    expect(html).not.toMatch(/(?:src|href)="(?!data:)/);
    const charts = JSON.parse(/id="charts">(.*?)<\/script>/s.exec(html)![1]!);
    expect(Object.keys(charts)).toEqual(["loss", "accuracy", "rate", "gradients"]);
    const stages = charts.gradients.data.datasets.map(({ label }: { label: string }) => label);
    expect(stages).toEqual(["layer3", "fc"]);
    expect(charts.loss.data.datasets[0].data).toHaveLength(2);
  });
  it("says what it chose, and validates in folds", async () => {
    const { code, stdout, stderr } = await cli(
      ...["finetune", "one", ...ONE, "--out", "f.safetensors", "--folds", "2", "--epochs", "2"],
      ...["--rand-augment", "5", "--erase", "0.3", "--mixup", "0.2"],
    );
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/training [\d.]+ %, [\d.]+ % over 2 folds/),
    });
    expect(stderr).toMatch(/fold 1 of 2.*fold 2 of 2.*all images/s);
    expect(stderr).toMatch(/chosen: classWeights none: the largest class has [\d.]+ times the images of the smallest/);
  });
  it("from a CSV of file,class", async () => {
    const out = ["--out", "c.safetensors", "--epochs", "1", "--json", "--quiet"];
    const { code, stdout } = await cli("finetune", "one/list.csv", ...ONE, ...out);
    expect({ code, top: typeof JSON.parse(stdout).valTop1 }).toEqual({ code: 0, top: "number" });
    const { stdout: text } = await cli("classify", "one/across/0.jpg", "--model", "c.safetensors", "--json", "--quiet");
    expect(text).toMatch(/"tall"/);
  });
  it("knows the features of photos that it has seen, until they are removed or not asked for", async () => {
    const cache = ["--cache", "seen"] as const;
    const tuned = async (...more: readonly string[]): Promise<readonly [known: number | undefined, bytes: Buffer]> => {
      const options = [...ONE, ...cache, "--out", "k.safetensors", "--epochs", "2", "--json", "--quiet"];
      const { stdout } = await cli("finetune", "one", ...options, ...more);
      return [JSON.parse(stdout).featuresKnown, await readFile(join(dir, "k.safetensors"))];
    };
    const others = async (): Promise<readonly { readonly source: string; readonly bytes: number }[]> =>
      JSON.parse((await cli("models", ...cache, "--json")).stdout).others;
    const [before, bytes] = await tuned("--no-feature-cache");
    expect([before, await others()]).toEqual([undefined, []]);
    const [first] = await tuned();
    const [again, same] = await tuned();
    expect([first, again]).toEqual([undefined, 20]);
    expect(same.equals(bytes)).toBe(true);
    expect(await others()).toEqual([{ source: "features", bytes: 16 + 20 * (40 + 4 * 64) }]);
    await writeFile(join(dir, "one", "across", "0.jpg"), photo(true, 999));
    expect((await tuned())[0]).toBe(19);
    await writeFile(join(dir, "one", "across", "0.jpg"), photo(true, 1));
    const { code, stdout } = await cli("models", "rm", "features", ...cache);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "removed features, 0.0 MB\n" });
    expect([await others(), (await tuned())[0]]).toEqual([[], undefined]);
  });
  it("Ctrl-C keeps a checkpoint, --resume ends with the bytes of a run without it", async () => {
    const options = ["one", ...ONE, "--train", "layer3", "--epochs", "12", "--batch", "4", "--seed", "5"];
    const { child, done } = start("finetune", ...options, "--out", "r.safetensors");
    await new Promise<void>((resolve) => {
      let seen = "";
      child.stderr!.on("data", (chunk) => {
        seen += chunk;
        if (/^epoch 2 .*\n(?:.*\n)*epoch 3 /m.test(seen.split("epoch 40 ").at(-1)!)) resolve();
      });
    });
    child.kill("SIGINT");
    const stopped = await done;
    expect(stopped.code).toBe(1);
    expect(stopped.stderr).toMatch(/kept r\.safetensors\.checkpoint; --resume goes on from there\n.*interrupted/);
    expect(existsSync(join(dir, "r.safetensors"))).toBe(false);
    const resumed = await cli("finetune", ...options, "--out", "r.safetensors", "--resume", "--quiet");
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    await cli("finetune", ...options, "--out", "w.safetensors", "--quiet");
    const [a, b] = [await readFile(join(dir, "r.safetensors")), await readFile(join(dir, "w.safetensors"))];
    expect(a.equals(b)).toBe(true);
  }, 120_000);
  it("several labels a file are learnt, and reported as average precision", async () => {
    const rows = Array.from({ length: 10 }, (_, i) => `across/${i}.jpg,wide\nalong/${i}.jpg,tall;thin`);
    await writeFile(join(dir, "one", "several.csv"), `file,labels\n${rows.join("\n")}\n`);
    const args = ["one/several.csv", ...ONE, "--out", "m2.safetensors", "--epochs", "2", "--json", "--quiet"];
    const { code, stdout } = await cli("finetune", ...args);
    const { valMap, valClasses } = JSON.parse(stdout);
    expect({ code, map: typeof valMap }).toEqual({ code: 0, map: "number" });
    expect(valClasses.map(({ name }: { name: string }) => name)).toEqual(["tall", "thin", "wide"]);
    const model = await load(join(dir, "m2.safetensors"));
    expect(model.output).toBe("sigmoid");
    await model.dispose();
  });
  it("killed at any point, --resume ends with the bytes of a run without it", async () => {
    const options = ["one", ...ONE, "--train", "layer3", "--epochs", "6", "--batch", "4", "--seed", "7"];
    await cli("finetune", ...options, "--out", "k0.safetensors", "--quiet");
    const whole = await readFile(join(dir, "k0.safetensors"));
    const next = uniform(11);
    for (let i = 1; i <= 2; ++i) {
      const out = `k${i}.safetensors`;
      const { child, done } = start("finetune", ...options, "--out", out);
      const epoch = 1 + Math.floor(5 * next());
      child.stderr!.on("data", (chunk) => {
        if (new RegExp(`^epoch ${epoch} .*validation`, "m").test(`${chunk}`))
          setTimeout(() => child.kill("SIGKILL"), 40 * next());
      });
      await done;
      const resumed = await cli("finetune", ...options, "--out", out, "--resume", "--quiet");
      expect(resumed.code, resumed.stderr).toBe(0);
      expect((await readFile(join(dir, out))).equals(whole), `killed after epoch ${epoch}`).toBe(true);
    }
  }, 300_000);
  it("an image that cannot be read is named, counted and left out", async () => {
    await photos("broken", 6, 1);
    await writeFile(join(dir, "broken", "along", "x.jpg"), "no image");
    const { code, stdout, stderr } = await cli("finetune", "broken", ...ONE, "--out", "b.safetensors", "--epochs", "2");
    expect(code).toBe(0);
    expect(stderr).toMatch(/broken\/along\/x\.jpg: expected a JPEG/);
    expect(stdout).toMatch(/1 images? could not be read/);
  });
});

describe("two threads", () => {
  it("give the bytes of two threads again, and classify", async () => {
    const options = ["finetune", "one", ...MODEL, "--train", "layer3", "--epochs", "1", "--threads", "2", "--quiet"];
    for (const out of ["2a.safetensors", "2b.safetensors"]) {
      expect(await cli(...options, "--out", out)).toMatchObject({ code: 0, stderr: "" });
    }
    const [a, b] = [await readFile(join(dir, "2a.safetensors")), await readFile(join(dir, "2b.safetensors"))];
    expect(a.equals(b)).toBe(true);
    const { code } = await cli("classify", "one/across/0.jpg", "--model", "2a.safetensors", "--threads", "2");
    expect(code).toBe(0);
  });
});

describe("train", () => {
  it("a network from scratch", async () => {
    const { code, stdout } = await cli(
      ...["train", "--arch", "resnet20", "--data", "set", "--out", "n.safetensors", "--epochs", "2"],
      ...["--batch", "10", "--report", "n.html", "--json", "--quiet"],
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout).epochs).toBe(2);
    const { stdout: text } = await cli("inspect", "n.safetensors", "--json");
    expect(JSON.parse(text)).toMatchObject({ arch: "resnet20", dtype: "F32" });
    expect(existsSync(join(dir, "n.html"))).toBe(true);
  });
});

describe("inspect --train", () => {
  it("says what training takes", async () => {
    const { stdout } = await cli("inspect", "m.safetensors", "--train", "all", "--batch", "8", "--json");
    const { training } = JSON.parse(stdout);
    expect(training.weights).toBeGreaterThan(250_000);
    expect(training.memoryBytes).toBeGreaterThan(5e6);
  });
});

describe("refused", () => {
  it.each([
    ["a class with no images", ["gap"], /training set: b: expected a class with images, got none/, 1],
    ["one class only", ["lonely"], /expected at least two classes, got 1/, 1],
    ["a folder that is none", ["nowhere"], /nowhere: expected a folder of images/, 1],
    ["a batch larger than the set", ["one", "--batch", "1000"], /batch: expected at most the 16 images of the set/, 1],
    ["a learning rate of 0", ["one", "--lr", "0"], /expected a number above 0/, 2],
    ["a learning rate of NaN", ["one", "--lr", "NaN"], /expected a number above 0/, 2],
    ["no epochs", ["one", "--epochs", "0"], /expected a whole number from 1/, 2],
  ] as const)("%s", async (_, args, message, status) => {
    const { code, stderr } = await cli("finetune", ...args, ...ONE, "--out", "x.safetensors");
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(status);
    expect(existsSync(join(dir, "x.safetensors"))).toBe(false);
  });
  it("an output folder that cannot be written to, before anything is computed", async () => {
    await mkdir(join(dir, "locked"), { recursive: true });
    await chmod(join(dir, "locked"), 0o500);
    // Root may write anywhere: a folder that is none stands in.
    for (const out of process.getuid?.() === 0 ? ["nowhere/x.safetensors"] : ["locked/x", "nowhere/x"]) {
      const { code, stderr } = await cli("finetune", "one", ...MODEL, "--out", out);
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: expect.stringMatching(/expected a file that can be written/),
      });
      expect(stderr).not.toMatch(/epoch|needs/);
    }
  });
  it("a checkpoint of another training", async () => {
    await writeFile(join(dir, "y.safetensors.checkpoint"), await readFile(join(dir, "m.safetensors")));
    const { code, stderr } = await cli("finetune", "one", ...ONE, "--out", "y.safetensors", "--resume");
    expect(code).toBe(1);
    expect(stderr).toMatch(/checkpoint: expected one of a training/);
  });
});
