/** Training against PyTorch, and what a trainer promises: same bytes, checked input, weights that outlive a failure. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fromBytes } from "../src/bytes.ts";
import { openSafetensors } from "../src/formats/safetensors.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../src/models/resnet.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { type Trainable, type Trainer, type TrainOptions, trainWith } from "../src/trainer.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInput } from "./golden/weights.ts";
import { RUNNABLE } from "./wasm.ts";

interface Digest {
  readonly name: string;
  readonly shape: readonly number[];
  readonly norm: number;
  readonly samples: readonly number[];
}

/** One network of `training.json`. */
interface Golden {
  readonly name: string;
  readonly arch: string;
  readonly spec: Partial<ResNetSpec>;
  readonly lastNorm: string;
  readonly input: readonly [number, number, number, number];
  readonly options: TrainOptions;
  readonly losses: readonly number[];
  readonly gradNorms: readonly number[];
  readonly logits: readonly number[];
  readonly gradients: readonly Digest[];
  readonly after: readonly Digest[];
}

const { networks } = JSON.parse(readFileSync(new URL("golden/training.json", import.meta.url), "utf8")) as {
  readonly networks: readonly Golden[];
};

async function trainable({ arch, spec, lastNorm, input }: Golden): Promise<Trainable> {
  const whole: ResNetSpec = { ...resnetSpec(arch), ...spec };
  const bytes = goldenCheckpoint(whole, lastNorm);
  const graph = resnet(arch, whole, [input[1], input[2], 3]);
  return { source: arch, graph, checkpoint: await openSafetensors(fromBytes(arch, bytes)) };
}

const labelsOf = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => (3 * i + 1) % 10);

/** The larger of: how far the norm is off, and how far the worst sample is off in terms of a usual element. */
function away(values: Float32Array, golden: Digest): number {
  const norm = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  const usual = golden.norm / Math.sqrt(values.length);
  const step = Math.ceil(values.length / 12);
  const worst = golden.samples.map((sample, i) => Math.abs(values[i * step]! - sample) / usual);
  return Math.max(Math.abs(norm / golden.norm - 1), ...worst);
}

const relative = (got: number, want: number): number => Math.abs(got / want - 1);

describe.each(RUNNABLE)("%s", (build) => {
  it.each(networks.map((golden) => [golden.name, golden] as const))("%s", async (_name, golden) => {
    const seen: Record<string, number> = {};
    for (const winograd of [false, true]) {
      const way = winograd ? "winograd" : "direct";
      const trainer = await trainWith(nodeRuntime(), await trainable(golden), {
        ...golden.options,
        ...{ build, winograd, batch: golden.input[0] },
      });
      const images = goldenInput(golden.input);
      const labels = labelsOf(golden.input[0]);
      for (const [i, want] of golden.losses.entries()) {
        const { loss, gradNorm } = await trainer.step(images, labels);
        seen[`${way} loss ${i}`] = relative(loss, want);
        seen[`${way} gradNorm ${i}`] = relative(gradNorm, golden.gradNorms[i]!);
        if (i > 0) continue;
        const gradients = await trainer.gradients();
        expect([...gradients.keys()].sort()).toEqual(golden.gradients.map(({ name }) => name).sort());
        for (const each of golden.gradients) seen[`${way} d ${each.name}`] = away(gradients.get(each.name)!, each);
      }
      const after = new Map((await trainer.tensors()).map((each) => [each.name, each]));
      for (const each of golden.after) {
        const { bytes, shape } = after.get(each.name)!;
        expect(shape).toEqual(each.shape);
        seen[`${way} ${each.name}`] = away(new Float32Array(bytes.buffer), each);
      }
      await trainer.dispose();
    }
    if (process.env.SHOW) {
      const worst = Object.entries(seen).sort(([, a], [, b]) => b - a);
      for (const way of ["direct", "winograd"])
        console.log(
          golden.name,
          build,
          worst
            .filter(([k]) => k.startsWith(way))
            .slice(0, 6)
            .map(([k, v]) => `${k} ${v.toExponential(1)}`)
            .join("; "),
        );
    }
    expect(Object.entries(seen).filter(([, error]) => !(error <= 1e-3))).toEqual([]);
  });
});

export type { Trainer };
