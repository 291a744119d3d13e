/** Random weights have the moments they should, and the peak is a peak. */
import { describe, expect, it } from "vitest";
import { randomCheckpoint } from "../../src/models/random.ts";
import { resnet, resnetSpec } from "../../src/models/resnet.ts";
import { paramsOf } from "../../src/ops/ops.ts";
import { measurePeak } from "../../src/peak.ts";
import { STATIC_BYTES } from "../../src/plan.ts";
import { kernelsOf } from "../wasm.ts";

const graph = resnet("resnet20", resnetSpec("resnet20"));

async function values(seed: number, name: string): Promise<Float32Array> {
  const bytes = await randomCheckpoint(graph, seed).read(name);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

describe("random weights", () => {
  it("have He's variance, 2 / fan-in, and mean 0", async () => {
    const weight = await values(1, "layer3.0.conv2.weight");
    expect(weight.length).toBe(64 * 64 * 9);
    const mean = weight.reduce((a, b) => a + b, 0) / weight.length;
    const variance = weight.reduce((a, b) => a + b * b, 0) / weight.length;
    expect(Math.abs(mean)).toBeLessThan(0.002);
    expect(variance * (64 * 9)).toBeCloseTo(2, 1);
  });
  it("are the same for the same seed, and others for another seed or tensor", async () => {
    const one = await values(1, "layer1.0.conv1.weight");
    expect(await values(1, "layer1.0.conv1.weight")).toEqual(one);
    expect(await values(2, "layer1.0.conv1.weight")).not.toEqual(one);
    expect(await values(1, "layer1.0.conv2.weight")).not.toEqual(one);
  });
  it("leave batch norms the identity", async () => {
    for (const [part, value] of Object.entries({ weight: 1, bias: 0, running_mean: 0, running_var: 1 })) {
      expect(new Set(await values(1, `bn1.${part}`))).toEqual(new Set([value]));
    }
  });
  it("cover every tensor", () => {
    const { tensors } = randomCheckpoint(graph, 1);
    expect([...tensors.keys()]).toEqual(paramsOf(graph).map(({ name }) => name));
  });
});

describe("the peak", () => {
  it("is a rate, and its loop leaves the zeros zero", async () => {
    const kernels = await kernelsOf("baseline", 1);
    expect(measurePeak(kernels)).toBeGreaterThan(0.1);
    expect(new Uint8Array(kernels.memory.buffer, STATIC_BYTES, 192).every((byte) => byte === 0)).toBe(true);
  });
});
