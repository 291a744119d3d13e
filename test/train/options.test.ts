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
      else expect(["clip", "ema"]).toContain(name);
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
    const text = kind.choices?.[0] ?? (kind.accepts(1) ? values[kind.type]! : "0.5");
    return [{ name, args: kind.type === "boolean" ? [flag!] : [flag!, text] }];
  });
  const command = program(() => {}).commands.find((each) => each.name() === "finetune")!;
  command.parseOptions(["--out", "x", ...given.flatMap(({ args }) => args)]);
  const names = Object.keys(trainingOptionsOf(command.opts()));
  expect(names.sort()).toEqual(given.map(({ name }) => name).sort());
});
