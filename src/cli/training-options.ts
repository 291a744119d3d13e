/** The options of `finetune` and `train`: those of the library's table, and those of the command line alone. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Kind, type Setup, TRAINING_OPTIONS, type TrainingOptions } from "../train/options.ts";
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

/** A row's default for each kind of training; one where all agree. */
function defaultOf(at: number): string {
  const values = (["head", "part", "scratch"] as const).map((setup: Setup) => {
    const chosen: Record<string, unknown> = {};
    for (const { name, fallback } of Object.values(ROWS).slice(0, at + 1)) {
      chosen[name] = fallback({ setup, images: Number.POSITIVE_INFINITY, isMultiLabel: false }, chosen);
    }
    return chosen[ROWS[at]!.name];
  });
  const [head, part, scratch] = values;
  if (head === undefined || typeof head === "boolean") return "";
  if (head === part && part === scratch) return ` (default: ${head})`;
  return ` (default: ${head} for the head, ${part} for more layers, ${scratch} from scratch)`;
}

function optionOf({ kind, flag, help, name }: (typeof ROWS)[number], at: number): Option {
  const option = new Option(flag, name === "train" || name === "loss" ? help : `${help}${defaultOf(at)}`);
  if (kind.choices !== undefined) return option.choices(kind.choices as readonly string[]);
  if (kind.type !== "number") return option;
  return option.argParser((text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (!kind.accepts(value)) throw new InvalidArgumentError(`expected ${kind.expected}`);
    return value;
  });
}

/** Adds what `finetune` and `train` share. */
export function withTraining(command: Command): Command {
  command.requiredOption("--out <file>", "the safetensors file to write");
  ROWS.forEach((row, at) => {
    command.addOption(optionOf(row, at));
  });
  return command
    .option("--labels <csv>", "lines of file,class")
    .option("--val <dir>", "images to validate with")
    .option("--val-split <share>", "share of the images held out for validation; 0.2 unless --val is given", share)
    .option("--resume", "continue from OUT.checkpoint, which a stopped run leaves")
    .option("--report <file>", "write an HTML report");
}

/** The table's options among those that commander has parsed: `lr` is `learningRate` in the library. */
export function trainingOptionsOf(parsed: object): TrainingOptions {
  const given = parsed as Readonly<Record<string, unknown>>;
  const entries = ROWS.map(({ name, flag }) => [name, given[new Option(flag).attributeName()]] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}
