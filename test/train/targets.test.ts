/** What the loss wants: PyTorch's formulas for smoothing and weights of classes. */
import { describe, expect, test } from "vitest";
import { balancedWeights, imbalanceOf } from "../../src/train/classes.ts";
import { targetsOf } from "../../src/train/targets.ts";

const LABELS = Int32Array.from([0, 2, 2, 1, 2]);
const LOGITS = [
  [0.3, -1, 2],
  [1, 0.5, -0.2],
  [0, 0, 0],
  [-2, 1, 0.1],
  [0.7, 0.2, 1.5],
];
const WEIGHTS = [3, 1, 0.5];
const logs = LOGITS.map((row) => {
  const sum = Math.log(row.reduce((total, x) => total + Math.exp(x), 0));
  return row.map((x) => x - sum);
});
/** The mean over the images of −Σ q · log softmax, as a step has it. */
const lossOf = (q: Float32Array): number => -logs.flat().reduce((sum, log, i) => sum + q[i]! * log, 0) / LABELS.length;

describe("cross-entropy", () => {
  test("weighted: PyTorch's Σ w[y] · loss / Σ w[y]", () => {
    const q = targetsOf(LABELS, { classes: 3, loss: "cross_entropy", smoothing: 0, weights: WEIGHTS });
    const all = [...LABELS].reduce((sum, y) => sum + WEIGHTS[y]!, 0);
    const want = [...LABELS].reduce((sum, y, i) => sum - WEIGHTS[y]! * logs[i]![y]!, 0) / all;
    expect(lossOf(q)).toBeCloseTo(want, 6);
  });
  test("weighted and smoothed: PyTorch weighs what is spread by each class's own weight", () => {
    const s = 0.1;
    const q = targetsOf(LABELS, { classes: 3, loss: "cross_entropy", smoothing: s, weights: WEIGHTS });
    const all = [...LABELS].reduce((sum, y) => sum + WEIGHTS[y]!, 0);
    const hard = [...LABELS].reduce((sum, y, i) => sum - WEIGHTS[y]! * logs[i]![y]!, 0) / all;
    const even = logs.reduce((sum, row) => sum - row.reduce((part, log, c) => part + WEIGHTS[c]! * log, 0), 0) / all;
    expect(lossOf(q)).toBeCloseTo((1 - s) * hard + (s / 3) * even, 6);
  });
  test("without weights rows sum to 1, whatever the smoothing and mixing", () => {
    const mixed = Float32Array.from([0.3, 0.7, 0, 0, 0, 1]);
    for (const labels of [LABELS, mixed]) {
      const q = targetsOf(labels, { classes: 3, loss: "cross_entropy", smoothing: 0.2 });
      for (let i = 0; i < q.length; i += 3) expect(q[i]! + q[i + 1]! + q[i + 2]!).toBeCloseTo(1, 6);
    }
  });
  test("weights of 1 are no weights; of 0 alone nothing is wanted", () => {
    const of = (weights?: readonly number[]): Float32Array =>
      targetsOf(LABELS, { classes: 3, loss: "cross_entropy", smoothing: 0.1, weights });
    expect(of([1, 1, 1])).toEqual(of());
    expect([...of([0, 0, 0])].every((value) => value === 0)).toBe(true);
  });
});

test("binary: shown and not shown move towards a half", () => {
  const q = targetsOf(Uint8Array.from([1, 0, 1]), { classes: 3, loss: "bce", smoothing: 0.2 });
  expect([...q].map((x) => Number(x.toFixed(6)))).toEqual([0.9, 0.1, 0.9]);
});

test("balanced weights: every class has the same sum", () => {
  const examples = [0, 0, 0, 0, 0, 0, 1, 1, 2].map((label, i) => ({
    name: `${i}`,
    label,
    image: () => new Uint8Array(),
  }));
  const set = { classes: ["a", "b", "c"], examples };
  expect(balancedWeights(set)).toEqual([0.5, 1.5, 3]);
  expect(imbalanceOf(set)).toBe(6);
});
