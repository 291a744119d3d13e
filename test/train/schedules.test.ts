import { expect, test } from "vitest";
import { bodyRateAt, rateAt } from "../../src/train/schedules.ts";

test("constant", () => expect(rateAt("constant", 0.1, 99, 100)).toBe(0.1));
test("step: a tenth from half, a hundredth from three quarters", () => {
  expect([49, 50, 74, 75].map((step) => rateAt("step", 1, step, 100))).toEqual([1, 0.1, 0.1, 0.01]);
});
test("cosine: half in the middle, almost nothing at the end", () => {
  expect(rateAt("cosine", 1, 0, 100)).toBe(1);
  expect(rateAt("cosine", 1, 50, 100)).toBeCloseTo(0.5, 10);
  expect(rateAt("cosine", 1, 99, 100)).toBeLessThan(0.001);
});
test("one cycle: from a 25th up to all at three tenths, then down", () => {
  expect(rateAt("onecycle", 1, 0, 100)).toBeCloseTo(1 / 25, 10);
  expect(rateAt("onecycle", 1, 30, 100)).toBeCloseTo(1, 10);
  expect(rateAt("onecycle", 1, 99, 100)).toBeLessThan(0.001);
});
test("warm-up: rises to the whole rate, then the schedule begins", () => {
  expect([0, 1, 3, 4].map((step) => rateAt("constant", 1, step, 100, 4))).toEqual([0.25, 0.5, 1, 1]);
  expect(rateAt("cosine", 1, 4, 104, 4)).toBe(1);
});
test("another name is refused", () => expect(() => rateAt("up" as never, 1, 0, 1)).toThrow(/schedule: expected/));

test("all but the head begin after its warm-up, and then rise", () => {
  const rates = Array.from({ length: 8 }, (_, step) => bodyRateAt(step, 2, 4));
  expect(rates).toEqual([0, 0, 0.25, 0.5, 0.75, 1, 1, 1]);
  expect(Array.from({ length: 4 }, (_, step) => bodyRateAt(step, 0, 2))).toEqual([1, 1, 1, 1]);
  expect(Array.from({ length: 3 }, (_, step) => bodyRateAt(step, 1, 0))).toEqual([0, 1, 1]);
});
