/** Measures of several labels an image, against the definitions of scikit-learn, worked out by hand. */
import { expect, test } from "vitest";
import { averagePrecisions, decisionAccuracies, meanAveragePrecision } from "../src/multilabel.ts";

/** One class. */
const one = (scores: readonly number[], targets: readonly number[]) =>
  averagePrecisions({ classes: 1, scores, targets })[0];

test("average precision: at each image that shows the class, the precision so far", () => {
  expect(one([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])).toBeCloseTo((1 + 2 / 3) / 2, 12);
  expect(one([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])).toBeCloseTo((1 + 2 / 3) / 2, 12);
  expect(one([0.9, 0.8], [1, 1])).toBe(1);
  expect(one([0.9, 0.8], [0, 0])).toBeUndefined();
});
test("images of the same score are ranked together, whatever their order", () => {
  expect(one([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0])).toBeCloseTo(0.25, 12);
  expect(one([0.5, 0.5, 0.5, 0.5], [0, 0, 0, 1])).toBeCloseTo(0.25, 12);
});
test("the mean leaves out classes that no image shows", () => {
  const scored = { classes: 2, scores: [0.9, 0.1, 0.2, 0.3], targets: [1, 0, 0, 0] };
  expect(meanAveragePrecision(averagePrecisions(scored))).toBe(1);
});
test("decisions: by class, above the threshold exactly where it is shown", () => {
  const scored = { classes: 2, scores: [0.9, 0.4, 0.2, 0.6], targets: [1, 1, 0, 1] };
  expect(decisionAccuracies(scored, 0.5)).toEqual([1, 0.5]);
});
