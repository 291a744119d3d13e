/** The table of training options: each row's check and default, and what a resumed run must share. */
import { describe, expect, test } from "vitest";
import { program } from "../../src/cli/program.ts";
import { trainingOptionsOf } from "../../src/cli/training-options.ts";
import { fingerprintOf, resolveOptions, resolveStepOptions, TRAINING_OPTIONS } from "../../src/train/options.ts";

const CONTEXT = { isNew: false, images: 1000, isMultiLabel: false };
const ROWS = Object.entries(TRAINING_OPTIONS);

describe.each(ROWS)("%s", (name, row) => {
  test("refuses another type, and what its row does not accept", () => {
    const other = row.kind.type === "string" ? 1 : "text";
    const wrong = expect.objectContaining({ option: name });
    expect(() => resolveOptions({ [name]: other }, CONTEXT)).toThrow(wrong);
    const outside = { number: Number.NaN, string: "text", boolean: null }[row.kind.type];
    expect(() => resolveOptions({ [name]: outside }, CONTEXT)).toThrow(wrong);
  });
  test("accepts its own default", () => {
    for (const isNew of [false, true]) {
      const value = (resolveOptions({}, { ...CONTEXT, isNew }) as Readonly<Record<string, unknown>>)[name];
      if (value !== undefined) expect(row.kind.accepts(value)).toBe(true);
      else expect(["clip", "ema", "patience", "folds"]).toContain(name);
    }
  });
});

test("defaults follow from what is trained, and from each other", () => {
  expect(resolveOptions({}, CONTEXT)).toMatchObject({
    train: "head",
    epochs: 40,
    optimizer: "adamw",
    learningRate: 2e-3,
  });
  expect(resolveOptions({ train: "all" }, CONTEXT)).toMatchObject({ epochs: 8, optimizer: "sgd", weightDecay: 1e-4 });
  expect(resolveOptions({ optimizer: "sgd" }, CONTEXT)).toMatchObject({ learningRate: 0.01, weightDecay: 1e-4 });
  expect(resolveOptions({}, { ...CONTEXT, isNew: true, images: 50 })).toMatchObject({
    train: "all",
    batch: 50,
    norms: "live",
  });
  expect(resolveStepOptions({})).toMatchObject({ train: "all", batch: 32, optimizer: "sgd", learningRate: 0.01 });
});

test("uneven sets are weighed, where classes exclude each other", () => {
  const weighing = (context: object): unknown => resolveOptions({}, { ...CONTEXT, ...context }).classWeights;
  expect(weighing({})).toBe("none");
  expect(weighing({ imbalance: 1.9 })).toBe("none");
  expect(weighing({ imbalance: 2 })).toBe("balanced");
  expect(weighing({ imbalance: 9, isMultiLabel: true })).toBe("none");
});

test("the head is solved for where that gives all that is asked: few images, even classes, no option of epochs", () => {
  const headOf = (options: object, context: object = {}): unknown =>
    resolveOptions(options, { ...CONTEXT, ...context }).head;
  expect(headOf({})).toBe("ridge");
  expect(headOf({ folds: 2, flips: true, features: "int8" })).toBe("ridge");
  expect(headOf({}, { images: 1001 })).toBe("logistic");
  expect(headOf({}, { imbalance: 2 })).toBe("logistic");
  expect(headOf({ mixup: 0.2 })).toBe("logistic");
  expect(resolveOptions({ head: "ridge" }, { ...CONTEXT, imbalance: 2 }).classWeights).toBe("none");
});

test("features of the head have one view, unless variations are asked for", () => {
  const augmentOf = (options: object): unknown => resolveOptions(options, CONTEXT).augment;
  expect(augmentOf({})).toBe("none");
  expect(augmentOf({ randAugment: 5 })).toBe("light");
  expect(augmentOf({ erase: 0.3 })).toBe("light");
  expect(augmentOf({ train: "layer4" })).toBe("standard");
});

test("the best epoch is kept where training may end early", () => {
  expect(resolveOptions({}, CONTEXT).keep).toBe("last");
  expect(resolveOptions({ patience: 3 }, CONTEXT).keep).toBe("best");
  expect(resolveOptions({ patience: 3, keep: "last" }, CONTEXT).keep).toBe("last");
});

test.each([
  [{ cutmix: 1 }, "cutmix"],
  [{ augment: "none", randAugment: 5 }, "randAugment"],
  [{ augment: "none", erase: 0.5 }, "erase"],
  [{ train: "layer4", headWarmup: 8 }, "headWarmup"],
  [{ loss: "bce", classWeights: "balanced" }, "classWeights"],
  [{ head: "ridge", classWeights: "balanced" }, "classWeights"],
  [{ folds: 1001 }, "folds"],
] as const)("%j is refused", (options, option) => {
  expect(() => resolveOptions(options, CONTEXT)).toThrow(expect.objectContaining({ option }));
});

test("a fingerprint holds every option but those that change no result", () => {
  const names = Object.keys(fingerprintOf(resolveOptions({}, CONTEXT)));
  const exempt = ROWS.map(([name]) => name).filter((name) => !names.includes(name));
  expect(exempt).toEqual(["head", "checkpointEpochs", "checkpointMinutes"]);
});

test("every flag of the command line arrives under the library's name", async () => {
  const values: Readonly<Record<string, string>> = { number: "1", string: "", boolean: "" };
  const given = ROWS.flatMap(([name, row]) => {
    if (!("flag" in row) || row.flag === undefined) return [];
    const [flag] = row.flag.split(" ");
    const kind = row.kind as {
      readonly type: string;
      readonly choices?: readonly string[];
      accepts(value: unknown): boolean;
    };
    const text = kind.choices?.[0] ?? (kind.accepts(1) ? values[kind.type]! : kind.accepts(2) ? "2" : "0.5");
    return [{ name, args: kind.type === "boolean" ? [flag!] : [flag!, text] }];
  });
  const command = program(() => {}).commands.find((each) => each.name() === "finetune")!;
  command.parseOptions(["--out", "x", ...given.flatMap(({ args }) => args)]);
  const names = Object.keys(trainingOptionsOf(command.opts()));
  expect(names.sort()).toEqual(given.map(({ name }) => name).sort());
});
