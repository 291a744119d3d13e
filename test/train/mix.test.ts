/** Mixed batches: laws of their targets and pixels, and what decides them. */
import { describe, expect, test } from "vitest";
import { uniform } from "../../src/models/random.ts";
import { type MixOptions, mixedSource, symmetricBeta } from "../../src/train/mix.ts";
import type { BatchSource } from "../../src/train/sources.ts";

const SHAPE = [6, 8, 3] as const;
const SIZE = 6 * 8 * 3;
const CLASSES = 4;

/** Image i is i everywhere, and shows class i modulo 4. */
const plain: BatchSource = {
  count: 100,
  async batch(indices) {
    const images = new Float32Array(indices.length * SIZE);
    indices.forEach((index, i) => {
      images.fill(index, i * SIZE, (i + 1) * SIZE);
    });
    return { images, labels: Int32Array.from(indices, (index) => index % CLASSES), indices };
  },
};

const mixed = (options: Partial<MixOptions>): BatchSource =>
  mixedSource(plain, { mixup: 0, cutmix: 0, classes: CLASSES, seed: 1, shape: SHAPE, ...options });

const INDICES = [4, 9, 14, 19, 23];

describe.each([
  ["mixup", { mixup: 0.4 }],
  ["cutmix", { cutmix: 1 }],
  ["either", { mixup: 0.4, cutmix: 1 }],
] as const)("%s", (_, options) => {
  test("targets sum to one and are the shares of the pixels", async () => {
    let moved = 0;
    for (let epoch = 0; epoch < 40; ++epoch) {
      const { images, labels } = await mixed(options).batch(INDICES, epoch);
      expect(labels).toBeInstanceOf(Float32Array);
      INDICES.forEach((index, i) => {
        const row = (labels as Float32Array).subarray(i * CLASSES, (i + 1) * CLASSES);
        expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
        const other = INDICES[INDICES.length - 1 - i]!;
        const mean = images.subarray(i * SIZE, (i + 1) * SIZE).reduce((a, b) => a + b) / SIZE;
        // A mean of mine and the other's by a share, which the target has too.
        const share = index === other ? 1 : (mean - other) / (index - other);
        expect(share).toBeGreaterThan(-1e-4);
        expect(share).toBeLessThan(1 + 1e-4);
        if (index % CLASSES !== other % CLASSES) expect(row[index % CLASSES]).toBeCloseTo(share, 3);
        if (share < 0.99) moved += 1;
      });
    }
    expect(moved).toBeGreaterThan(40);
  });
  test("the seed, the epoch and the batch decide", async () => {
    const seen = async (seed: number, first: number, indices = INDICES): Promise<string> => {
      const batches = [];
      for (let epoch = first; epoch < first + 5; ++epoch) {
        batches.push((await mixed({ ...options, seed }).batch(indices, epoch)).labels.join());
      }
      return batches.join(";");
    };
    const one = await seen(1, 0);
    expect(await seen(1, 0)).toBe(one);
    expect(await seen(2, 0)).not.toBe(one);
    expect(await seen(1, 5)).not.toBe(one);
    // The classes are the same.
    const other = INDICES.map((index) => index + CLASSES);
    expect(await seen(1, 0, other)).not.toBe(one);
  });
});

test("cutmix: every pixel is of one image or the other", async () => {
  for (let epoch = 0; epoch < 20; ++epoch) {
    const { images } = await mixed({ cutmix: 1 }).batch([3, 8], epoch);
    expect(images.every((value) => value === 3 || value === 8)).toBe(true);
  }
});

test("an image alone stays as it is", async () => {
  const { images, labels } = await mixed({ mixup: 1 }).batch([5], 0);
  expect(images.every((value) => value === 5)).toBe(true);
  expect([...labels]).toEqual([0, 1, 0, 0]);
});

test.each([0.2, 1, 3])("Beta(%f, α): mean and variance", (alpha) => {
  const next = uniform(7);
  const drawn = Array.from({ length: 4000 }, () => symmetricBeta(alpha, next));
  const mean = drawn.reduce((a, b) => a + b) / drawn.length;
  const variance = drawn.reduce((sum, x) => sum + (x - mean) ** 2, 0) / drawn.length;
  expect(drawn.every((x) => x >= 0 && x <= 1)).toBe(true);
  expect(mean).toBeCloseTo(0.5, 1);
  expect(variance * 4 * (2 * alpha + 1)).toBeCloseTo(1, 0);
  expect(Math.abs(variance * 4 * (2 * alpha + 1) - 1)).toBeLessThan(0.1);
});
