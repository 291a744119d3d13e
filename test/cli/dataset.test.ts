/** Folders and lists of labelled images as people have them: what is a class, what is left out, what is refused. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { inModelClasses, openDataset, openImages, openTraining } from "../../src/cli/dataset.ts";
import { resnet, resnetSpec } from "../../src/models/resnet.ts";
import { labelsOf } from "../../src/train/dataset.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "resnet-wasm-dataset-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Writes files: names, or a name and its text. */
function put(...files: readonly (string | readonly [string, string])[]): void {
  for (const file of files) {
    const [name, text] = typeof file === "string" ? [file, "x"] : file;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

const OPTIONS = { threads: 1, build: "auto" } as const;
const { signal } = new AbortController();
const open = (labels?: string) => openDataset(folder, labels, OPTIONS, signal);
const openPair = (source = folder, options: { labels?: string; val?: string } = {}) =>
  openTraining(source, { ...OPTIONS, ...options }, signal);

const JUNK = [
  ".git/x.jpg",
  "__MACOSX/cat/._1.jpg",
  ".ipynb_checkpoints/1.jpg",
  "Thumbs.db",
  "desktop.ini",
  ".DS_Store",
];

describe("one folder a class", () => {
  test("what the system left is no class and no image", async () => {
    put("cat/1.jpg", "dog/2.JPEG", "cat/._1.jpg", "cat/.ipynb_checkpoints/1.jpg", "dog/Thumbs.db", ...JUNK);
    const { classes, examples, skipped } = await open();
    expect(classes).toEqual(["cat", "dog"]);
    expect(examples.map(({ name, label }) => [name, label])).toEqual([
      ["cat/1.jpg", 0],
      ["dog/2.JPEG", 1],
    ]);
    expect(skipped).toEqual([]);
    expect(await openImages(folder, 10, OPTIONS, signal)).toHaveLength(2);
  });
  test("other files are counted and named, images in folders of a class are its own", async () => {
    put("cat/a/1.jpg", "cat/2.jpg", "cat/notes.txt", "dog/3.png", "dog/4.tif", "README.md", "5.jpg");
    const { examples, skipped } = await open();
    expect(examples.map(({ name }) => name)).toEqual(["cat/2.jpg", "cat/a/1.jpg", "dog/3.png"]);
    expect(skipped).toEqual(["5.jpg", "README.md", "cat/notes.txt", "dog/4.tif"]);
  });
  test("a class may be a link", async () => {
    put("real/1.jpg", "set/dog/2.jpg");
    symlinkSync(join(folder, "real"), join(folder, "set", "cat"));
    const { classes, examples } = await openDataset(join(folder, "set"), undefined, OPTIONS, signal);
    expect(classes).toEqual(["cat", "dog"]);
    expect(examples).toHaveLength(2);
  });
  test("examples get the model's classes", async () => {
    put("dog/1.jpg", "cat/2.jpg");
    const graph = resnet("resnet20", { ...resnetSpec("resnet20"), classes: 3 });
    const { examples, guess } = inModelClasses("set", await open(), { graph, labels: ["dog", "horse", "Cat"] });
    expect(examples.map(({ name, label }) => [name, label])).toEqual([
      ["cat/2.jpg", 2],
      ["dog/1.jpg", 0],
    ]);
    expect(guess).toBeUndefined();
    const missing = { graph, labels: ["dog", "horse", "cow"] };
    const set = await open();
    expect(() => inModelClasses("set", set, missing)).toThrow(expect.objectContaining({ code: "classes" }));
  });
});

describe("labels.csv", () => {
  const csv = async (text: string, ...files: readonly string[]) => {
    put(["labels.csv", text], ...files);
    const { classes, examples, skipped } = await open();
    return { classes, labels: examples.map((example) => [example.name, ...labelsOf(example)]), skipped, examples };
  };
  test("names, with or without a heading, and what it does not list", async () => {
    const { classes, labels, skipped } = await csv("file,label\na.jpg,dog\nb/c.jpg,cat\n", "a.jpg", "b/c.jpg", "d.jpg");
    expect(classes).toEqual(["cat", "dog"]);
    expect(labels).toEqual([
      ["a.jpg", 1],
      ["b/c.jpg", 0],
    ]);
    expect(skipped).toEqual(["d.jpg"]);
  });
  test("indices", async () => {
    const { classes, labels } = await csv("a.jpg,2\nb.jpg,0\n");
    expect(classes).toEqual(["0", "1", "2"]);
    expect(labels).toEqual([
      ["a.jpg", 2],
      ["b.jpg", 0],
    ]);
  });
  test("a byte order mark, quotes, commas in names, a column called class", async () => {
    const text = '\uFEFFfilename,width,class\n"a, b.jpg",10,"big ""cat"""\nc.jpg,20,dog\n';
    const { classes, labels } = await csv(text);
    expect(classes).toEqual(['big "cat"', "dog"]);
    expect(labels.map(([name]) => name)).toEqual(["a, b.jpg", "c.jpg"]);
    const { labels: unquoted } = await csv("a, b.jpg,cat\nc.jpg,dog\n");
    expect(unquoted.map(([name]) => name)).toEqual(["a,b.jpg", "c.jpg"]);
  });
  test.each([
    ["separated by semicolons", "a.jpg,cat;dog\nb.jpg,dog\nc.jpg,\n"],
    ["separated by bars", "file,tags\na.jpg,cat|dog\nb.jpg,dog\nc.jpg,\n"],
    ["separated by commas", "a.jpg,cat,dog\nb.jpg,dog\nc.jpg,\n"],
    ["on several lines", "a.jpg,cat\na.jpg,dog\nb.jpg,dog\nc.jpg,\n"],
    ["as columns of 0 and 1", "filename,cat,dog\na.jpg,1,1\nb.jpg,0,1\nc.jpg,0,0\n"],
  ])("several labels a file, %s", async (_, text) => {
    const { classes, examples } = await csv(text);
    expect(classes).toEqual(["cat", "dog"]);
    expect(examples.map(({ label }) => label)).toEqual([[0, 1], [1], []]);
  });
  test("columns with one 1 a line are one label a file", async () => {
    const { classes, examples } = await csv("image,dog,cat\na.jpg,1,0\nb.jpg,0,1\n");
    expect({ classes, labels: examples.map(({ label }) => label) }).toEqual({
      classes: ["dog", "cat"],
      labels: [0, 1],
    });
  });
  test.each(["../x.jpg", "/etc/passwd", "a/../../x.jpg", "C:\\x.jpg", "\\\\host\\x.jpg", "..\\x.jpg"])(
    "%s is outside",
    async (file) => {
      await expect(csv(`a.jpg,cat\n${file},dog\n`)).rejects.toMatchObject({
        code: "malformed",
        message: expect.stringMatching(/labels\.csv:2: expected a file in the folder or below it/),
      });
    },
  );
  test("another file's bytes are not quoted", async () => {
    put(["secret", "root:x:0:0:hunter2\n"], "a.jpg");
    const failing = open(join(folder, "secret"));
    await expect(failing).rejects.toThrow(/secret:1: expected file,label/);
    await expect(failing).rejects.not.toThrow(/hunter2/);
  });
});

describe("a set to train on", () => {
  test("in two folders, with a third that is said to be left out", async () => {
    put("train/cat/1.jpg", "train/dog/1.jpg", "val/dog/2.jpg", "test/cat/3.jpg", "__MACOSX/train/x.jpg");
    const { train, val, skipped } = await openPair();
    expect(train.classes).toEqual(["cat", "dog"]);
    expect(val!.examples.map(({ name }) => name)).toEqual(["dog/2.jpg"]);
    expect(skipped).toEqual(["test/"]);
  });
  test("by its class folders, when only the validation set is a list", async () => {
    put("a/cat/1.jpg", "a/dog/1.jpg", ["b.csv", "a/cat/2.jpg,dog\n"]);
    const { train, val } = await openPair(join(folder, "a"), { val: join(folder, "b.csv") });
    expect([train.classes, val!.classes]).toEqual([["cat", "dog"], ["dog"]]);
  });
});
