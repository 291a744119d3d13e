/** States of a training: what was damaged is refused by name, and nothing else comes out of it. */
import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { ModelError } from "../../src/errors.ts";
import { uniform } from "../../src/models/random.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { load, nodeRuntime } from "../../src/runtimes/node.ts";
import { ImageSet } from "../../src/train/dataset.ts";
import { type Finetuned, type FinetuneOptions, trainNewWith } from "../../src/train/finetune.ts";
import { initialise } from "../../src/train/initialise.ts";
import { readState, writeState } from "../../src/train/state.ts";
import { trainWith } from "../../src/train/trainer.ts";

const SPEC: ResNetSpec = { ...resnetSpec("resnet20"), depths: [1, 1, 1], width: 4, classes: 2 };
const GRAPH = resnet("small", SPEC, [8, 8, 3]);
const EXPECTED = { fingerprint: { seed: 1, classes: ["a", "b"] }, epochs: 3, stepsPerEpoch: 4 };
const RECORD = {
  ...{ epoch: 1, learningRate: 0.1, trainLoss: 0.7, trainTop1: 0.5, valLoss: 0.7, valTop1: 0.5, imagesPerSecond: 9 },
  gradNorms: { conv1: 1 },
  layerGradNorms: { conv1: 1 },
};
const POSITION = { epoch: 1, step: 2, loss: 1.5, correct: 3, seen: 8 };

const trainer = () =>
  trainWith(
    nodeRuntime(),
    { source: "small", graph: GRAPH, checkpoint: initialise(GRAPH, 1) },
    { batch: 2, optimizer: "adamw", ema: 0.9 },
  );

let valid: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  const one = await trainer();
  await one.step(new Float32Array(2 * 8 * 8 * 3).fill(0.5), Int32Array.from([0, 1]));
  valid = writeState({ trainer: await one.state(), position: POSITION, history: [RECORD] }, EXPECTED.fingerprint);
  await one.dispose();
});

/** Reads a state and puts a trainer into it, as a training that goes on does. */
async function resume(bytes: Uint8Array): Promise<void> {
  const state = await readState(bytes, EXPECTED);
  const one = await trainer();
  try {
    await one.restore(state.trainer);
    for (const { name, dtype, bytes } of await one.tensors()) {
      const values = dtype === "F32" ? new Float32Array(bytes.slice().buffer) : [];
      expect(values.every(Number.isFinite), name).toBe(true);
    }
  } finally {
    await one.dispose();
  }
}

test("a state that nobody touched is read as it was", async () => {
  const { position, history, trainer } = await readState(valid, EXPECTED);
  expect({ position, history, step: trainer.step }).toEqual({ position: POSITION, history: [RECORD], step: 1 });
  await resume(valid);
});

test("3000 mutants: every one is a ModelError", async () => {
  const next = uniform(5);
  const whole = (below: number): number => Math.floor(next() * below);
  const header = 8 + Number(new DataView(valid.buffer).getBigUint64(0, true));
  for (let i = 0; i < 3000; ++i) {
    let bytes = new Uint8Array(valid);
    const at = i % 2 === 0 ? whole(header) : whole(bytes.length);
    const kind = i % 5;
    if (kind === 0) bytes = bytes.slice(0, at);
    else if (kind === 1) bytes[at]! ^= 1 << whole(8);
    else if (kind === 2) bytes.copyWithin(at, whole(bytes.length), whole(bytes.length));
    else if (kind === 3) bytes.fill(whole(256), at, at + 1 + whole(16));
    else new DataView(bytes.buffer).setUint32(Math.min(at, bytes.length - 4), whole(2 ** 32), true);
    if (Buffer.compare(bytes, valid) === 0) continue;
    await expect(resume(bytes), `mutant ${i}`).rejects.toBeInstanceOf(ModelError);
  }
}, 300_000);

