/** `resnet-wasm finetune DIR` and `resnet-wasm train`: a model of your own classes, here and now. */
import { readFile, rm } from "node:fs/promises";
import { SingleBar } from "cli-progress";
import { nodeRuntime } from "../runtimes/node.ts";
import type { Dataset } from "../train/dataset.ts";
import {
  type Finetuned,
  type FinetuneOptions,
  finetuneWith,
  type TrainProgress,
  trainNewWith,
} from "../train/finetune.ts";
import type { Part } from "../train/options.ts";
import type { EpochRecord } from "../train/state.ts";
import { DivergedError } from "../train/trainer.ts";
import { suspicion } from "./accuracy.ts";
import { openTraining, skippedRemark } from "./dataset.ts";
import { interruptible } from "./interrupt.ts";
import { type CommonOptions, inReplicas, loadOptions, workersOf } from "./options.ts";
import { checkWritable, writeAtomically } from "./output.ts";
import { remark } from "./terminal.ts";
import { trainingOptionsOf } from "./training-options.ts";

/** What both commands take beside the table of training options, which `trainingOptionsOf` reads. */
export interface TrainCommand extends CommonOptions {
  readonly out: string;
  readonly train?: Part;
  readonly labels?: string;
  readonly val?: string;
  readonly valSplit?: number;
  readonly resume?: boolean;
  readonly report?: string;
}

/** The share that is kept for validation when the images bring none. */
const VAL_SPLIT = 0.2;

/** Fine-tunes a model on a folder of images. */
export async function finetune(source: string, options: TrainCommand): Promise<number> {
  const given = inReplicas(options, Number.POSITIVE_INFINITY);
  const { threads } = given;
  remark(
    options.quiet,
    `features by ${workersOf(given)}, training by ${workersOf(threads === undefined ? {} : { threads })}`,
  );
  return run(source, options, (dataset, more, signal) => {
    return finetuneWith(nodeRuntime(), options.model, dataset, {
      ...loadOptions(given, signal),
      ...more,
    });
  });
}

/** Trains a network from scratch. */
export async function trainNew(
  options: TrainCommand & { readonly arch: string; readonly data: string },
): Promise<number> {
  const { size, preprocess } = options;
  return run(options.data, options, (dataset, more) => {
    const given = { ...(size === undefined ? {} : { size }), ...(preprocess === undefined ? {} : { preprocess }) };
    return trainNewWith(nodeRuntime(), options.arch, dataset, { ...more, ...given });
  });
}

type Teach = (dataset: Dataset, options: FinetuneOptions, signal: AbortSignal) => Promise<Finetuned>;

