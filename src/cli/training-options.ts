/** The options of `finetune` and `train`: those of the library's table, and those of the command line alone. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Kind, type Setup, TRAINING_OPTIONS, type TrainingOptions } from "../train/options.ts";
import { OWN } from "./options.ts";
import { share } from "./parse.ts";

interface Row {
  readonly kind: Kind<unknown>;
  readonly fallback: (typeof TRAINING_OPTIONS)["seed"]["fallback"];
  readonly flag?: string;
  readonly help?: string;
}

/** The rows that have a flag, by their names in the library. */
const ROWS = Object.entries(TRAINING_OPTIONS as Readonly<Record<string, Row>>).flatMap(([name, row]) =>
  row.flag === undefined ? [] : [{ ...row, name, flag: row.flag }],
);

/** A row's default, in a training from scratch or in the two kinds of fine-tuning. */
function defaultOf(at: number, isNew: boolean): string {
  const setups: readonly Setup[] = isNew ? ["scratch"] : ["head", "part"];
  const values = setups.map((setup) => {
    const chosen: Record<string, unknown> = {};
    for (const { name, fallback } of Object.values(ROWS).slice(0, at + 1)) {
      chosen[name] = fallback({ setup, images: Number.POSITIVE_INFINITY, isMultiLabel: false }, chosen);
    }
    return chosen[ROWS[at]!.name];
  });
  const [first, part = first] = values;
  if (first === undefined || typeof first === "boolean") return "";
  return first === part
    ? ` (default: ${first})`
    : ` (default: ${first}, or ${part} with --train of more than the head)`;
}

function optionOf({ kind, flag, help, name }: (typeof ROWS)[number], at: number, isNew: boolean): Option {
  const initial = name === "train" ? ` (default: ${isNew ? "all" : "head"})` : defaultOf(at, isNew);
  const option = new Option(flag, name === "loss" || name === "head" ? help : `${help}${initial}`);
  if (FIRST.includes(name)) option.helpGroup(OWN);
  if (kind.choices !== undefined) return option.choices(kind.choices as readonly string[]);
  if (kind.type !== "number") return option;
  return option.argParser((text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (!kind.accepts(value)) throw new InvalidArgumentError(`expected ${kind.expected}`);
    return value;
  });
}

/** Rows that most users look for. */
const FIRST: readonly string[] = ["train", "epochs"];

/** Adds what `finetune` and `train` share; `isNew`: from scratch. */
export function withTraining(command: Command, isNew: boolean): Command {
  command
    .requiredOption("--out <file>", "the safetensors file to write")
    .option("--labels <csv>", "lines of file,class, instead of folders")
    .option("--val <dir>", "images to validate with")
    .option("--val-split <share>", "share of the images held out for validation; 0.2 unless --val is given", share)
    .option("--resume", "continue from OUT.checkpoint, which a stopped run leaves")
    .option("--report <file>", "write an HTML report")
    .optionsGroup("How it learns:");
  ROWS.forEach((row, at) => {
    // From scratch there are no features to find a head by.
    if (!(isNew && row.name === "head")) command.addOption(optionOf(row, at, isNew));
  });
  return command;
}

/** The table's options among those that commander has parsed: `lr` is `learningRate` in the library. */
export function trainingOptionsOf(parsed: object): TrainingOptions {
  const given = parsed as Readonly<Record<string, unknown>>;
  const entries = ROWS.map(({ name, flag }) => [name, given[new Option(flag).attributeName()]] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}