describe("fields that are wrong though the checksum is right", () => {
  const wrong: readonly unknown[] = [undefined, null, true, -1, 1.5, 1e300, "1", [], {}, [1], 2 ** 53];
  const paths = ["position", "history", "fingerprint", "step", "batches"];
  const inner = Object.keys(POSITION).map((key) => `position.${key}`);
  const records = Object.keys(RECORD).map((key) => `history.0.${key}`);
  test.each([...paths, ...inner, ...records])("%s", async (path) => {
    const file = await readState(valid, EXPECTED);
    let refused = 0;
    for (const value of wrong) {
      const { step, batches, tensors } = file.trainer;
      const state = structuredClone({
        ...{ fingerprint: EXPECTED.fingerprint, step, batches, position: POSITION, history: [RECORD] },
      }) as unknown as Record<string, Record<string, unknown>>;
      const keys = path.split(".");
      const owner = keys.slice(0, -1).reduce((at, key) => at[key] as never, state) as Record<string, unknown>;
      owner[keys.at(-1)!] = value;
      const made = { trainer: { ...(state as object), tensors } as never, ...(state as object) } as never;
      const bytes = writeState(made, state.fingerprint as never);
      try {
        await resume(bytes);
      } catch (error) {
        expect(error, `${path} ${value}`).toBeInstanceOf(ModelError);
        refused += 1;
      }
    }
    // A number may be as good as another; nothing else is.
    expect(refused).toBeGreaterThanOrEqual(wrong.length - 4);
  });
  test.each([
    ["not a number", Number.NaN],
    ["infinite", Number.POSITIVE_INFINITY],
  ])("a weight that is %s", async (_, value) => {
    const { trainer: state } = await readState(valid, EXPECTED);
    for (const name of ["conv1.weight", "optimizer.0.fc.bias", "average.fc.weight", "bn1.running_var"]) {
      const tensors = state.tensors.map((each) => {
        const bytes = each.bytes.slice();
        if (each.name === name) new DataView(bytes.buffer).setFloat32(0, value, true);
        return { ...each, bytes };
      });
      const bytes = writeState(
        { trainer: { ...state, tensors }, position: POSITION, history: [RECORD] },
        EXPECTED.fingerprint,
      );
      await expect(resume(bytes)).rejects.toMatchObject({ name: "ModelError", subject: name });
    }
  });
  test("another option is named", async () => {
    const other = { ...EXPECTED, fingerprint: { seed: 2, classes: ["a", "b"] } };
    await expect(readState(valid, other)).rejects.toMatchObject({ code: "metadata", subject: "seed" });
  });
  test("a file of weights is no state", async () => {
    const file = await load(await trained());
    await file.dispose();
    await expect(readState(await trained(), EXPECTED)).rejects.toMatchObject({ code: "not-a-model" });
  });
});

const SET = new ImageSet();
for (let i = 0; i < 9; ++i) {
  const data = new Uint8Array(4 * 16 * 16).map((_, p) => (i % 2 === 0 ? p * 7 : p * 31) & 255);
  SET.add({ width: 16, height: 16, data }, i % 2 === 0 ? "a" : "b", `${i}`);
}
const OPTIONS = { epochs: 3, batch: 4, size: 16, seed: 3 } as const;
const train = (options: FinetuneOptions = {}): Promise<Finetuned> =>
  trainNewWith(nodeRuntime(), "resnet20", SET, { ...OPTIONS, ...options });
const trained = async (): Promise<Uint8Array> => (await train()).bytes;
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("a training", () => {
  test("of nine images, four a step, has no step of one: two steps an epoch, and every state goes on to the same bytes", async () => {
    const states: Uint8Array[] = [];
    const steps: number[] = [];
    const whole = await train({
      onCheckpoint: (bytes) => void states.push(bytes),
      checkpointMinutes: 1e-9,
      onProgress(progress) {
        if (progress.phase === "train") steps.push(progress.steps);
      },
    });
    expect(new Set(steps)).toEqual(new Set([6]));
    expect(states.length).toBeGreaterThan(3);
    for (const resume of states) expect(digest((await train({ resume })).bytes)).toBe(digest(whole.bytes));
  }, 60_000);
  test("does not go on with other images or another beginning", async () => {
    let state: Uint8Array | undefined;
    await train({
      onCheckpoint(bytes) {
        state ??= bytes;
      },
    });
    const others = { classes: SET.classes, examples: SET.examples.map((each) => ({ ...each, name: `x${each.name}` })) };
    const going = trainNewWith(nodeRuntime(), "resnet20", others, { ...OPTIONS, resume: state! });
    await expect(going).rejects.toMatchObject({ code: "metadata", subject: "images" });
    await expect(train({ seed: 4, resume: state! })).rejects.toMatchObject({ code: "metadata" });
  });
  test("with live norms takes no batch of one", async () => {
    await expect(train({ batch: 1 })).rejects.toMatchObject({ option: "batch" });
  });
  test("whose weights stop being finite in its last step is no model", async () => {
    const going = train({ epochs: 1, batch: 9, learningRate: 3e38, schedule: "constant", warmup: 0 });
    await expect(going).rejects.toMatchObject({ name: "DivergedError" });
  });
});
