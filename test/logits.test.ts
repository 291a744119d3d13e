/** Whole networks against PyTorch: weights are functions of their names, so a golden file is only logits. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadWith } from "../src/classifier.ts";
import { type ResNetSpec, resnetSpec } from "../src/models/resnet.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInput } from "./golden/weights.ts";
import { RUNNABLE } from "./wasm.ts";

/** One network of `logits.json`. */
interface Golden {
  readonly name: string;
  readonly arch: string;
  readonly spec: Partial<ResNetSpec>;
  readonly lastNorm: string | null;
  readonly input: readonly [number, number, number, number];
  /** The first 32 logits of each image, in f64 rounded to f32. */
  readonly logits: readonly number[];
  readonly sumOfSquares: number;
}

const { networks } = JSON.parse(readFileSync(new URL("golden/logits.json", import.meta.url), "utf8")) as {
  readonly networks: readonly Golden[];
};

/**
 * Of the largest logit, without Winograd and with it: direct sums lose a few units in the last place a layer, F(4×4)
 * about two digits.
 */
const TOLERANCE = { direct: 1e-5, winograd: 1e-4 } as const;

describe.each(networks.map((golden) => [golden.name, golden] as const))("%s", (_name, golden) => {
  const spec = { ...resnetSpec(golden.arch), ...golden.spec };
  // Only tensors without weights for shortcuts leave the network open: then its name is needed.
  const named = spec.shortcut === "A" || spec.shortcut === "none" ? { arch: golden.arch } : {};
  const largest = Math.max(...golden.logits.map(Math.abs));
  /** Made once for all builds, and dropped before the next network: up to 270 MB. */
  let bytes = new Uint8Array();
  beforeAll(() => {
    bytes = goldenCheckpoint(spec, golden.lastNorm);
  });
  afterAll(() => {
    bytes = new Uint8Array();
  });

  it.each(RUNNABLE)("%s", async (build) => {
    for (const [way, tolerance] of Object.entries(TOLERANCE)) {
      const model = await loadWith(nodeRuntime(), bytes, { build, ...named, winograd: way === "winograd" });
      expect(model.model.spec).toEqual(spec);
      const { data, shape } = await model.logits({ data: goldenInput(golden.input), shape: golden.input });
      expect(shape).toEqual([golden.input[0], spec.classes]);
      const columns = golden.logits.length / golden.input[0];
      const worst = golden.logits.reduce((most, logit, i) => {
        const mine = data[Math.floor(i / columns) * spec.classes + (i % columns)]!;
        return Math.max(most, Math.abs(mine - logit));
      }, 0);
      expect(worst / largest, way).toBeLessThan(tolerance);
      const squares = data.reduce((sum, value) => sum + value * value, 0);
      expect(Math.abs(squares / golden.sumOfSquares - 1), way).toBeLessThan(10 * tolerance);
      await model.dispose();
    }
  });
});
