/** Labelled sets: how a part is taken out of one, and how two parts come to one order of classes. */
import { describe, expect, test } from "vitest";
import { type Dataset, ImageSet, labelsOf, splitDataset, trainingSets } from "../../src/train/dataset.ts";

const PIXELS = { width: 1, height: 1, data: new Uint8Array(4) };

function setOf(...labels: readonly (string | readonly string[])[]): Dataset {
  const set = new ImageSet();
  labels.forEach((label, i) => {
    set.add(PIXELS, label, `${i}`);
  });
  return set;
}

const counts = ({ classes, examples }: Dataset): readonly number[] =>
  classes.map((_, label) => examples.filter((example) => labelsOf(example).includes(label)).length);

describe("a part for validation", () => {
  test("has its share of every class, and leaves each an image", () => {
    const set = setOf(...Array<string>(10).fill("a"), ...Array<string>(5).fill("b"), "c", "d", "d");
    const { train, val } = splitDataset(set, 0.2, 1);
    expect(counts(val)).toEqual([2, 1, 0, 1]);
    expect(counts(train)).toEqual([8, 4, 1, 1]);
  });
  test("of several labels an image leaves every class an image too, and takes some of no class", () => {
    const labels = Array.from({ length: 60 }, (_, i) =>
      ["a", "b", "c", "d"].filter((_, k) => (i * (k + 3)) % (k + 2) === 0),
    );
    const { train, val } = splitDataset(setOf(["a", "rare"], ...labels, [], [], [], []), 0.25, 3);
    expect(Math.min(...counts(train))).toBeGreaterThan(0);
    expect(train.examples.length + val.examples.length).toBe(65);
    expect(val.examples.length).toBeGreaterThan(9);
    expect(val.examples.length).toBeLessThan(25);
    const none = [...train.examples, ...val.examples].filter((example) => labelsOf(example).length === 0).length;
    const taken = val.examples.filter((example) => labelsOf(example).length === 0).length;
    expect(taken).toBe(Math.round(0.25 * none));
  });
  test("is the seed's", () => {
    const set = setOf(...Array<string>(30).fill("a"), ...Array<string>(30).fill("b"));
    const names = (seed: number): string =>
      splitDataset(set, 0.3, seed)
        .val.examples.map(({ name }) => name)
        .join();
    expect(names(1)).toBe(names(1));
    expect(names(2)).not.toBe(names(1));
  });
});

test("what may show something else in the next epoch is refused", () => {
  const tagged = (name: string): object => Object.create({ [Symbol.toStringTag]: name });
  for (const name of ["HTMLCanvasElement", "OffscreenCanvas", "HTMLVideoElement"]) {
    const add = (): void => new ImageSet().add(tagged(name) as OffscreenCanvas, "a");
    expect(add).toThrow(/image: expected one that stays, got an .*\n {2}hint: add what it shows now: a Blob/);
    expect(add).toThrow(expect.objectContaining({ name: "ArgumentTypeError", option: "image" }));
  }
  new ImageSet().add(tagged("ImageBitmap") as ImageBitmap, "a");
});

describe("a validation set", () => {
  const train = setOf("Cat", "Dog", "cow");
  test("whose classes have another order, another spelling and a gap gets the training set's", () => {
    const { val } = trainingSets(train, setOf("COW", "dog"));
    expect(val!.classes).toEqual(["Cat", "Dog", "cow"]);
    expect(val!.examples.map(({ label }) => label)).toEqual([2, 1]);
  });
  test("with a class of its own is refused", () => {
    expect(() => trainingSets(train, setOf("cat", "wolf"))).toThrow(expect.objectContaining({ code: "classes" }));
  });
  test("with one label an image gets arrays where the training set has several", () => {
    const { val } = trainingSets(setOf(["a", "b"], ["b"]), setOf("b"));
    expect(val!.examples.map(({ label }) => label)).toEqual([[1]]);
  });
  test("of a share of 0 is none", () => expect(trainingSets(train, 0).val).toBeUndefined());
});
