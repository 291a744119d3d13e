/** The command as a user runs it, built, on a small model and real photos. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ResNetSpec, resnetSpec } from "../../src/models/resnet.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { type Outcome, runIn } from "./in-process.ts";

let dir = "";
let photo = "";

const cli = (...args: readonly string[]): Promise<Outcome> => runIn(dir, ...args);

/** A golden network's file; `edit` may spoil its weights. */
async function writeModel(
  name: string,
  spec: ResNetSpec,
  edit?: (tensor: string, values: Float32Array) => Float32Array,
): Promise<string> {
  await writeFile(join(dir, name), goldenCheckpoint(spec, "bn2", edit));
  return name;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "resnet-wasm-cli-"));
  photo = join(dirname(createRequire(import.meta.url).resolve("baboon-image/package.json")), "baboon.png");
  await writeModel("model.safetensors", { ...resnetSpec("resnet20"), shortcut: "B" });
  await writeFile(join(dir, "corrupt.jpg"), Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 16, 1, 2, 3));
  await writeFile(join(dir, "empty.png"), "");
  await mkdir(join(dir, "photos"));
  await writeFile(join(dir, "photos", "a.png"), await readFile(photo));
  await writeFile(join(dir, "photos", "labels.csv"), "file,label\na.png,3\n");
  await mkdir(join(dir, "classes", "3"), { recursive: true });
  await mkdir(join(dir, "classes", "7"));
  await writeFile(join(dir, "classes", "7", "b.png"), await readFile(photo));
});
afterAll(() => rm(dir, { recursive: true }));

const LOCAL = ["--model", "model.safetensors"] as const;

describe("models", () => {
  it("lists names, sizes, accuracies, licences and what is in the cache, and removes it", async () => {
    const kept = join(dir, "cache", "resnet-wasm", "hf", "o", "r@main");
    await mkdir(kept, { recursive: true });
    await writeFile(join(kept, "model.safetensors"), "1234");
    await writeFile(join(kept, ".digests.json"), JSON.stringify({ "model.safetensors": { size: 4, sha256: "" } }));
    const { code, stdout } = await cli("models", "--json");
    expect(code).toBe(0);
    const { cache, models, others } = JSON.parse(stdout);
    expect(cache).toBe(join(dir, "cache", "resnet-wasm"));
    const eighteen = { name: "resnet18", bytes: 46.8e6, top1: 71.5, licence: "Apache-2.0", cached: false };
    expect(models).toContainEqual(expect.objectContaining(eighteen));
    expect(others).toEqual([{ source: "hf:o/r@main", bytes: 4 }]);
    expect((await cli("models")).stdout).toMatch(
      /^resnet34 +87\.3 +76\.4 +Apache-2\.0 +no +hf:timm\/resnet34\.a1_in1k$/m,
    );
    expect(await cli("models", "rm", "hf:o/r@main")).toEqual({
      code: 0,
      stdout: "removed hf:o/r@main, 0.0 MB\n",
      stderr: "",
    });
    const again = await cli("models", "rm", "resnet18", "--json");
    expect(again.code).toBe(1);
    expect(JSON.parse(again.stdout)).toMatchObject({ removed: [], missing: ["resnet18"] });
    expect(again.stderr).toMatch(/expected an entry resnet18, got nothing/);
  });
  it("of an unknown name says what is near", async () => {
    const { code, stderr } = await cli("classify", photo, "--model", "resnet5");
    expect(code).toBe(1);
    expect(stderr).toMatch(/got "resnet5"\n {2}hint: did you mean resnet50/);
  });
});

