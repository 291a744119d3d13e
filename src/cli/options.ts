/** The options that every command has, and what they become. */
import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { LoadOptions } from "../classifier.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { BUILDS } from "../kernels.ts";
import { DEFAULT_MODEL, PRETRAINED } from "../models/pretrained.ts";
import { RESNETS } from "../models/resnet.ts";
import { PRESETS, type PresetName, type Triple } from "../preprocess.ts";
import { AUGMENTS } from "../train/augment.ts";
import { PARTS } from "../train/finetune.ts";
import { SCHEDULES } from "../train/schedules.ts";
import type { Tuning } from "../variants.ts";
import { downloadBar } from "./progress.ts";

/** Parsed common options, as commander hands them over. */
export interface CommonOptions {
  model: string;
  threads: number;
  build: "baseline" | "relaxed" | "auto";
  preprocess?: PresetName;
  mean?: Triple;
  std?: Triple;
  memory?: number;
  tuning?: string;
  arch?: string;
  stride?: "3x3" | "1x1";
  size?: number;
  epsilon?: number;
  cache?: string;
  offline?: boolean;
  quiet?: boolean;
  json?: boolean;
}

/** A whole number of at least `least`, or a usage error. */
export function whole(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least) throw new InvalidArgumentError(`expected a whole number from ${least}`);
    return value;
  };
}

function triple(text: string): Triple {
  const [r, g, b, ...rest] = text.split(",").map(Number);
  if (![r, g, b].every(Number.isFinite) || rest.length > 0)
    throw new InvalidArgumentError("expected three numbers R,G,B");
  return [r!, g!, b!];
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) throw new InvalidArgumentError("expected a number above 0");
  return value;
}

function deviation(text: string): Triple {
  const values = triple(text);
  if (values.some((value) => value <= 0)) throw new InvalidArgumentError("expected three numbers above 0");
  return values;
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** `200MB`, `1.5GiB` or plain bytes. */
export function byteCount(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? [];
  const scale = UNITS[(unit ?? "").toLowerCase()];
  if (number === undefined || scale === undefined) throw new InvalidArgumentError("expected bytes, as in 200MB");
  return Math.floor(Number(number) * scale);
}

/** Adds the common options to a command. */
export function withCommon(command: Command): Command {
  return command
    .addOption(new Option("--threads <n>", "threads to compute with").argParser(whole(1)).default(1))
    .addOption(new Option("--build <build>", "kernels to use").choices([...BUILDS, "auto"]).default("auto"))
    .addOption(new Option("--preprocess <preset>", "how pixels become the input").choices(Object.keys(PRESETS)))
    .option("--mean <R,G,B>", "mean of pixels scaled to 0…1", triple)
    .option("--std <R,G,B>", "standard deviation of pixels scaled to 0…1", deviation)
    .option("--tuning <file>", "times that the tune command measured")
    .option("--memory <bytes>", "budget for weights and activations, as in 200MB", byteCount)
    .addOption(new Option("--arch <name>", "the network, when the file does not tell").choices(Object.keys(RESNETS)))
    .addOption(
      new Option("--stride <where>", "a bottleneck's stride, when the file does not tell").choices(["3x3", "1x1"]),
    )
    .option("--epsilon <number>", "of batch norms, when the file does not tell", positive)
    .option("--size <pixels>", "side of the square input", whole(1))
    .option("--cache <dir>", "folder for downloads")
    .option("--offline", "never touch the network")
    .option("--quiet", "no progress, no remarks")
    .option("--json", "results as JSON");
}

/** A number of at least 0 and below 1, or a usage error. */
function share(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value < 1))
    throw new InvalidArgumentError("expected a number from 0, below 1");
  return value;
}

function fromZero(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value < Number.POSITIVE_INFINITY)) {
    throw new InvalidArgumentError("expected a number from 0");
  }
  return value;
}

