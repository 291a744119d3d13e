/** Parts of a set for cross-validation. */
import { describe, expect, test } from "vitest";
import { type Dataset, labelsOf } from "../../src/train/dataset.ts";
import { epochsOf, foldsOf, together } from "../../src/train/folds.ts";

const set = (labels: readonly (number | readonly number[])[], classes = 3): Dataset => ({
  classes: ["a", "b", "c"].slice(0, classes),
  examples: labels.map((label, i) => ({ name: `${i}`, label, image: () => new Uint8Array() })),
});

describe.each([2, 3, 5])("%i folds", (k) => {
  const whole = set(Array.from({ length: 41 }, (_, i) => (i < 25 ? 0 : i < 35 ? 1 : 2)));
  const folds = foldsOf(whole, k, 1);
  test("validate with each image once, and train with all others", () => {
    const seen = folds.flatMap(({ val }) => val.examples.map(({ name }) => name));
    expect(seen.sort()).toEqual(whole.examples.map(({ name }) => name).sort());
    for (const { train, val } of folds) {
      expect(train.examples.length + val.examples.length).toBe(41);
      const held = new Set(val.examples);
      expect(train.examples.some((example) => held.has(example))).toBe(false);
    }
  });
  test("are as large as each other, and so is each class in them", () => {
    const sizes = folds.map(({ val }) => val.examples.length);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    for (let c = 0; c < 3; ++c) {
      const mine = folds.map(({ val }) => val.examples.filter((each) => labelsOf(each).includes(c)).length);
      expect(Math.max(...mine) - Math.min(...mine)).toBeLessThanOrEqual(1);
    }
  });
  test("follow from the seed", () => {
    const names = (seed: number): string =>
      foldsOf(whole, k, seed)[0]!
        .val.examples.map(({ name }) => name)
        .join();
    expect(names(1)).toBe(names(1));
    expect(names(2)).not.toBe(names(1));
  });
});

test("a class of one image is refused", () => {
  expect(() => foldsOf(set([0, 0, 1, 1, 2]), 2, 1)).toThrow(
    /folds: expected at least 2 images of every class, got 1 of c/,
  );
});

test("several labels, or none, are covered too", () => {
  const folds = foldsOf(set([[0], [0, 1], [], [1], [], [0, 1], [2], [2]]), 2, 1);
  expect(folds.flatMap(({ val }) => val.examples)).toHaveLength(8);
  for (const { train } of folds) expect(new Set(train.examples.flatMap(labelsOf)).size).toBe(3);
});

test("results together weigh by images; epochs are the mean of the best", () => {
  const folds = [
    { images: 30, loss: 1, top1: 0.9, epoch: 4 },
    { images: 10, loss: 3, top1: 0.5, epoch: 7 },
  ];
  expect(together(folds)).toEqual({ folds, top1: 0.8, loss: 1.5 });
  expect(epochsOf(folds, 0)).toBe(6);
  expect(epochsOf(folds, 8.5)).toBe(9);
});