describe("classify", () => {
  it("prints JSON that scripts can rely on", async () => {
    const { code, stdout, stderr } = await cli("classify", photo, ...LOCAL, "--top-k", "3", "--json", "--quiet");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [result] = JSON.parse(stdout);
    expect(Object.keys(result)).toEqual(["image", "predictions", "ms"]);
    expect(result.image).toBe(photo);
    expect(result.predictions.length).toBe(3);
    expect(Object.keys(result.predictions[0])).toEqual(["index", "label", "probability"]);
    expect(result.predictions[0].probability).toBeGreaterThanOrEqual(result.predictions[1].probability);
  });
  it("answers for the good images of a batch with bad ones, and exits 1", async () => {
    const images = ["corrupt.jpg", photo, "empty.png", "missing.png", "model.safetensors"];
    const { code, stdout, stderr } = await cli("classify", ...images, ...LOCAL, "--json", "--quiet");
    expect(code).toBe(1);
    const results = JSON.parse(stdout) as { image: string; predictions: unknown[]; error?: string }[];
    expect(results.map(({ predictions }) => predictions.length)).toEqual([0, 5, 0, 0, 0]);
    for (const image of images) if (image !== photo) expect(stderr).toContain(`${image}: expected`);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
  it("gives the same answers in the same order however many replicas or threads there are, and says which", async () => {
    const images = ["photos/a.png", "corrupt.jpg", "classes", photo, "photos/a.png"];
    const runs = [["--threads", "1"], ["--replicas", "1"], ["--replicas", "3"], []].map(async (given) => {
      const { code, stdout, stderr } = await cli("classify", ...images, "--recursive", ...LOCAL, "--json", ...given);
      expect(code).toBe(1);
      const results = JSON.parse(stdout) as { readonly ms: number }[];
      return { said: stderr, results: results.map(({ ms: _, ...result }) => result) };
    });
    const [thread, ...others] = await Promise.all(runs);
    expect(thread!.said).toContain("1 thread,");
    expect(others.map(({ said }) => / (\d+ replicas?),/.exec(said)?.[1]).slice(0, 2)).toEqual([
      "1 replica",
      "3 replicas",
    ]);
    expect(others[2]!.said).toMatch(/\d replicas?,/);
    for (const { results } of others) expect(results).toEqual(thread!.results);
  });
  it("says what it assumed", async () => {
    const { stderr } = await cli("classify", photo, ...LOCAL);
    expect(stderr).toContain("assumed: preprocessing of the cifar preset");
  });
  it("gives both builds the same answer", async () => {
    const runs = await Promise.all(
      ["baseline", "auto"].map((build) => cli("classify", photo, ...LOCAL, "--build", build, "--json", "--quiet")),
    );
    const [a, b] = runs.map(({ stdout }) => JSON.parse(stdout)[0].predictions[0]);
    expect(a.index).toBe(b.index);
    expect(a.probability).toBeCloseTo(b.probability, 4);
  });
});

describe("eval", () => {
  it("reads labels.csv", async () => {
    const { code, stdout } = await cli("eval", "photos", ...LOCAL, "--json");
    expect(code).toBe(0);
    expect(Object.keys(JSON.parse(stdout))).toEqual(expect.arrayContaining(["images", "top1", "top5", "msPerImage"]));
    expect(JSON.parse(stdout).images).toBe(1);
  });
  it("reads one folder a class", async () => {
    const { stdout } = await cli("eval", "classes", ...LOCAL, "--json");
    expect(JSON.parse(stdout).images).toBe(1);
  });
  it("refuses a label the model has no class for", async () => {
    await writeFile(join(dir, "far.csv"), "a.png,10\n");
    const { code, stderr } = await cli("eval", "photos", ...LOCAL, "--labels", "far.csv");
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/0 to 9.*10/) });
  });
  it("refuses a class that the model does not have", async () => {
    await writeFile(join(dir, "odd.csv"), "file,label\na.png,cat\n");
    const { code, stderr } = await cli("eval", "photos", ...LOCAL, "--labels", "odd.csv");
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/classes.*cat/),
    });
  });
  it("refuses a folder without images", async () => {
    await mkdir(join(dir, "texts"));
    await writeFile(join(dir, "texts/a.txt"), "no image");
    const { code, stderr } = await cli("eval", "texts", ...LOCAL);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/texts: expected .*images/) });
  });
  it("refuses a folder that is not there", async () => {
    const { code, stderr } = await cli("eval", "nowhere", ...LOCAL);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("nowhere") });
  });
});