async function run(source: string, options: TrainCommand, teach: Teach): Promise<number> {
  const signal = interruptible();
  const { out, quiet, json, report } = options;
  for (const file of report === undefined ? [out] : [out, report]) await checkWritable(file);
  const { train, val, skipped } = await openTraining(source, options, signal);
  const left = skippedRemark(skipped);
  if (left !== undefined) remark(quiet, left);
  const kept = `${out}.checkpoint`;
  const resume = options.resume ? await readIfAny(kept) : undefined;
  if (options.resume && resume === undefined) remark(quiet, `no ${kept}: starting from the beginning`);
  const live = liveLine(quiet === true || json === true);
  let isKept = resume !== undefined;
  let result: Finetuned;
  try {
    result = await teach(
      train,
      {
        ...trainingOptionsOf(options),
        ...{ threads: options.threads ?? 1, build: options.build },
        ...(resume && { resume }),
        val: val ?? options.valSplit ?? VAL_SPLIT,
        signal,
        onProgress: live.show,
        onEpoch: live.epoch,
        async onCheckpoint(bytes) {
          await writeAtomically(kept, [bytes]);
          isKept = true;
        },
      },
      signal,
    );
  } catch (error) {
    live.stop();
    if (isKept && (signal.aborted || error instanceof DivergedError))
      remark(false, `kept ${kept}; --resume goes on from there`);
    throw error;
  }
  live.stop();
  for (const { message } of result.guesses) remark(quiet, `assumed: ${message}`);
  for (const message of new Set(result.failed)) process.stderr.write(`${message}\n`);
  await writeAtomically(out, [result.bytes]);
  await rm(kept, { force: true });
  if (report !== undefined) {
    const { trainingReport } = await import("./report/training.ts");
    const page = await trainingReport(result, { source, options, examples: (val ?? train).examples });
    await writeAtomically(report, [new TextEncoder().encode(page)]);
  }
  const { history, trainLoss, trainTop1, valTop1, valMap, imagesPerSecond, classes } = result;
  // Of several labels an image there is no one answer.
  const answers = result.answers.flatMap((answer) => {
    const { label } = answer;
    return typeof label === "number" ? [{ ...answer, label, members: [] }] : [];
  });
  for (const text of suspicion(answers, classes.length, (index) => classes[index]!)) remark(quiet, text);
  const summary = {
    epochs: history.length,
    trainLoss,
    trainTop1,
    valTop1,
    ...(valMap !== undefined && { valMap, valClasses: result.valClasses }),
    imagesPerSecond,
    skipped: skipped.length,
    out,
  };
  const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
  const seen =
    valTop1 === undefined
      ? ""
      : `, validation ${percent(valTop1)}${valMap === undefined ? "" : `, mean average precision ${percent(valMap)}`}`;
  const unread = result.failed.length === 0 ? "" : `, ${result.failed.length} images could not be read`;
  process.stdout.write(
    json
      ? `${JSON.stringify(summary)}\n`
      : `${out}: ${result.classes.length} classes, training ${percent(trainTop1)}${seen}${unread}\n`,
  );
  return 0;
}

async function readIfAny(path: string): Promise<Uint8Array | undefined> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}

/** A line that moves on a terminal, a line an epoch elsewhere; silence when asked for. All of it on stderr. */
function liveLine(silent: boolean): {
  show(progress: TrainProgress): void;
  epoch(record: EpochRecord): void;
  stop(): void;
} {
  if (silent) return { show() {}, epoch() {}, stop() {} };
  let bar: SingleBar | undefined;
  let phase = "";
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  return {
    show(progress) {
      if (progress.phase === "plan") {
        const { memoryBytes, weights } = progress;
        remark(
          false,
          `needs ${(memoryBytes / 1e6).toFixed(0)} MB of memory; trains ${(weights / 1e6).toFixed(2)} M weights`,
        );
        return;
      }
      if (!process.stderr.isTTY) return;
      const isFeatures = progress.phase === "features";
      if (bar === undefined || phase !== progress.phase) {
        stop();
        phase = progress.phase;
        const format = isFeatures
          ? "features [{bar}] {value}/{total} | {eta_formatted} left"
          : "epoch {epoch} [{bar}] loss {loss} | {top1} % | {speed} images/s | {left} left";
        bar = new SingleBar({ format, stream: process.stderr, hideCursor: true, clearOnComplete: true });
        bar.start(isFeatures ? progress.total : progress.steps, 0, {
          epoch: "",
          loss: "",
          top1: "",
          speed: "",
          left: "",
        });
      }
      if (isFeatures) bar.update(progress.done);
      else {
        const { epoch, epochs, step, loss, top1, imagesPerSecond, msLeft } = progress;
        bar.update(step, {
          ...{ epoch: `${epoch}/${epochs}`, loss: loss.toFixed(4), top1: (100 * top1).toFixed(1) },
          ...{ speed: imagesPerSecond.toFixed(0), left: clock(msLeft) },
        });
      }
    },
    epoch({ epoch, trainLoss, trainTop1, valTop1, imagesPerSecond }) {
      if (process.stderr.isTTY) return;
      const seen = valTop1 === undefined ? "" : `  validation ${(100 * valTop1).toFixed(2)} %`;
      const top1 = (100 * trainTop1).toFixed(2);
      remark(
        false,
        `epoch ${epoch}  loss ${trainLoss.toFixed(4)}  training ${top1} %${seen}  ${imagesPerSecond} images/s`,
      );
    },
    stop,
  };
}

/** Minutes and seconds. */
function clock(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, "0")}`;
}
