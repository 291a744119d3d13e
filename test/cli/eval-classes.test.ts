/** `eval` where a model's classes and a set's folders are not in the same order, or not the same, or not exclusive. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "jpeg-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { suspicion } from "../../src/cli/accuracy.ts";
import { asYesOrNo } from "../../src/cli/dataset.ts";
import { DatasetError } from "../../src/errors.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import { finetune, ImageSet, load, type Pixels } from "../../src/runtimes/node.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { runIn } from "./in-process.ts";

let folder: string;

/** Photos of one colour and some noise: easy to tell apart. */
const COLOURS = {
  wine_red: [150, 20, 40],
  lime: [90, 200, 30],
  "Sky Blue": [60, 140, 220],
  grey: [120, 120, 120],
} as const;
type Colour = keyof typeof COLOURS;
const NAMES = Object.keys(COLOURS) as Colour[];

function photo(colour: Colour, seed: number): Pixels {
  const data = new Uint8Array(40 * 40 * 4);
  for (let p = 0; p < 1600; ++p) {
    for (let c = 0; c < 3; ++c) data[4 * p + c] = COLOURS[colour][c]! + 25 * Math.sin(p * (seed + 2) + c);
    data[4 * p + 3] = 255;
  }
  return { width: 40, height: 40, data };
}

function put(path: string, colour: Colour, seed: number): void {
  const { width, height, data } = photo(colour, seed);
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), encode({ width, height, data }, 95).data);
}

async function evaluate(...args: readonly string[]) {
  const { code, stdout, stderr } = await runIn(folder, "eval", ...args, "--threads", "1", "--json");
  return { status: code, stderr, result: stdout === "" ? undefined : JSON.parse(stdout) };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "resnet-wasm-classes-"));
  const base = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }, "bn2");
  const set = new ImageSet();
  // Neither the order of the alphabet nor that of the folders.
  for (const name of ["lime", "Sky Blue", "wine_red", "grey"] as const) {
    for (let seed = 0; seed < 6; ++seed) set.add(photo(name, seed), name);
  }
  const { bytes } = await finetune(base, set, {
    epochs: 30,
    batch: 8,
    valSplit: 0,
    augment: "none",
    seed: 1,
  } as object);
  writeFileSync(join(folder, "m.safetensors"), bytes);
  NAMES.forEach((name, i) => {
    for (let seed = 0; seed < 4; ++seed) put(`whole/${name}/${seed}.jpg`, name, 20 + 4 * i + seed);
  });
  for (const name of ["lime", "Sky Blue"] as const) put(`part/${name}/1.jpg`, name, 50);
  put("other spelling/LIME/1.jpg", "lime", 51);
  put("other spelling/sky_blue/1.jpg", "Sky Blue", 52);
  put("unknown/lime/1.jpg", "lime", 53);
  put("unknown/purple/1.jpg", "grey", 54);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

const MODEL = ["--model", "m.safetensors"] as const;

describe("classes by the model's own names", () => {
  it("in another order: as many are right as classifying each photo says", async () => {
    const model = await load(join(folder, "m.safetensors"));
    let right = 0;
    for (const name of NAMES) {
      for (let seed = 0; seed < 4; ++seed) {
        const [first] = await model.classify(join(folder, `whole/${name}/${seed}.jpg`));
        right += Number(first!.label === name);
      }
    }
    await model.dispose();
    expect(right).toBeGreaterThan(12);
    const { status, result } = await evaluate("whole", ...MODEL);
    expect({ status, images: result.images, top1: result.top1 }).toEqual({ status: 0, images: 16, top1: right / 16 });
    expect(result.remarks).toBe(undefined);
  });
  it("with classes missing, and in other spellings", async () => {
    for (const set of ["part", "other spelling"]) {
      expect(await evaluate(set, ...MODEL)).toMatchObject({ status: 0, result: { images: 2, top1: 1 } });
    }
  });
  it("that the model does not have are an error that names both sides", async () => {
    const { status, stderr, result } = await evaluate("unknown", ...MODEL);
    expect({ status, result }).toEqual({ status: 1, result: undefined });
    for (const name of ["purple", "wine_red", "Sky Blue"]) expect(stderr).toContain(name);
  });
});

