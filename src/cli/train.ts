/** `resnet-wasm finetune DIR` and `resnet-wasm train`: a model of your own classes, here and now. */
import { readFile, rm } from "node:fs/promises";
import { nodeRuntime } from "../runtimes/node.ts";
import type { Dataset } from "../train/dataset.ts";
import {
  type Finetuned,
  type FinetuneOptions,
  finetuneWith,
  type TrainProgress,
  trainNewWith,
} from "../train/finetune.ts";
import type { HeadName, Part } from "../train/options.ts";
import type { EpochRecord } from "../train/state.ts";
import { DivergedError } from "../train/trainer.ts";
import { suspicion } from "./accuracy.ts";
import { openTraining, skippedRemark } from "./dataset.ts";
import { interruptible } from "./interrupt.ts";
import { type CommonOptions, inReplicas, loadOptions, onAllCores, workersOf } from "./options.ts";
import { checkSafetensorsName, checkWritable, writeAtomically } from "./output.ts";
import { type Progress, progress, type Work } from "./progress.ts";
import { remark } from "./terminal.ts";
import { trainingOptionsOf } from "./training-options.ts";

/** What both commands take beside the table of training options, which `trainingOptionsOf` reads. */
export interface TrainCommand extends CommonOptions {
  readonly out: string;
  readonly train?: Part;
  readonly head?: HeadName;
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
  const { train = "head" } = options;
  // The last layer alone is too little work to share.
  const training =
    train === "head" ? { ...options, train, threads: options.threads ?? 1 } : { ...onAllCores(options), train };
  remark(options.quiet, `features by ${workersOf(given)}, training by ${workersOf(training)}`);
  return run(source, training, (dataset, more, signal) => {
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
  const training = { ...onAllCores(options), train: options.train ?? "all" };
  remark(options.quiet, `training by ${workersOf(training)}`);
  return run(options.data, training, (dataset, more) => {
    const given = { ...(size === undefined ? {} : { size }), ...(preprocess === undefined ? {} : { preprocess }) };
    return trainNewWith(nodeRuntime(), options.arch, dataset, { ...more, ...given });
  });
}

type Teach = (dataset: Dataset, options: FinetuneOptions, signal: AbortSignal) => Promise<Finetuned>;

async function run(
  source: string,
  options: TrainCommand & { readonly threads: number; readonly train: Part },
  teach: Teach,
): Promise<number> {
  const signal = interruptible();
  const { out, quiet, json, report } = options;
  checkSafetensorsName(out);
  for (const file of report === undefined ? [out] : [out, report]) await checkWritable(file);
  const { train, val, skipped } = await openTraining(source, options, signal);
  const left = skippedRemark(skipped);
  if (left !== undefined) remark(quiet, left);
  const kept = `${out}.checkpoint`;
  const resume = options.resume ? await readIfAny(kept) : undefined;
  if (options.resume && resume === undefined) remark(quiet, `no ${kept}: starting from the beginning`);
  const seen = live(quiet === true);
  let isKept = resume !== undefined;
  let result: Finetuned;
  try {
    result = await teach(
      train,
      {
        ...trainingOptionsOf(options),
        ...{ threads: options.threads, build: options.build },
        ...(resume && { resume }),
        val: val ?? options.valSplit ?? VAL_SPLIT,
        signal,
        onProgress: seen.show,
        onEpoch: seen.epoch,
        async onCheckpoint(bytes) {
          await writeAtomically(kept, [bytes]);
          isKept = true;
        },
      },
      signal,
    );
  } catch (error) {
    seen.stop();
    if (isKept && (signal.aborted || error instanceof DivergedError))
      remark(false, `kept ${kept}; --resume goes on from there`);
    throw error;
  }
  seen.stop();
  for (const { message } of result.guesses) remark(quiet, `assumed: ${message}`);
  for (const message of new Set(result.failed)) process.stderr.write(`${message}\n`);
  await writeAtomically(out, [result.bytes]);
  await rm(kept, { force: true });
  if (report !== undefined) {
    const { trainingReport } = await import("./report/training.ts");
    const page = await trainingReport(result, {
      source,
      options,
      examples: (val ?? train).examples,
      featuresPerSecond: seen.featuresPerSecond(),
    });
    await writeAtomically(report, [new TextEncoder().encode(page)]);
  }
  if (result.leaveOneOut !== undefined) {
    const how = result.head === "ridge" ? "ridge regression on features" : "class means of features";
    const chosen = options.head === undefined ? "; --head logistic trains by epochs" : "";
    const share = `${(100 * result.leaveOneOut).toFixed(2)} %`;
    remark(quiet, `last layer by ${how}, without epochs: ${share} of images right when left out${chosen}`);
  }
  const { history, trainLoss, trainTop1, valTop1, valMap, classes } = result;
  // A step of the head alone has no image in it: features are what takes the time then.
  const imagesPerSecond = (options.train === "head" ? seen.featuresPerSecond() : undefined) ?? result.imagesPerSecond;
  // Of several labels an image there is no one answer.
  const answers = result.answers.flatMap((answer) => {
    const { label } = answer;
    return typeof label === "number" ? [{ ...answer, label, members: [] }] : [];
  });
  for (const text of suspicion(answers, classes.length, (index) => classes[index]!)) remark(quiet, text);
  const summary = {
    ...(result.leaveOneOut === undefined ? { epochs: history.length } : { leaveOneOut: result.leaveOneOut }),
    ...(result.head !== undefined && { head: result.head }),
    trainLoss,
    trainTop1,
    valTop1,
    ...(valMap !== undefined && { valMap, valClasses: result.valClasses }),
    imagesPerSecond,
    skipped: skipped.length,
    out,
  };
  const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
  const validation =
    valTop1 === undefined
      ? ""
      : `, validation ${percent(valTop1)}${valMap === undefined ? "" : `, mean average precision ${percent(valMap)}`}`;
  const unread = result.failed.length === 0 ? "" : `, ${result.failed.length} images could not be read`;
  process.stdout.write(
    json
      ? `${JSON.stringify(summary)}\n`
      : `${out}: ${result.classes.length} classes, training ${percent(trainTop1)}${validation}${unread}\n`,
  );
  return 0;
}

async function readIfAny(path: string): Promise<Uint8Array | undefined> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}

/** What is seen of a training: progress, and where that is not a terminal a line for each epoch. All of it on stderr. */
interface Live {
  show(progress: TrainProgress): void;
  epoch(record: EpochRecord): void;
  stop(): void;
  /** Images a second whose features were computed; absent where none were. */
  featuresPerSecond(): number | undefined;
}

function live(quiet: boolean): Live {
  let line: Progress | undefined;
  let phase = "";
  const features = { from: 0, to: 0, done: 0 };
  const stop = (): void => {
    line?.stop();
    line = undefined;
  };
  const begin = (next: string, work: Work): Progress => {
    if (line === undefined || phase !== next) {
      stop();
      phase = next;
      line = progress(quiet, work);
    }
    return line;
  };
  return {
    show(seen) {
      if (seen.phase === "plan") {
        const { memoryBytes, weights } = seen;
        const count = weights < 1e5 ? `${weights}` : `${(weights / 1e6).toFixed(2)} M`;
        remark(quiet, `needs ${(memoryBytes / 1e6).toFixed(0)} MB of memory; trains ${count} weights`);
        features.from = performance.now();
      } else if (seen.phase === "features") {
        const { done, total } = seen;
        Object.assign(features, { to: performance.now(), done });
        begin("features", { name: "features", total, unit: "images" }).update(done);
      } else {
        const { epoch, epochs, step, steps, loss, top1, imagesPerSecond } = seen;
        const name = seen.phase === "head" ? "training the last layer" : "training";
        const rate = seen.phase === "head" ? "" : `  ${imagesPerSecond.toFixed(0)} images/s`;
        const stands = `epoch ${epoch} of ${epochs}  loss ${loss.toFixed(4)}  right ${(100 * top1).toFixed(1)} %${rate}`;
        begin(seen.phase, { name, total: steps, unit: "steps" }).update(step, stands);
      }
    },
    epoch({ epoch, trainLoss, trainTop1, valTop1, imagesPerSecond }) {
      if (process.stderr.isTTY) return;
      const seen = valTop1 === undefined ? "" : `  validation ${(100 * valTop1).toFixed(2)} %`;
      const top1 = (100 * trainTop1).toFixed(2);
      // A step of the head alone has no image in it.
      const rate = phase === "head" ? "" : `  ${imagesPerSecond} images/s`;
      remark(quiet, `epoch ${epoch}  loss ${trainLoss.toFixed(4)}  training ${top1} %${seen}${rate}`);
    },
    stop,
    featuresPerSecond() {
      const ms = features.to - features.from;
      return features.done === 0 || ms <= 0 ? undefined : Number(((1000 * features.done) / ms).toFixed(1));
    },
  };
}
