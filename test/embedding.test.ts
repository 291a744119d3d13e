/** Embeddings, cosine similarity and search, against their definitions. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Classifier, loadWith } from "../src/classifier.ts";
import { search, similarity } from "../src/embedding.ts";
import { OptionError } from "../src/errors.ts";
import { resnetSpec } from "../src/models/resnet.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInput, goldenPixels } from "./golden/weights.ts";

const photos = [0, 1, 2, 3, 4].map((i) => ({ width: 32 + i, height: 40, data: goldenPixels(32 + i, 40) }));

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array): number => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

let model: Classifier;
beforeAll(async () => {
  model = await loadWith(nodeRuntime(), goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }));
});
afterAll(() => model.dispose());

describe("an embedding", () => {
  it("is the features at length 1; of several images, a row for each", async () => {
    const { data: features } = await model.features(photos[0]!);
    const one = await model.embed(photos[0]!);
    const length = Math.hypot(...features);
    for (const [i, value] of one.entries()) expect(value).toBeCloseTo(features[i]! / length, 6);
    expect(Math.hypot(...one)).toBeCloseTo(1, 6);
    const { data, shape } = await model.embed(photos);
    expect(shape).toEqual([5, 64]);
    for (const [i, photo] of photos.entries()) {
      expect(data.slice(i * 64, (i + 1) * 64)).toEqual(await model.embed(photo));
    }
    const batch = { data: goldenInput([2, 32, 32, 3]), shape: [2, 32, 32, 3] } as const;
    expect((await model.embed(batch)).shape).toEqual([2, 64]);
    expect((await model.embed([])).shape).toEqual([0, 64]);
  });
  it("of an image is found among others", async () => {
    const album = await model.embed(photos);
    for (const [i, photo] of photos.entries()) {
      const [best, second] = search(await model.embed(photo), album, { topK: 2 });
      expect(best).toMatchObject({ index: i });
      expect(best!.score).toBeCloseTo(1, 6);
      expect(second!.score).toBeLessThan(best!.score);
    }
  });
});

describe("similarity", () => {
  it("is the cosine, whatever the lengths", () => {
    const [a, b] = [goldenInput([1, 1, 37, 1]), goldenInput([1, 1, 74, 1]).slice(37)];
    expect(similarity(a, b)).toBeCloseTo(cosine(a, b), 12);
    expect(
      similarity(
        a,
        b.map((value) => 7 * value),
      ),
    ).toBeCloseTo(cosine(a, b), 6);
    expect(similarity(a, a)).toBeCloseTo(1, 12);
    expect(
      similarity(
        a,
        a.map((value) => -value),
      ),
    ).toBeCloseTo(-1, 12);
    expect(similarity(Float32Array.of(1, 0), Float32Array.of(0, 3))).toBe(0);
  });
  it("of zeros is 0", () => {
    expect(similarity(new Float32Array(5), Float32Array.of(1, 2, 3, 4, 5))).toBe(0);
    expect(similarity(Float32Array.of(1, 2, 3, 4, 5), new Float32Array(5))).toBe(0);
  });
});

describe("search", () => {
  const [rows, columns] = [301, 19];
  const matrix = { data: goldenInput([1, rows, columns, 1]), shape: [rows, columns] } as const;
  const row = (i: number): Float32Array => matrix.data.slice(i * columns, (i + 1) * columns);
  it.each([1, 2, 7, 300, 301, 1000])("finds the %i best of all, in their order", (topK) => {
    const query = goldenInput([1, 1, columns, 1]).reverse();
    const all = Array.from({ length: rows }, (_, index) => ({ index, score: cosine(query, row(index)) }));
    const want = all.sort((a, b) => b.score - a.score).slice(0, topK);
    const got = search(query, matrix, { topK });
    expect(got.map(({ index }) => index)).toEqual(want.map(({ index }) => index));
    for (const [i, { score }] of got.entries()) expect(score).toBeCloseTo(want[i]!.score, 6);
  });
  it("gives five, and of equal ones the first", () => {
    const same = { data: new Float32Array(12).fill(2), shape: [6, 2] } as const;
    expect(search(Float32Array.of(1, 1), same).map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
  });
  it("refuses what does not fit", () => {
    const query = new Float32Array(columns).fill(1);
    const broken = { ...matrix, data: matrix.data.slice().fill(Number.NaN, 40, 41) };
    for (const [call, option] of [
      [() => search(query.slice(1), matrix), "query"],
      [() => search(query.fill(Number.POSITIVE_INFINITY), matrix), "query"],
      [() => search(row(0), { ...matrix, shape: [rows + 1, columns] }), "matrix"],
      [() => search(row(0), broken), "matrix"],
      [() => search(row(0), matrix, { topK: 0 }), "topK"],
      [() => similarity(row(0), row(1).slice(1)), "query"],
    ] as const) {
      const error = (() => {
        try {
          return call();
        } catch (thrown) {
          return thrown;
        }
      })();
      expect(error).toBeInstanceOf(OptionError);
      expect((error as OptionError).option).toBe(option);
    }
  });
});
