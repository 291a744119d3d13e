/** The options that every command has, and what they become. */
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import type { LoadOptions } from "../classifier.ts";
import { DECODE_MODES, type DecodeMode } from "../decode/wanted.ts";
import { BUILDS } from "../kernels.ts";
import { DEFAULT_MODEL, PRETRAINED } from "../models/pretrained.ts";
import { RESNETS } from "../models/resnet.ts";
import type { OutputKind } from "../output.ts";
import { PRESETS, type PresetName, type Sides } from "../preprocess.ts";
import { enableWideVectors, isWideTested } from "../runtimes/node-vectors.ts";
import { byteCount, channels, deviation, positive, sides, whole } from "./parse.ts";
import { downloadBar } from "./progress.ts";
import { remark } from "./terminal.ts";
import { readTuning } from "./tuning-file.ts";

/** What `--model` takes. */
const SOURCES = `${Object.keys(PRETRAINED).join(", ")} (see resnet-wasm models), a path, owner/repo of Hugging Face (hf:owner/repo@revision), npm:package@version/path, https://…`;
/** A few of the names that `--arch` takes. */
const ARCH_EXAMPLES = Object.keys(RESNETS).slice(0, 4).join(", ");
const VECTORS = ["auto", "128", "256"] as const;

/** Applies `--vectors` before anything is compiled. `auto` packs where the kernels were tested with the V8 that runs this. */
function switchVectors({ vectors, quiet }: CommonOptions): void {
  if (vectors === "auto" && isWideTested()) enableWideVectors();
  if (vectors !== "256" || enableWideVectors()) return;
  remark(quiet, "vectors: 128 bits, because 256 needs Node 24 or newer on x86-64");
}

/** Parsed common options, as commander hands them over. */
export interface CommonOptions {
  model: string;
  threads?: number;
  replicas?: number;
  build: "baseline" | "relaxed" | "auto";
  vectors?: (typeof VECTORS)[number];
  preprocess?: PresetName;
  mean?: readonly number[];
  std?: readonly number[];
  memory?: number;
  tuning?: string;
  arch?: string;
  stride?: "3x3" | "1x1";
  size?: Sides;
  squash?: boolean;
  output?: OutputKind;
  key?: string;
  epsilon?: number;
  decode?: DecodeMode;
  cache?: string;
  offline?: boolean;
  quiet?: boolean;
  json?: boolean;
}

/** Adds the common options to a command. */
export function withCommon(command: Command): Command {
  return command
    .addOption(new Option("--threads <n>", "threads that share the computing of each image; 1").argParser(whole(1)))
    .addOption(new Option("--build <build>", "kernels to use").choices([...BUILDS, "auto"]).default("auto"))
    .addOption(
      new Option(
        "--vectors <bits>",
        "256 lets V8 pack pairs of SIMD operations, half as fast again; auto does so with V8 versions that were tested",
      )
        .choices(VECTORS)
        .default("auto"),
    )
    .hook("preAction", (_, action) => switchVectors(action.opts<CommonOptions>()))
    .addOption(new Option("--preprocess <preset>", "how pixels become the input").choices(Object.keys(PRESETS)))
    .option("--mean <R,G,B>", "mean of pixels scaled to 0…1, or one number for gray", channels)
    .option("--std <R,G,B>", "standard deviation of pixels scaled to 0…1, or one number for gray", deviation)
    .option("--tuning <file>", "the file that the tune command wrote")
    .option("--memory <bytes>", "budget for weights and activations, as in 200MB", byteCount)
    .option("--arch <name>", `the network, where the file does not say: ${ARCH_EXAMPLES} …, or as inspect names it`)
    .addOption(
      new Option("--stride <where>", "a bottleneck's stride, where the file does not say").choices(["3x3", "1x1"]),
    )
    .option("--epsilon <number>", "of batch norms, where the file does not say", positive)
    .option("--size <pixels>", "of the input: one side of a square, or HxW", sides)
    .option("--squash", "resize to the input's size without keeping proportions, and without a crop")
    .addOption(
      new Option("--output <kind>", "what the outputs are, where the file does not say").choices([
        "softmax",
        "sigmoid",
        "none",
      ]),
    )
    .option("--key <text>", "part of the names of the network to take, where the file holds several")
    .option("--cache <dir>", "folder for downloads")
    .option("--offline", "never use the network")
    .option("--quiet", "no progress, no remarks")
    .option("--json", "results as JSON");
}

/** How a command decodes photos, where answers need not be those of PyTorch to the last digit. */
export function decodeOption(): Option {
  const description = "JPEGs: exact has every pixel as Pillow does; fast takes large ones at 1/2, 1/4 or 1/8";
  return new Option("--decode <how>", description).choices(DECODE_MODES).default("exact");
}

/** Adds `--replicas`, for commands of many images. */
export function withReplicas(command: Command): Command {
  const help =
    "workers that each compute whole images, over one copy of the weights; as many as cores unless --threads is given";
  return command.option("--replicas <n>", help, whole(1));
}

/**
 * How a command computes many images: in replicas, one for each core, unless it was told otherwise. One image is computed
 * without.
 */
export function inReplicas<O extends Pick<CommonOptions, "threads" | "replicas">>(options: O, images: number): O {
  if (options.threads !== undefined || options.replicas !== undefined || images < 2) return options;
  return { ...options, replicas: Math.min(availableParallelism(), images) };
}

/** In words, how a command computes. */
export function workersOf({ threads = 1, replicas }: Pick<CommonOptions, "threads" | "replicas">): string {
  const [count, noun] = replicas === undefined ? [threads, "thread"] : [replicas, "replica"];
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Adds `--model`. */
export function withModel(command: Command): Command {
  return withCommon(command.option("--model <source>", SOURCES, DEFAULT_MODEL));
}

/** Adds `--model`, which may come several times. */
export function withModels(command: Command): Command {
  const add = (source: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), source];
  return withCommon(
    command
      .addOption(
        new Option("--model <source>", `${SOURCES}; several are averaged (default: "${DEFAULT_MODEL}")`).argParser(add),
      )
      .hook("preAction", (_, action) => {
        if (action.getOptionValue("model") === undefined) action.setOptionValue("model", [DEFAULT_MODEL]);
      }),
  );
}

/** What `load` is called with. */
export function loadOptions(options: Omit<CommonOptions, "model">, signal: AbortSignal): LoadOptions {
  const { build, threads, replicas, arch, key, output, stride, epsilon, size, squash } = options;
  const { preprocess, mean, std, cache, offline, memory: memoryBytes, decode } = options;
  const given = {
    ...{ arch, key, output, stride, epsilon, size, squash },
    ...{ preprocess, mean, std, cache, offline, memoryBytes, threads, replicas, decode },
  };
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const tuning = readTuning(options.tuning);
  if (tuning !== undefined) Object.assign(present, { tuning });
  if (options.vectors === "128") Object.assign(present, { vectors: 128 });
  return { build, signal, onDownload: downloadBar(options.quiet === true), ...present };
}