describe("inspect", () => {
  it("describes a network by its name alone", async () => {
    const { code, stdout } = await cli("inspect", "resnet152", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ arch: "resnet152", parameters: 60_192_808, dtype: "none" });
  });
  it("describes a file, and prints its tape", async () => {
    const { stdout } = await cli("inspect", "model.safetensors", "--json", "--quiet");
    const { arch, dtype, memoryBytes, layers } = JSON.parse(stdout);
    expect({ arch, dtype }).toEqual({ arch: "basic-3-3-3", dtype: "F32" });
    expect(memoryBytes).toBeGreaterThan(1e6);
    expect(layers.at(-1).name).toBe("fc");
    const tape = await cli("inspect", "model.safetensors", "--tape", "--quiet");
    expect(tape.stdout).toMatch(/^conv1 +(im2col|conv)_f32 +×\d+/m);
  });
  it("tells classes, preprocessing, what outputs mean, and the licence that a file beside the weights names", async () => {
    await mkdir(join(dir, "licensed"));
    await writeFile(join(dir, "licensed", "model.safetensors"), await readFile(join(dir, "model.safetensors")));
    const told = async (): Promise<readonly string[]> =>
      (await cli("inspect", "licensed/model.safetensors", "--quiet")).stdout.split("\n");
    const before = await told();
    expect(before).toContain("licence not said");
    expect(before).toContain("output softmax, one class an image");
    expect(before).toContain("classes 10, without names");
    expect(before.find((line) => line.startsWith("preprocess "))).toMatch(/resize to .*, crop .*, mean .*, std /);
    await writeFile(join(dir, "licensed", "README.md"), '---\ntags: [x]\nlicense: "apache-2.0"\n---\n# A model\n');
    expect(await told()).toContain("licence apache-2.0");
    await writeFile(join(dir, "licensed", "config.json"), JSON.stringify({ pretrained_cfg: { license: "mit" } }));
    expect(await told()).toContain("licence mit");
    expect(JSON.parse((await cli("inspect", "licensed", "--json", "--quiet")).stdout).licence).toBe("mit");
  });
  it("plans within a memory budget, and says when it is too small", async () => {
    const free = JSON.parse((await cli("inspect", "resnet18", "--json")).stdout);
    expect(free.memoryBytes).toBeGreaterThan(60e6);
    const tight = JSON.parse((await cli("inspect", "resnet18", "--memory", "60MB", "--json")).stdout);
    expect(tight.memoryBytes).toBeLessThanOrEqual(60e6);
    const { code, stderr } = await cli("inspect", "resnet18", "--memory", "20MB");
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^--memory: expected at least .* MB/),
    });
  });
});

