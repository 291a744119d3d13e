/** Training against PyTorch, and what a trainer promises: same bytes, checked input, weights that outlive a failure. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fromBytes } from "../../src/bytes.ts";
import { DivergedError, ModelError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/formats/safetensors.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../../src/models/resnet.ts";
import type { Runtime } from "../../src/runtime.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { initialise } from "../../src/train/initialise.ts";
import { type TrainOptions, trainingNeeds } from "../../src/train/spec.ts";
import { type Trainable, type Trainer, trainWith } from "../../src/train/trainer.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { goldenInput } from "../golden/weights.ts";
import { shipped } from "../shipped.ts";
import { RUNNABLE } from "../wasm.ts";

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

const { networks } = JSON.parse(readFileSync(new URL("../golden/training.json", import.meta.url), "utf8")) as {
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
    expect(Object.entries(seen).filter(([, error]) => !(error <= 1e-3))).toEqual([]);
  });
});

const SPEC: ResNetSpec = { ...resnetSpec("resnet18"), depths: [1, 1, 1, 1], width: 16, classes: 3 };

/** A network whose stages are as small as they get, from a seed. */
function small(options: TrainOptions = {}, runtime: Runtime = nodeRuntime()): Promise<Trainer> {
  const graph = resnet("small", SPEC, [32, 32, 3]);
  return trainWith(runtime, { source: "small", graph, checkpoint: initialise(graph, 3) }, { batch: 4, ...options });
}

const IMAGES = goldenInput([4, 32, 32, 3]);
const LABELS = Int32Array.from([0, 1, 2, 1]);

async function losses(trainer: Trainer, steps: number): Promise<number[]> {
  const seen: number[] = [];
  for (let i = 0; i < steps; ++i) seen.push((await trainer.step(IMAGES, LABELS)).loss);
  return seen;
}

async function bytesOf(trainer: Trainer): Promise<string> {
  const hash = createHash("sha256");
  for (const { name, bytes } of await trainer.tensors()) hash.update(name).update(bytes);
  return hash.digest("hex");
}

describe("a part of the network", () => {
  it.each(["layer4", "layer3", "head"] as const)("%s: loss and gradients are those of the whole", async (train) => {
    const [whole, part] = [await small({ norms: "frozen" }), await small({ norms: "frozen", train })];
    const [all, some] = [await whole.step(IMAGES, LABELS), await part.step(IMAGES, LABELS)];
    expect(relative(some.loss, all.loss)).toBeLessThan(1e-4);
    const [gradients, mine] = [await whole.gradients(), await part.gradients()];
    expect([...mine.keys()].every((name) => train === "head" || /^(layer[34]\.|fc\.)/.test(name))).toBe(true);
    for (const [name, values] of mine) {
      const want = gradients.get(name)!;
      const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - want[i]!)), 0);
      expect(worst / largest, name).toBeLessThan(1e-3);
    }
    await Promise.all([whole.dispose(), part.dispose()]);
  });
  it("moves nothing else", async () => {
    const trainer = await small({ train: "layer4" });
    const before = new Map((await trainer.tensors()).map(({ name, bytes }) => [name, bytes]));
    await losses(trainer, 2);
    for (const { name, bytes } of await trainer.tensors()) {
      const same = Buffer.compare(bytes, before.get(name)!) === 0;
      expect(same, name).toBe(!/^(layer4\.|fc\.)/.test(name));
    }
    await trainer.dispose();
  });
});

describe("bytes", () => {
  const ways: readonly (readonly [string, TrainOptions])[] = [
    ["sgd, momentum", {}],
    ["adamw, clip and averages", { optimizer: "adamw", clip: 0.5, ema: 0.9 }],
    ["accumulated", { batch: 2, accumulate: 2 }],
  ];
  it.each(ways)("%s: are the same from a state as without a stop", async (_, options) => {
    const [one, two] = [await small(options), await small(options)];
    await losses(one, 4);
    await losses(two, 2);
    const state = await two.state();
    await losses(two, 1);
    await two.restore(state);
    await losses(two, 2);
    expect(await bytesOf(two)).toBe(await bytesOf(one));
    await Promise.all([one.dispose(), two.dispose()]);
  });
  it("of two threads are those of one", async () => {
    const [one, two] = [await small(), await small({ threads: 2 }, await shipped())];
    expect(await losses(two, 3)).toEqual(await losses(one, 3));
    expect(await bytesOf(two)).toBe(await bytesOf(one));
    await Promise.all([one.dispose(), two.dispose()]);
  });
});

