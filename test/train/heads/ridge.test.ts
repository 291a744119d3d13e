/** Ridge heads against plain elimination in f64, and against leaving out every image in turn and solving again. */
import { describe, expect, test } from "vitest";
import { uniform } from "../../../src/models/random.ts";
import { nodeRuntime } from "../../../src/runtimes/node.ts";
import { type Known, ridge, scored } from "../../../src/train/heads/ridge.ts";
import { createSolver } from "../../../src/train/heads/solve.ts";
import { rounded, Sums } from "../../../src/train/heads/sums.ts";

const solver = await createSolver(nodeRuntime());

/** Features around a centre of their class. */
function drawn(
  images: number,
  channels: number,
  classes: number,
  seed: number,
): { rows: Float32Array[]; labels: Int32Array } {
  const next = uniform(seed);
  const centres = Array.from({ length: classes }, () => Float64Array.from({ length: channels }, () => next()));
  const labels = Int32Array.from({ length: images }, (_, i) => i % classes);
  const rows = Array.from(labels, (label) => rounded(centres[label]!.map((value) => value + 1.5 * next())));
  return { rows, labels };
}

/** What `ridge` takes; with `isWhole` false, sums alone. */
function knownOf(rows: readonly Float32Array[], labels: Int32Array, classes: number, isWhole = true): Known {
  const channels = rows[0]!.length;
  const sums = new Sums(channels);
  rows.forEach((row, i) => {
    sums.add({ row, length: 1 }, `${labels[i]}`);
  });
  return {
    ...{ channels, classes, labels: isWhole ? labels : new Int32Array() },
    row: (i) => rows[i]!,
    counts: Float64Array.from({ length: classes }, (_, c) => sums.count(`${c}`)),
    sums: Float64Array.from(Array.from({ length: classes }, (_, c) => [...sums.of(`${c}`)]).flat()),
    gram: () => sums.gram(solver, rows),
  };
}

/** Solves A x = b by elimination with pivots. */
function eliminated(matrix: number[][], b: number[]): number[] {
  const rows = matrix.map((row, i) => [...row, b[i]!]);
  const n = rows.length;
  for (let k = 0; k < n; ++k) {
    let pivot = k;
    for (let i = k; i < n; ++i) if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let i = k + 1; i < n; ++i) {
      const ratio = rows[i]![k]! / rows[k]![k]!;
      for (let j = k; j <= n; ++j) rows[i]![j]! -= ratio * rows[k]![j]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; --i) {
    let sum = rows[i]![n]!;
    for (let j = i + 1; j < n; ++j) sum -= rows[i]![j]! * x[j]!;
    x[i] = sum / rows[i]![i]!;
  }
  return x;
}

/** Weights of one class by the normal equations. */
function plain(rows: readonly Float32Array[], targets: readonly number[], lambda: number): number[] {
  const d = rows[0]!.length;
  const matrix = Array.from({ length: d }, (_, i) =>
    Array.from({ length: d }, (_, j) => {
      const sum = rows.reduce((total, row) => total + row[i]! * row[j]!, 0);
      return i === j ? sum + lambda : sum;
    }),
  );
  return eliminated(
    matrix,
    Array.from({ length: d }, (_, i) => rows.reduce((total, row, r) => total + row[i]! * targets[r]!, 0)),
  );
}

const apply = (x: readonly number[], row: Float32Array): number =>
  row.reduce((sum, value, i) => sum + value * x[i]!, 0);

