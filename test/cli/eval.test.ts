/** `eval` like the paper's, as a user runs it: crops, scales, ensembles, a report, a run that is stopped. */
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "jpeg-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { uniform } from "../../src/models/random.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import { load } from "../../src/runtimes/node.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { type Outcome, runIn } from "./in-process.ts";

const script = join(import.meta.dirname, "../../dist/cli/main.js");
let folder: string;

const run = (...args: readonly string[]): Promise<Outcome> => runIn(folder, "eval", "photos", ...args);

/** Workers take longer to start than these networks to run. */
const THREAD = ["--threads", "1"] as const;

const json = async (...args: readonly string[]) => {
  const { code, stdout, stderr } = await run(
    ...args,
    ...(args.includes("--replicas") ? [] : THREAD),
    "--json",
    "--quiet",
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as {
    images: number;
    top1: number;
    top1Interval: [number, number];
    models: { model: string; top1: number }[];
  };
};

const PHOTOS = 12;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "resnet-wasm-eval-"));
  const spec = { ...resnetSpec("resnet20"), shortcut: "B", classes: 3 } as const;
  writeFileSync(join(folder, "a.safetensors"), goldenCheckpoint(spec, "bn2"));
  const other = goldenCheckpoint(spec, "bn2", (name, values) =>
    name === "fc.weight" ? values.map((x) => -x) : values,
  );
  writeFileSync(join(folder, "b.safetensors"), other);
  writeFileSync(join(folder, "ten.safetensors"), goldenCheckpoint({ ...spec, classes: 10 }, "bn2"));
  mkdirSync(join(folder, "photos"));
  const lines = ["file,label"];
  for (let i = 0; i < PHOTOS; ++i) {
    const next = uniform(i);
    const data = Buffer.from({ length: 4 * 60 * 50 }).map((_, p) => 128 + 100 * Math.sin(p / (5 + i)) + 20 * next());
    writeFileSync(join(folder, "photos", `${i}.jpg`), encode({ width: 60, height: 50, data }, 90).data);
    lines.push(`${i}.jpg,${i % 3}`);
  }
  writeFileSync(join(folder, "photos", "labels.csv"), `${lines.join("\n")}\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));

const A = ["--model", "a.safetensors"] as const;
const B = ["--model", "b.safetensors"] as const;

describe("eval", async () => {
  it("says how sure its accuracy is", async () => {
    const { images, top1, top1Interval } = await json(...A);
    expect(images).toBe(PHOTOS);
    expect(top1Interval[0]).toBeLessThan(top1 + 1e-9);
    expect(top1Interval[1]).toBeGreaterThan(top1 - 1e-9);
  });
  it("finds the same with replicas, which it takes by default, as with a thread, and says which", async () => {
    const { code, stdout, stderr } = await run(...A, "--json");
    expect(code).toBe(0);
    expect(stderr).toMatch(/computing with \d+ replicas?\n/);
    const timeless = (found: object): object => ({ ...found, msPerImage: undefined });
    for (const given of [
      ["--threads", "1"],
      ["--replicas", "3"],
    ]) {
      expect(timeless(await json(...A, ...given))).toEqual(timeless(JSON.parse(stdout)));
    }
  });
  it("averages two models' probabilities", async () => {
    const { top1, models } = await json(...A, ...B);
    expect(models.map(({ model }) => model)).toEqual(["a.safetensors", "b.safetensors"]);
    const [a, b] = [await load(join(folder, "a.safetensors")), await load(join(folder, "b.safetensors"))];
    let right = 0;
    for (let i = 0; i < PHOTOS; ++i) {
      const photo = join(folder, "photos", `${i}.jpg`);
      const [p, q] = [await a.probabilities(photo), await b.probabilities(photo)];
      const sums = [...p].map((value, k) => value + q[k]!);
      right += Number(sums.indexOf(Math.max(...sums)) === i % 3);
    }
    expect(top1).toBeCloseTo(right / PHOTOS, 10);
    await Promise.all([a.dispose(), b.dispose()]);
  });
  it("sees ten crops, and whole images at several scales", async () => {
    const model = await load(join(folder, "a.safetensors"));
    for (const [options, views] of [
      [["--crops", "2"], { crops: 2 }],
      [["--crops", "10"], { crops: 10 }],
      [["--scales", "32,40"], { scales: [32, 40] }],
    ] as const) {
      let right = 0;
      for (let i = 0; i < PHOTOS; ++i) {
        const seen = await model.probabilities(join(folder, "photos", `${i}.jpg`), views);
        right += Number(seen.indexOf(Math.max(...seen)) === i % 3);
      }
      expect((await json(...A, ...options)).top1).toBeCloseTo(right / PHOTOS, 10);
    }
    await model.dispose();
  });
  it("goes on where a killed run was", async () => {
    const whole = await json(...A, "--crops", "10");
    const args = ["eval", "photos", ...A, "--crops", "10", "--resume", "journal"];
    const child = spawn(process.execPath, [script, ...args], { cwd: folder, stdio: "ignore" });
    const lines = (): number =>
      existsSync(join(folder, "journal")) ? readFileSync(join(folder, "journal"), "utf8").split("\n").length - 2 : 0;
    while (lines() < 3 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 2));
    child.kill("SIGKILL");
    const resumed = await json(...A, "--crops", "10", "--resume", "journal");
    expect({ ...resumed, msPerImage: 0 }).toEqual({ ...whole, msPerImage: 0 });
    expect(lines()).toBe(PHOTOS);
    const { code, stderr } = await run(...B, "--crops", "10", "--resume", "journal");
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/the journal of this run, got that of another/),
    });
  });
  it("does not resume with a model that was replaced, and answers a photo that was replaced again", async () => {
    const args = ["--model", "m.safetensors", "--resume", "changing"];
    const file = (name: string): string => join(folder, name);
    copyFileSync(file("a.safetensors"), file("m.safetensors"));
    await json(...args);
    copyFileSync(file("b.safetensors"), file("m.safetensors"));
    const { code, stderr } = await run(...args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/changing: expected the journal of this run, got that of another run, with other models\n/);
    copyFileSync(file("a.safetensors"), file("m.safetensors"));
    const original = readFileSync(file("photos/3.jpg"));
    copyFileSync(file("photos/4.jpg"), file("photos/3.jpg"));
    const resumed = await json(...args);
    expect({ ...resumed, msPerImage: 0, models: [] }).toEqual({ ...(await json(...A)), msPerImage: 0, models: [] });
    expect(readFileSync(file("changing"), "utf8").trimEnd().split("\n")).toHaveLength(1 + PHOTOS + 1);
    writeFileSync(file("photos/3.jpg"), original);
  });
  it.each([
    ["another label", (line: string) => line.replace(/"label":\d/, '"label":2,"x":1')],
    ["a class that there is none of", (line: string) => line.replace(/"best":\[\[\d/, '"best":[[9')],
    ["a probability that is none", (line: string) => line.replace(/"best":\[\[(\d),[^\]]*/, '"best":[[$1,7')],
    ["another photo's name", (line: string) => line.replace(/"name":"1.jpg"/, '"name":"2.jpg"')],
    ["no text", () => "\0\0\0"],
  ])("refuses a journal with %s, by its line", async (_, change) => {
    rmSync(join(folder, "checked"), { force: true });
    await json(...A, "--resume", "checked");
    const lines = readFileSync(join(folder, "checked"), "utf8").split("\n");
    lines[2] = change(lines[2]!);
    writeFileSync(join(folder, "checked"), lines.join("\n"));
    const { code, stderr } = await run(...A, "--resume", "checked");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^checked:3: expected a result of this run, got /m);
  });
  it("writes a page that needs nothing beside it", async () => {
    await json(...A, "--report", "r.html");
    const html = readFileSync(join(folder, "r.html"), "utf8");
    expect(html).not.toMatch(/(?:src|href)="(?!data:)/);
    const charts = JSON.parse(/id="charts">(.*?)<\/script>/s.exec(html)![1]!);
    const shown = charts.reliability.data.datasets[0].data as { x: number; y: number }[];
    expect(shown.length).toBeGreaterThan(0);
    expect(shown.every(({ x, y }) => x >= 0 && x <= 1 && y >= 0 && y <= 1)).toBe(true);
    expect(html.match(/<img src="data:image\/jpeg;base64,/g)!.length).toBeGreaterThan(0);
  });
  it.each([
    ["crops that there are none of", ["--crops", "5"], /expected 1, 2 or 10/],
    ["a scale of nothing", ["--scales", "0"], /expected a whole number from 1/],
    ["scales that are no numbers", ["--scales", "big"], /expected a whole number/],
  ] as const)("%s are bad usage", async (_, args, message) => {
    const { code, stderr } = await run(...A, ...args);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) });
  });
  it("models of different classes are refused", async () => {
    const { code, stderr } = await run(...A, "--model", "ten.safetensors");
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/ensemble: expected models of 3 classes, got one of 10/),
    });
  });
});