describe("--layout packed", () => {
  it("writes weights as kernels read them: the same answer, and inspect tells how they lie", async () => {
    const { code, stdout } = await cli(
      "convert",
      "model.safetensors",
      "--layout",
      "packed",
      "--out",
      "packed.safetensors",
    );
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/basic-3-3-3, f32, packed, /) });
    const classified = async (model: string): Promise<unknown> => {
      const { stdout } = await cli("classify", photo, "--model", model, "--json", "--quiet");
      return JSON.parse(stdout)[0].predictions;
    };
    const answer = await classified("model.safetensors");
    expect(answer).toHaveLength(5);
    expect(await classified("packed.safetensors")).toEqual(answer);
    const told = await cli("inspect", "packed.safetensors", "--quiet");
    expect(told.stdout).toMatch(
      /^layout packed, version 1: \d+ of \d+ layers in panels of 8, as the \w+ build chose$/m,
    );
    const { layout } = JSON.parse((await cli("inspect", "packed.safetensors", "--json")).stdout);
    expect(layout).toMatchObject({ version: 1, columns: 8 });
  });
  it("packs what it quantizes, for direct sums where that is asked for", async () => {
    const quantize = ["quantize", "model.safetensors", "--calibrate", "photos", "--layout", "packed", "--no-winograd"];
    const { code, stdout } = await cli(...quantize, "--out", "packed8.safetensors", "--quiet");
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/int8, packed, /) });
    const { layers, guesses } = JSON.parse((await cli("inspect", "packed8.safetensors", "--json")).stdout);
    expect(layers.map(({ algorithm = "" }) => algorithm)).not.toContain("winograd4");
    expect(guesses).toEqual([]);
    const other = await cli("classify", photo, "--model", "packed8.safetensors", "--build", "baseline");
    expect(other.stderr).toMatch(/assumed: \d+ layers repacked: .*relaxed build/);
  });
  it("is refused of weights that no kernel reads", async () => {
    const args = ["convert", "model.safetensors", "--layout", "packed", "--dtype", "f16", "--out", "half.safetensors"];
    const { code, stderr } = await cli(...args);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/layout: expected plain for/) });
    const weights = await cli("quantize", "model.safetensors", "--layout", "packed", "--out", "half.safetensors");
    expect(weights.code).toBe(1);
  });
});

describe("tune", () => {
  it("writes what inspect and classify read", async () => {
    expect((await cli("tune", "model.safetensors", "--out", "tuning.json", "--quiet")).code).toBe(0);
    const { code } = await cli("classify", photo, ...LOCAL, "--tuning", "tuning.json", "--json");
    expect(code).toBe(0);
  });
  it("refuses a file that is none, and one of another build", async () => {
    const { code, stderr } = await cli("classify", photo, ...LOCAL, "--tuning", "photos/labels.csv");
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("what the tune command wrote") });
    await writeFile(join(dir, "other.json"), JSON.stringify({ build: "relaxed", ms: {} }));
    const other = await cli("classify", photo, ...LOCAL, "--build", "baseline", "--tuning", "other.json");
    expect(other.stderr).toMatch(/tuning: .*baseline.*relaxed/);
  });
});

describe("bad models", () => {
  it.each([
    ["a file that is not there", async () => "nothing.safetensors", /nothing\.safetensors/],
    [
      "a web page",
      async () => {
        await writeFile(join(dir, "page.safetensors"), "<!doctype html><title>404</title>");
        return "page.safetensors";
      },
      /web page/,
    ],
    [
      "a cut file",
      async () => {
        const whole = await readFile(join(dir, "model.safetensors"));
        await writeFile(join(dir, "cut.safetensors"), whole.subarray(0, whole.length - 1000));
        return "cut.safetensors";
      },
      /cut\.safetensors/,
    ],
    [
      "NaN in the weights",
      () =>
        writeModel("nan.safetensors", { ...resnetSpec("resnet20"), shortcut: "B" }, (name, values) =>
          name === "layer2.1.conv1.weight" ? values.fill(Number.NaN, 5, 6) : values,
        ),
      /finite numbers.*"layer2\.1\.conv1\.weight".*NaN at element 5/,
    ],
  ] satisfies [string, () => Promise<string>, RegExp][])("%s", async (_name, make, message) => {
    const { code, stderr, stdout } = await cli("classify", photo, "--model", await make(), "--quiet");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr.trim().split("\n").length).toBeLessThanOrEqual(3);
  });
  it("an architecture the tensors do not fit", async () => {
    const { code, stderr } = await cli("classify", photo, ...LOCAL, "--arch", "resnet18");
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('expected "conv1.weight" [64, 3, 7, 7], got [16, 3, 3, 3]'),
    });
  });
  it("offline without a cache", async () => {
    const { code, stderr } = await cli("classify", photo, "--offline");
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("hint:") });
  });
});