describe("a step", () => {
  it("over accumulated batches has the gradient of the whole, with frozen norms", async () => {
    const [whole, parts] = [
      await small({ norms: "frozen" }),
      await small({ norms: "frozen", batch: 2, accumulate: 2 }),
    ];
    const [a, b] = [await whole.step(IMAGES, LABELS), await parts.step(IMAGES, LABELS)];
    expect(relative(b.loss, a.loss)).toBeLessThan(1e-4);
    expect(relative(b.gradNorm, a.gradNorm)).toBeLessThan(1e-3);
    await Promise.all([whole.dispose(), parts.dispose()]);
  });
  it("whose loss is not finite leaves the weights of the step before", async () => {
    const trainer = await small({ learningRate: 1e30 });
    const seen: string[] = [];
    let failure: unknown;
    for (let i = 0; i < 10 && failure === undefined; ++i) {
      seen.push(await bytesOf(trainer));
      await trainer.step(IMAGES, LABELS).catch((error) => {
        failure = error;
      });
    }
    expect(failure).toBeInstanceOf(DivergedError);
    expect(await bytesOf(trainer)).toBe(seen.at(-1));
    await trainer.dispose();
  });
  it("takes no more memory than was announced, to 5 %", async () => {
    const graph = resnet("small", SPEC, [32, 32, 3]);
    for (const options of [{}, { train: "layer4" as const }, { optimizer: "adamw" as const, ema: 0.9 }]) {
      const trainer = await small(options);
      await losses(trainer, 2);
      const { end } = trainingNeeds(graph, { batch: 4, ...options });
      expect(Math.abs(trainer.memoryBytes - end)).toBeLessThan(Math.max(0.05 * end, 65_536));
      await trainer.dispose();
    }
  });
  it("with live norms computes a last image that is alone together with the batch before", async () => {
    const images = goldenInput([5, 32, 32, 3]);
    const labels = Int32Array.from([0, 1, 2, 1, 0]);
    const [whole, joined] = [await small({ batch: 5 }), await small({ batch: 4 })];
    const [a, b] = [await whole.step(images, labels), await joined.step(images, labels)];
    expect(b).toEqual(a);
    expect(await bytesOf(joined)).toBe(await bytesOf(whole));
    expect(joined.memoryBytes).toBeLessThanOrEqual(
      Math.ceil(trainingNeeds(joined.graph, { batch: 4 }).end / 65536) * 65536 + 65536,
    );
    await Promise.all([whole.dispose(), joined.dispose()]);
  });
  it("of several labels an image has the loss and gradient of PyTorch's BCEWithLogitsLoss", async () => {
    const trainer = await small({ loss: "bce", norms: "frozen", train: "head", learningRate: 1e-6 });
    const targets = Uint8Array.from([1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1]);
    const { logits } = await trainer.evaluate(IMAGES, targets);
    const { loss, correct } = await trainer.step(IMAGES, targets);
    const sigmoids = [...logits].map((x) => 1 / (1 + Math.exp(-x)));
    const losses = sigmoids.map((p, i) => -Math.log(targets[i] === 1 ? p : 1 - p));
    expect(loss).toBeCloseTo(losses.reduce((a, b) => a + b) / 12, 5);
    const right = [...logits].filter((x, i) => x > 0 === (targets[i] === 1)).length;
    expect(correct).toBeCloseTo(right / 3, 5);
    const bias = (await trainer.gradients()).get("fc.bias")!;
    for (let c = 0; c < 3; ++c) {
      const mine = [0, 1, 2, 3].map((i) => (sigmoids[3 * i + c]! - targets[3 * i + c]!) / 12);
      expect(bias[c]).toBeCloseTo(
        mine.reduce((a, b) => a + b),
        5,
      );
    }
    await trainer.dispose();
  });
  it.each([
    ["labels out of range", IMAGES, Int32Array.from([0, 1, 2, 3]), "labels"],
    ["more labels than the batch", IMAGES, new Int32Array(6), "labels"],
    ["labels of another loss", IMAGES, new Uint8Array(12), "labels"],
    ["images of another size", IMAGES.subarray(1), LABELS, "images"],
  ] as const)("refuses %s", async (_, images, labels, option) => {
    const trainer = await small();
    await expect(trainer.step(images, labels)).rejects.toMatchObject({ option });
    await trainer.dispose();
  });
});

describe("options", () => {
  it.each([
    [{ learningRate: 0 }, "learningRate"],
    [{ learningRate: Number.NaN }, "learningRate"],
    [{ batch: 0 }, "batch"],
    [{ labelSmoothing: 1 }, "labelSmoothing"],
    [{ clip: -1 }, "clip"],
    [{ ema: 1 }, "ema"],
    [{ train: "stem" as never }, "train"],
    [{ nesterov: 1 as never }, "nesterov"],
  ] as const)("%o are refused", async (options, option) => {
    await expect(small(options)).rejects.toMatchObject({ option });
  });
  it("a state of another network is refused, and nothing has changed", async () => {
    const [one, other] = [await small(), await small({ train: "head" })];
    const before = await bytesOf(one);
    await expect(one.restore(await other.state())).rejects.toThrow(ModelError);
    expect(await bytesOf(one)).toBe(before);
    await Promise.all([one.dispose(), other.dispose()]);
  });
});