describe("several labels an image", () => {
  it("give mean average precision and each class's", async () => {
    const rows = NAMES.map((name, i) => `whole/${name}/0.jpg,${name}${i === 0 ? ";grey" : ""}`);
    writeFileSync(join(folder, "labels.csv"), `file,labels\n${rows.join("\n")}\n`);
    const { status, result } = await evaluate(".", "--labels", "labels.csv", ...MODEL);
    expect(status).toBe(0);
    expect(result.images).toBe(4);
    expect(result.meanAveragePrecision).toBeGreaterThan(0.6);
    expect(result.classes.map(({ label }: { label: string }) => label)).toEqual([
      "lime",
      "Sky Blue",
      "wine_red",
      "grey",
    ]);
    const positives = result.classes.map((each: { positives: number }) => each.positives);
    expect(positives).toEqual([1, 1, 1, 2]);
    const page = join(folder, "r.html");
    expect((await evaluate(".", "--labels", "labels.csv", ...MODEL, "--report", page)).status).toBe(0);
    expect(readFileSync(page, "utf8")).toContain("mean average precision");
  });
});

describe("one logit over two folders", () => {
  const examples = [0, 1, 1].map((label, i) => ({ name: `${i}`, label, image: () => photo("lime", i) }));
  const yes = (classes: readonly string[], labels: readonly string[]) => {
    const found = asYesOrNo("set", { classes, examples }, { labels });
    return { labels: found.examples.map(({ label }) => label), isGuess: found.guess !== undefined };
  };
  it("means the model's own class, or what says yes", () => {
    expect(yes(["cat", "dog"], ["Cat"])).toEqual({ labels: [[0], [], []], isGuess: false });
    expect(yes(["0", "1"], [])).toEqual({ labels: [[], [0], [0]], isGuess: false });
    expect(yes(["yes", "no"], [])).toEqual({ labels: [[0], [], []], isGuess: false });
  });
  it("is a guess where no name says so, and refused for three", () => {
    expect(yes(["cat", "dog"], [])).toEqual({ labels: [[], [0], [0]], isGuess: true });
    expect(() => yes(["a", "b", "c"], [])).toThrow(DatasetError);
  });
});

describe("suspicious answers", () => {
  const answers = (pairs: readonly (readonly [label: number, answer: number])[]) =>
    pairs.map(([label, answer], i) => ({ name: `${i}`, label, best: [[answer, 0.9]] as const, members: [] }));
  const remarks = (pairs: readonly (readonly [number, number])[], classes: number) =>
    suspicion(answers(pairs), classes, (index) => `class ${index}`);
  const many = (count: number, pair: (i: number) => readonly [number, number]) =>
    Array.from({ length: count }, (_, i) => pair(i));
  it("are one class for everything", () => {
    expect(
      remarks(
        many(8, (i) => [i % 2, 1]),
        10,
      ),
    ).toHaveLength(1);
  });
  it("are as many right as guessing gives, or none", () => {
    expect(
      remarks(
        many(40, (i) => [i % 4, (i * 7 + (i >> 2)) % 4]),
        4,
      ).length,
    ).toBeGreaterThan(0);
    expect(
      remarks(
        many(5, (i) => [i, i + 1]),
        10,
      ),
    ).toHaveLength(1);
  });
  it("are not good ones, few or many", () => {
    expect(
      remarks(
        many(40, (i) => [i % 4, i % 10 === 0 ? 0 : i % 4]),
        4,
      ),
    ).toEqual([]);
    expect(
      remarks(
        many(2, (i) => [i, i]),
        2,
      ),
    ).toEqual([]);
    expect(remarks([[3, 3]], 10)).toEqual([]);
  });
});
