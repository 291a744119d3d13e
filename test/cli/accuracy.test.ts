import { describe, expect, test } from "vitest";
import {
  type Answered,
  calibrationError,
  confusions,
  hits,
  mistakes,
  reliability,
  wilson,
} from "../../src/cli/accuracy.ts";

const answer = (label: number, ...best: readonly (readonly [number, number])[]): Answered => ({
  ...{ name: `${label}`, label, best, members: [] },
});

describe("Wilson's interval", () => {
  test.each([
    [8, 10],
    [239, 300],
    [1, 1000],
    [20, 20],
  ])(
    "of %i among %i: its edges are the shares from which what was seen is 1.96 deviations away",
    (successes, count) => {
      for (const edge of wilson(successes, count)) {
        const deviation = Math.sqrt((edge * (1 - edge)) / count);
        const distance = Math.abs(successes / count - edge);
        expect(distance).toBeCloseTo(1.959964 * deviation, 8);
      }
    },
  );
  test("of 8 among 10, as textbooks have it", () => {
    const [lo, hi] = wilson(8, 10);
    expect([lo.toFixed(3), hi.toFixed(3)]).toEqual(["0.490", "0.943"]);
  });
  test("of nothing is everything", () => expect(wilson(0, 0)).toEqual([0, 1]));
});

const ANSWERS = [
  answer(0, [0, 0.95], [1, 0.05]),
  answer(1, [0, 0.92], [1, 0.08]),
  answer(1, [1, 0.55], [0, 0.45]),
  answer(2, [0, 0.4], [1, 0.35], [2, 0.25]),
];

test("hits count labels among the first answers", () => {
  expect([1, 2, 3].map((k) => hits(ANSWERS, k))).toEqual([2, 3, 4]);
});
test("reliability: answers of like confidence in one bin", () => {
  const bins = reliability(ANSWERS);
  expect(bins.map(({ count }) => count)).toEqual([1, 1, 2]);
  expect(bins.map(({ accuracy }) => accuracy)).toEqual([0, 1, 0.5]);
  expect(bins.at(-1)!.confidence).toBeCloseTo(0.935, 10);
  expect(calibrationError(bins)).toBeCloseTo((0.4 + 0.45 + 2 * 0.435) / 4, 10);
});
test("confusions: the most frequent pair first", () => {
  expect(confusions([...ANSWERS, ANSWERS[1]!])[0]).toEqual({ label: 1, answer: 0, count: 2 });
});
test("mistakes: the surest first", () => {
  expect(mistakes(ANSWERS).map(({ best }) => best[0]![1])).toEqual([0.92, 0.4]);
});
