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
import { slowNode } from "./node-age.ts";
import { byteCount, channels, deviation, positive, sides, whole } from "./parse.ts";
import { downloads } from "./progress.ts";
import { remark } from "./terminal.ts";
import { readTuning } from "./tuning-file.ts";

/** What `--model` takes. */
const SOURCES = `${Object.keys(PRETRAINED).join(", ")} (see resnet-wasm models), a path, owner/repo of Hugging Face (hf:owner/repo@revision), npm:package@version/path, https://…`;
/** A few of the names that `--arch` takes. */
const ARCH_EXAMPLES = Object.keys(RESNETS).slice(0, 4).join(", ");
/** Heading of a command's own options. */
export const OWN = "Options:";
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

/** How a command shares its work among cores: what `--threads` and `--replicas` are when they are absent. */
export type Sharing =
  /** Not at all: it computes little or nothing. */
  | "none"
  /** It does not compute, and plans for one thread. */
  | "planned"
  /** One thread, so that times compare. */
  | "measured"
  /** All cores share each image. */
  | "threads"
  /** Each core takes whole images. */
  | "replicas"
  /** Each core takes whole images, and then all of them share each step of a training. */
  | "both";

const TIMING = "1 for times that can be compared";
const THREADS: Readonly<Record<Exclude<Sharing, "none">, string>> = {
  planned: "threads to plan for (default: 1)",
  measured: "threads that share the work on each image (default: 1)",
  threads: `threads that share the work (default: one for each core); ${TIMING}`,
  replicas: `threads that share the work on each image, instead of --replicas; ${TIMING}`,
  both: `threads that share each training step (default: one for each core); ${TIMING}`,
};
const REPLICAS = {
  measured: "workers that each compute whole images, over one copy of the weights",
  replicas: "workers that each compute whole images (default: one for each core); memory for weights is needed once",
  both: "workers that each compute features of whole images (default: one for each core, unless --threads is given)",
};

/** Adds what says how a command computes. */
export function withSpeed(command: Command, sharing: Sharing): Command {
  command.optionsGroup("Speed and memory:");
  if (sharing !== "none") command.option("--threads <n>", THREADS[sharing], whole(1));
  if (sharing in REPLICAS) {
    command.option("--replicas <n>", REPLICAS[sharing as keyof typeof REPLICAS], whole(1));
  }
  return command
    .addOption(
      new Option("--build <build>", "WebAssembly kernels: relaxed is faster, where the engine has relaxed SIMD")
        .choices([...BUILDS, "auto"])
        .default("auto"),
    )
    .addOption(
      new Option("--vectors <bits>", "256 is faster on x86-64; auto takes it with Node versions that were tested")
        .choices(VECTORS)
        .default("auto"),
    )
    .hook("preAction", (_, action) => {
      const options = action.opts<CommonOptions>();
      switchVectors(options);
      const old = sharing === "none" || sharing === "planned" ? undefined : slowNode();
      if (old !== undefined) remark(options.quiet, old);
    });
}

/** How pixels become the network's input. */
export function presetOption(): Option {
  return new Option("--preprocess <preset>", "how photos become inputs: scaling, mean, order of colours").choices(
    Object.keys(PRESETS),
  );
}

/** The side of the network's input. */
export function sizeOption(): Option {
  return new Option("--size <pixels>", "of the network's input: the side of a square, or HxW").argParser(sides);
}

/** Adds what says about a model what its file may not. */
function withUnsaid(command: Command): Command {
  return command
    .optionsGroup("About the model, where its file does not say:")
    .option("--arch <name>", `the network: ${ARCH_EXAMPLES} …, or as inspect names it`)
    .addOption(sizeOption())
    .addOption(presetOption())
    .option("--mean <R,G,B>", "mean of pixels scaled to 0…1, or one number for gray", channels)
    .option("--std <R,G,B>", "standard deviation of pixels scaled to 0…1, or one number for gray", deviation)
    .option("--squash", "resize to the input's size without keeping proportions, and without a crop")
    .addOption(
      new Option("--output <kind>", "one class an image: softmax; any number: sigmoid; no classes: none").choices([
        "softmax",
        "sigmoid",
        "none",
      ]),
    )
    .addOption(new Option("--stride <where>", "which convolution of a bottleneck has stride 2").choices(["3x3", "1x1"]))
    .option("--epsilon <number>", "what batch norms add to the variance", positive)
    .option("--key <text>", "part of the tensors' names to take, in a file with several networks");
}

/** Adds what every command has. */
export function withGeneral(command: Command): Command {
  return command
    .optionsGroup("Downloads and messages:")
    .option("--cache <dir>", "folder for downloads")
    .option("--offline", "never use the network")
    .option("--quiet", "no progress, no remarks")
    .option("--json", "results as JSON")
    .addHelpOption(new Option("-h, --help", "this text").helpGroup("Downloads and messages:"));
}

/** Adds the options that commands share. They come last: own options are above them in the help. */
export function withCommon(command: Command, sharing: Sharing): Command {
  withSpeed(command, sharing)
    .option("--memory <bytes>", "limit for weights and activations, as in 200MB", byteCount)
    .option("--tuning <file>", "the file that the tune command wrote");
  return withGeneral(withUnsaid(command));
}

/** How a command decodes photos, where answers need not be those of PyTorch to the last digit. */
export function decodeOption(): Option {
  const description =
    "JPEGs: exact has the pixels of Python's Pillow; fast decodes large ones smaller, in half the time";
  return new Option("--decode <how>", description).choices(DECODE_MODES).default("exact");
}

/**
 * How a command computes many images: in replicas, one for each core, unless it was told otherwise. One image is computed
 * without.
 */
export function inReplicas<O extends Pick<CommonOptions, "threads" | "replicas">>(options: O, images: number): O {
  if (options.threads !== undefined || options.replicas !== undefined || images < 2) return options;
  return { ...options, replicas: Math.min(availableParallelism(), images) };
}

/** All cores share the work, unless the command was told otherwise. */
export function onAllCores<O extends Pick<CommonOptions, "threads">>(options: O): O & { readonly threads: number } {
  return { ...options, threads: options.threads ?? availableParallelism() };
}

/** In words, how a command computes. */
export function workersOf({ threads = 1, replicas }: Pick<CommonOptions, "threads" | "replicas">): string {
  const [count, noun] = replicas === undefined ? [threads, "thread"] : [replicas, "replica"];
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Adds `--model`, and what commands share. */
export function withModel(command: Command, sharing: Sharing): Command {
  const option = new Option("--model <source>", SOURCES);
  return withCommon(command.addOption(option.default(DEFAULT_MODEL).helpGroup(OWN)), sharing);
}

/** Adds `--model`, which may come several times, and what commands share. */
export function withModels(command: Command, sharing: Sharing): Command {
  const add = (source: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), source];
  return withCommon(
    command
      .addOption(
        new Option("--model <source>", `${SOURCES}; several are averaged (default: "${DEFAULT_MODEL}")`)
          .argParser(add)
          .helpGroup(OWN),
      )
      .hook("preAction", (_, action) => {
        if (action.getOptionValue("model") === undefined) action.setOptionValue("model", [DEFAULT_MODEL]);
      }),
    sharing,
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
  return { build, signal, onDownload: downloads(options.quiet === true), ...present };
}
