/** Trainings that go on where they were when the process ended, and are not done twice. */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeAtomically } from "../../src/cli/output.ts";
import { type Progress, progress } from "../../src/cli/progress.ts";
import type { Dataset } from "../../src/runtimes/node.ts";
import { type EpochRecord, ModelError, type TrainNewOptions, train } from "../../src/runtimes/node.ts";
import type { Run } from "./run.ts";

/** A trained network. */
export interface Trained {
  /** A safetensors file. */
  readonly weights: Uint8Array<ArrayBuffer>;
  readonly history: readonly EpochRecord[];
}

/** What a finished training leaves beside its weights. */
interface Finished {
  readonly settings: string;
  readonly history: readonly EpochRecord[];
}

/**
 * Trains a network of the table, or takes what an earlier run of the same command has finished. A checkpoint is written after every
 * epoch and every ten minutes: the same command goes on from it.
 *
 * @param key names its files in the folder of state
 */
export async function trained(
  run: Run,
  key: string,
  arch: string,
  dataset: Dataset,
  options: TrainNewOptions,
): Promise<Trained> {
  const file = (end: string): string => join(run.state, `${key}.${end}`);
  const settings = JSON.stringify({ arch, images: dataset.examples.length, ...options });
  const finished = await readIfAny(file("json"));
  if (finished !== undefined) {
    const { settings: theirs, history } = JSON.parse(finished.toString()) as Finished;
    if (theirs === settings) {
      run.say(`${key}: trained before, taken from ${file("safetensors")}`);
      return { weights: new Uint8Array(await readFile(file("safetensors"))), history };
    }
  }
  const resume = await readIfAny(file("checkpoint"));
  let line: Progress | undefined;
  const say = (text: string): void => (line === undefined ? run.say(text) : line.say(text));
  const attempt = (from: Uint8Array | undefined): ReturnType<typeof train> =>
    train(arch, dataset, {
      ...options,
      ...{ threads: run.threads, signal: run.signal, ...(from && { resume: from }) },
      onCheckpoint: async (bytes) => {
        await writeAtomically(file("checkpoint"), [bytes]);
      },
      onProgress(seen) {
        if (seen.phase !== "train") return;
        const { epoch, epochs, step, steps, imagesPerSecond, loss, top1 } = seen;
        line ??= progress(false, { name: key, unit: "steps", total: steps });
        const rate = `${imagesPerSecond.toFixed(0)} images/s`;
        line.update(step, `${rate}  epoch ${epoch} of ${epochs}  loss ${loss.toFixed(3)}  ${percent(top1)}`);
      },
      onEpoch({ epoch, trainLoss, trainTop1, valTop1, imagesPerSecond }) {
        const validation = valTop1 === undefined ? "" : `, validation ${percent(valTop1)}`;
        const seen = `loss ${trainLoss.toFixed(4)}, training ${percent(trainTop1)}${validation}`;
        say(`${key}: epoch ${epoch}, ${seen}, ${imagesPerSecond} images/s`);
      },
    });
  try {
    const result = await attempt(resume).catch((error: unknown) => {
      // A checkpoint of other settings, or a damaged one.
      if (resume === undefined || !(error instanceof ModelError)) throw error;
      say(`${key}: not from ${file("checkpoint")}, which is another training's: ${error.message}`);
      return attempt(undefined);
    });
    const { bytes: weights, history } = result;
    await writeAtomically(file("safetensors"), [weights]);
    const done: Finished = { settings, history };
    await writeAtomically(file("json"), [new TextEncoder().encode(JSON.stringify(done))]);
    await rm(file("checkpoint"), { force: true });
    return { weights, history };
  } finally {
    line?.stop();
  }
}

export const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

async function readIfAny(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}
