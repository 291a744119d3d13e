/** The generator of golden weights: TypeScript and numpy agree bit for bit. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { goldenInput, goldenTensor } from "./golden/weights.ts";

interface Sample {
  readonly name: string;
  readonly shape: readonly number[];
  readonly lastNorm: string | null;
  readonly first: readonly number[];
  readonly last: readonly number[];
  /** In f64, from the first element to the last. */
  readonly sum: number;
}

const { tensors } = JSON.parse(readFileSync(new URL("golden/logits.json", import.meta.url), "utf8")) as {
  readonly tensors: readonly Sample[];
};

describe("golden tensors are numpy's", () => {
  it.each(tensors)("$name $shape, last norm $lastNorm", ({ name, shape, lastNorm, first, last, sum }) => {
    const values = name === "input" ? goldenInput(shape) : goldenTensor(name, shape, lastNorm);
    expect([...values.subarray(0, 4)]).toEqual(first.map(Math.fround));
    expect([...values.subarray(-2)]).toEqual(last.map(Math.fround));
    expect(values.reduce((a, b) => a + b, 0)).toBe(sum);
  });
});