/** Adds what `finetune` and `train` share. */
export function withTraining(command: Command): Command {
  return command
    .requiredOption("--out <file>", "the safetensors file to write")
    .addOption(new Option("--train <part>", "what is trained: all of it from scratch, else the head").choices(PARTS))
    .option("--epochs <n>", "times that every image is seen", whole(1))
    .option("--batch <n>", "images of a step", whole(1))
    .option("--accumulate <n>", "batches of a step, where memory is short", whole(1))
    .option("--lr <rate>", "the highest learning rate", positive)
    .addOption(new Option("--optimizer <name>", "how weights follow gradients").choices(["sgd", "adamw"]))
    .addOption(new Option("--schedule <name>", "how the learning rate changes").choices(SCHEDULES).default("cosine"))
    .option("--warmup <epochs>", "over which the learning rate rises", fromZero)
    .option("--momentum <m>", "of sgd", share)
    .option("--nesterov", "Nesterov's momentum")
    .option("--weight-decay <d>", "pulls weights to zero", fromZero)
    .option("--no-decay-norms", "weight decay spares biases and norms")
    .option("--label-smoothing <s>", "part of a label that is spread over all classes", share)
    .option("--clip <norm>", "largest norm of the gradient", positive)
    .option("--ema <share>", "keep an average of the weights, of which a step leaves this share", share)
    .addOption(new Option("--norms <kind>", "statistics of batch norms").choices(["live", "frozen"]))
    .addOption(new Option("--augment <how>", "how much images are varied").choices(AUGMENTS))
    .option("--labels <csv>", "lines of file,class")
    .option("--val <dir>", "images to validate with")
    .option("--val-split <share>", "share of the images kept for that, when there are no others; 0.2", share)
    .option("--seed <n>", "decides order, variations and new weights", whole(0))
    .option("--checkpoint-epochs <n>", "epochs from one checkpoint to the next", whole(1))
    .option("--checkpoint-minutes <n>", "minutes, in longer epochs", positive)
    .option("--resume", "go on from OUT.checkpoint, which a run leaves that was stopped")
    .option("--report <file>", "write a page about it, HTML");
}

/** Adds `--model`. */
export function withModel(command: Command): Command {
  const known = Object.keys(PRETRAINED).join(", ");
  return withCommon(command.option("--model <source>", `${known}, a path, or npm:package@version/path`, DEFAULT_MODEL));
}

/** Adds `--model`, which may come several times. */
export function withModels(command: Command): Command {
  const known = Object.keys(PRETRAINED).join(", ");
  const add = (source: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), source];
  return withCommon(
    command
      .addOption(
        new Option(
          "--model <source>",
          `${known}, a path …; several are averaged (default: "${DEFAULT_MODEL}")`,
        ).argParser(add),
      )
      .hook("preAction", (_, action) => {
        if (action.getOptionValue("model") === undefined) action.setOptionValue("model", [DEFAULT_MODEL]);
      }),
  );
}

/** 1 or 10, or a usage error. */
export function crops(text: string): number {
  if (text !== "1" && text !== "10") throw new InvalidArgumentError("expected 1 or 10");
  return Number(text);
}

/** Whole numbers with commas between them, or a usage error. */
export function sizes(text: string): readonly number[] {
  return text.split(",").map(whole(1));
}

/** The tuning in a file that `tune` wrote. Throws `ModelError` for any other file. */
export function readTuning(file: string | undefined): Tuning | undefined {
  if (file === undefined) return undefined;
  let parsed: Partial<Tuning> | null = null;
  try {
    parsed = JSON.parse(readFileSync(file, "utf8"));
  } catch {}
  if (parsed === null || typeof parsed.ms !== "object" || !BUILDS.some((build) => build === parsed.build)) {
    throw new ModelError("malformed", expectedGot(file, "what the tune command wrote", "something else, or nothing"));
  }
  return parsed as Tuning;
}

/** What `load` is called with. */
export function loadOptions(options: Omit<CommonOptions, "model">, signal: AbortSignal): LoadOptions {
  const { build, threads, arch, stride, epsilon, size, cache, offline, preprocess, mean, std, memory } = options;
  const given = { arch, stride, epsilon, size, cache, offline, preprocess, mean, std, memory };
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const tuning = readTuning(options.tuning);
  if (tuning !== undefined) Object.assign(present, { tuning });
  return { build, threads, signal, onProgress: downloadBar(options.quiet === true), ...present };
}

/** A TCP port, or a usage error. */
export function port(text: string): number {
  const value = whole(0)(text);
  if (value > 65535) throw new InvalidArgumentError("expected a port from 0 to 65535");
  return value;
}

/** Origins with commas between them, or a usage error. */
export function origins(text: string): readonly string[] {
  return text.split(",").map((origin) => {
    if (URL.canParse(origin) && /^https?:$/.test(new URL(origin).protocol)) return new URL(origin).origin;
    throw new InvalidArgumentError("expected origins, as in https://images.example.com");
  });
}
