/** Which of a model's classes a dataset's names mean: the kinds of names that people have, and what is refused. */
import { describe, expect, test } from "vitest";
import { DatasetError } from "../src/errors.ts";
import { type LabelMatch, matchLabels } from "../src/labels.ts";
import { imagenetIds, isImageNetOrder } from "../src/models/imagenet.ts";

const match = (names: readonly string[], labels: readonly string[], ids?: readonly string[]): LabelMatch =>
  matchLabels("set", names, { count: labels.length, labels, ...(ids && { ids }) });

describe("a class is found", () => {
  test.each<readonly [string, readonly string[], readonly string[], readonly number[]]>([
    ["whatever the order", ["cat", "dog"], ["dog", "bird", "cat"], [2, 0]],
    ["with other capitals and spaces", ["Hot_Dog", "ice-cream"], ["ice cream", "hot dog"], [1, 0]],
    ["by any synonym", ["Tinca_tinca", "goldfish"], ["tench, Tinca tinca", "goldfish, Carassius auratus"], [0, 1]],
    ["by the WordNet id in its label", ["n02124075"], ["n01440764 tench", "n02124075 Egyptian cat"], [1]],
    ["by the name behind an id", ["Egyptian cat"], ["n01440764 tench", "n02124075 Egyptian cat"], [1]],
    ["by its index", ["2", "0"], ["a", "b", "c"], [2, 0]],
    ["by its name, though that is a number", ["1", "3"], ["3", "2", "1"], [2, 0]],
    ["by its whole label before a synonym of another", ["cardigan"], ["Cardigan, corgi", "cardigan"], [1]],
    ["by a name that is only marks", ["+", "-"], ["-", "+"], [1, 0]],
    ["composed or decomposed", ["cafe\u0301"], ["tea", "caf\u00e9"], [1]],
  ])("%s", (_, names, labels, indices) => {
    expect(match(names, labels)).toEqual({ indices });
  });
  test("by its WordNet id among ImageNet's", () => {
    const labels = imagenetIds().map((_, i) => `class ${i}`);
    expect(match(["n15075141", "n01440764"], labels, imagenetIds()).indices).toEqual([999, 0]);
  });
});

describe("refused, with both sides named", () => {
  test.each<readonly [string, readonly string[], readonly string[], RegExp]>([
    ["a class the model has not", ["cat", "wolf"], ["cat", "dog"], /classes \(cat, dog\), got wolf/],
    ["an index beyond the last", ["0", "2"], ["a", "b"], /classes from 0 to 1, got 2/],
    ["a name of two classes", ["crane"], ["crane", "crane"], /one class, got 0 "crane", 1 "crane"/],
    ["two that differ in capitals only", ["a b"], ["A B", "A-B"], /one class, got 0 "A B", 1 "A-B"/],
    ["numbers that are not the model's numbers", ["0", "1"], ["1", "2"], /classes \(1, 2\), got 0/],
  ])("%s", (_, names, labels, message) => {
    expect(() => match(names, labels)).toThrow(DatasetError);
    expect(() => match(names, labels)).toThrow(message);
  });
  test("a long list is cut", () => {
    const labels = Array.from({ length: 1000 }, (_, i) => `class ${i}`);
    expect(() => match(["x"], labels)).toThrow(/class 9, … 990 more\), got x/);
  });
});

describe("a model without names", () => {
  const unnamed = { count: 3, labels: [] };
  test("takes indices", () => {
    expect(matchLabels("set", ["2"], unnamed)).toEqual({ indices: [2] });
  });
  test("takes as many names as it has classes, and says so", () => {
    const { indices, guess } = matchLabels("set", ["a", "b", "c"], unnamed);
    expect(indices).toEqual([0, 1, 2]);
    expect(guess).toMatch(/a, b, c are its classes 0 to 2/);
  });
  test("takes no other number of names", () => {
    expect(() => matchLabels("set", ["a", "b"], unnamed)).toThrow(/3 classes without names/);
  });
});

test("ImageNet's ids are a thousand, in order, and its names are known by some of them", () => {
  const ids = imagenetIds();
  expect(ids).toHaveLength(1000);
  expect([...ids].sort()).toEqual(ids);
  expect([ids[0], ids[285], ids[999]]).toEqual(["n01440764", "n02124075", "n15075141"]);
  const labels = ids.map((_, i) => ({ 0: "tench", 1: "goldfish", 151: "Chihuahua" })[i] ?? `${i}`);
  expect(isImageNetOrder(labels)).toBe(false);
});
