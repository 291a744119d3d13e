/** Metrics for several labels an image, against scikit-learn's. */
import { describe, expect, it } from "vitest";
import { averagePrecision, classMetrics, exactMatches, meanAveragePrecision } from "../src/multilabel.ts";

describe("average precision", () => {
  // The first is the example in scikit-learn's documentation of average_precision_score.
  it.each<[number[], number[], number]>([
    [[0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.8333333333333333],
    [[0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 1],
    [[0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1], 0.41666666666666663],
    [[0.5, 0.5, 0.5, 0.5], [1, 0, 0, 1], 0.5],
    [[0.2, 0.2, 0.9, 0.1], [1, 0, 0, 1], 0.41666666666666663],
  ])("of %j for %j is %d", (scores, truth, expected) => {
    expect(averagePrecision(scores, truth.map(Boolean))).toBeCloseTo(expected, 12);
  });
  it("of a class that no image has is not defined, and not part of the mean", () => {
    expect(averagePrecision([0.5], [false])).toBe(undefined);
    const metrics = classMetrics([{ labels: [0], scores: [0.7, 0.1] }], 2, 0.5);
    expect(metrics.map(({ averagePrecision }) => averagePrecision)).toEqual([1, undefined]);
    expect(meanAveragePrecision(metrics)).toBe(1);
  });
});

it("accuracy counts both kinds of mistakes, an exact match none", () => {
  const answers = [
    { labels: [0, 1], scores: [0.9, 0.2] },
    { labels: [], scores: [0.1, 0.4] },
    { labels: [1], scores: [0.6, 0.5] },
  ];
  expect(classMetrics(answers, 2, 0.5).map(({ accuracy }) => accuracy)).toEqual([2 / 3, 2 / 3]);
  expect(exactMatches(answers, 0.5)).toBe(1 / 3);
});