describe.each([
  { images: 7, channels: 19, classes: 2, form: "images" },
  { images: 12, channels: 13, classes: 3, form: "images" },
  { images: 30, channels: 9, classes: 3, form: "features" },
  { images: 70, channels: 17, classes: 5, form: "features" },
  { images: 16, channels: 16, classes: 2, form: "features" },
])("$images images of $channels features, by products of $form", ({ images, channels, classes }) => {
  const { rows, labels } = drawn(images, channels, classes, images + channels);
  const known = knownOf(rows, labels, classes);
  const fit = ridge(solver, known);
  const targetsOf = (c: number): number[] => Array.from(labels, (label) => Number(label === c));

  test("equals the normal equations", () => {
    for (let c = 0; c < classes; ++c) {
      const expected = plain(rows, targetsOf(c), fit.lambda);
      const got = fit.weights.subarray(c * channels, (c + 1) * channels);
      got.forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i]!, 8);
      });
    }
  });
  test("knows each image's scores without it", () => {
    for (let i = 0; i < images; ++i) {
      const others = rows.filter((_, j) => j !== i);
      for (let c = 0; c < classes; ++c) {
        const targets = targetsOf(c).filter((_, j) => j !== i);
        const expected = apply(plain(others, targets, fit.lambda), rows[i]!);
        expect(fit.left![i * classes + c]).toBeCloseTo(expected, 5);
      }
    }
  });
  test("takes the λ whose errors without each image are the least", () => {
    const errorOf = (lambda: number): number => {
      let sum = 0;
      rows.forEach((row, i) => {
        const others = rows.filter((_, j) => j !== i);
        for (let c = 0; c < classes; ++c) {
          const targets = targetsOf(c).filter((_, j) => j !== i);
          sum += (Number(labels[i] === c) - apply(plain(others, targets, lambda), row)) ** 2;
        }
      });
      return sum;
    };
    const mine = errorOf(fit.lambda);
    expect(errorOf(fit.lambda * Math.sqrt(10))).toBeGreaterThanOrEqual(mine * (1 - 1e-9));
    expect(errorOf(fit.lambda / Math.sqrt(10))).toBeGreaterThanOrEqual(mine * (1 - 1e-9));
  });
});

test("from sums alone, λ is that of generalised cross-validation", () => {
  const { rows, labels } = drawn(40, 6, 2, 5);
  const fit = ridge(solver, knownOf(rows, labels, 2, false));
  expect(fit.left).toBeUndefined();
  const scoreOf = (lambda: number): number => {
    // The trace of the matrix that makes predictions of targets: an image's own part in its prediction, by a target of 1 there alone.
    const trace = rows.reduce((sum, row, i) => {
      const alone = rows.map((_, j) => Number(i === j));
      return sum + apply(plain(rows, alone, lambda), row);
    }, 0);
    let error = 0;
    for (let c = 0; c < 2; ++c) {
      const targets = Array.from(labels, (label) => Number(label === c));
      const x = plain(rows, targets, lambda);
      rows.forEach((row, i) => {
        error += (targets[i]! - apply(x, row)) ** 2;
      });
    }
    return error / (1 - trace / rows.length) ** 2;
  };
  const mine = scoreOf(fit.lambda);
  expect(scoreOf(fit.lambda * Math.sqrt(10))).toBeGreaterThanOrEqual(mine * (1 - 1e-9));
  expect(scoreOf(fit.lambda / Math.sqrt(10))).toBeGreaterThanOrEqual(mine * (1 - 1e-9));
  for (let c = 0; c < 2; ++c) {
    const expected = plain(
      rows,
      Array.from(labels, (label) => Number(label === c)),
      fit.lambda,
    );
    fit.weights.subarray(6 * c, 6 * c + 6).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 8);
    });
  }
});

test("constant features score every class by its share", () => {
  const rows = Array.from({ length: 6 }, () => rounded([1, 2, 3]));
  const labels = Int32Array.of(0, 0, 0, 0, 1, 1);
  const fit = ridge(solver, knownOf(rows, labels, 2));
  const scores = [0, 1].map((c) => apply([...fit.weights.subarray(3 * c, 3 * c + 3)], rows[0]!));
  expect(scores[0]! / scores[1]!).toBeCloseTo(2, 8);
});

test("features of zeros give no weights, and no NaN", () => {
  const rows = Array.from({ length: 4 }, () => rounded([0, 0, 0]));
  const fit = ridge(solver, knownOf(rows, Int32Array.of(0, 0, 1, 1), 2));
  expect([...fit.weights]).toEqual(new Array(6).fill(0));
  expect(fit.left!.every(Number.isFinite)).toBe(true);
});

test("images that are there twice change nothing but their weight", () => {
  const { rows, labels } = drawn(8, 12, 2, 3);
  const known = knownOf([...rows, ...rows], Int32Array.from([...labels, ...labels]), 2);
  const fit = ridge(solver, known);
  expect(fit.weights.every(Number.isFinite)).toBe(true);
  expect(fit.left!.every(Number.isFinite)).toBe(true);
  const scores = scored(solver, fit.weights, known);
  rows.forEach((_, i) => {
    expect(scores[2 * i + labels[i]!]).toBeGreaterThan(scores[2 * i + 1 - labels[i]!]!);
  });
});
