/**
 * The loop of a training: epochs of steps, a look at the validation set after each, and states to go on from. It knows
 * no images: batches come from a source, which may prepare the next while the current one is computed.
 */

import { letEventsRun, untilAborted } from "../abort.ts";
import { DatasetError, DivergedError, expectedGot } from "../errors.ts";
import { seedFrom } from "../models/random.ts";
import { bestOf } from "./best.ts";
import { shuffled } from "./dataset.ts";
import { gradNormsOf } from "./grad-norms.ts";
import type { Kept } from "./options.ts";
import { bodyRateAt, rateAt, type Schedule } from "./schedules.ts";
import type { Batch, BatchSource } from "./sources.ts";
import { type EpochRecord, type Position, readState, writeState } from "./state.ts";
import type { Trainer } from "./trainer.ts";
import type { Snapshot } from "./trainer-state.ts";
import { groupsOf, validate } from "./validate.ts";

/** How things stand in the middle of it. */
export interface FitProgress {
  readonly epoch: number;
  readonly epochs: number;
  /** Steps done in all, and to be done. */
  readonly step: number;
  readonly steps: number;
  /** Of the epoch so far. */
  readonly loss: number;
  readonly top1: number;
  readonly imagesPerSecond: number;
  readonly msLeft: number;
}

export interface FitOptions {
  readonly epochs: number;
  /** Images of a step. */
  readonly batch: number;
  /** Whether no step may have one image only: norms use the statistics of the batch. */
  readonly joinsLast: boolean;
  /** The highest. */
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** Epochs, or a part of one, over which the rate rises. */
  readonly warmup: number;
  readonly seed: number;
  /** Epochs, or a part of one, in which the head alone learns. */
  readonly headWarmup: number;
  /** Epochs without a better one before it ends. */
  readonly patience: number | undefined;
  /** Whether the weights in the end are those of the last epoch, or of the best. */
  readonly keep: Kept;
  /** Whether what is validated, and kept, is the average of the weights. */
  readonly averaged: boolean;
  readonly signal: AbortSignal | undefined;
  /** What a checkpoint keeps beside, for the caller. */
  readonly notes: unknown;
  /** Everything a checkpoint must agree with. */
  readonly fingerprint: Readonly<Record<string, unknown>>;
  readonly resume: Uint8Array | undefined;
  /** A checkpoint is made after so many epochs, and after so many minutes where an epoch is longer. */
  readonly checkpointEpochs: number;
  readonly checkpointMinutes: number;
  readonly onCheckpoint: ((bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>) | undefined;
  readonly onProgress: ((progress: FitProgress) => void) | undefined;
  readonly onEpoch: ((record: EpochRecord) => void) | undefined;
}

/** An epoch's examples, step by step; with `joinsLast`, a last one that is alone belongs to the step before. */
function stepsOf(order: readonly number[], batch: number, joinsLast: boolean): readonly (readonly number[])[] {
  const groups = groupsOf(order, batch);
  if (!joinsLast || groups.length < 2 || groups.at(-1)!.length > 1) return groups;
  return [...groups.slice(0, -2), [...groups.at(-2)!, ...groups.at(-1)!]];
}

/** A mean with so many digits that a record reads well; the weights do not depend on it. */
const short = (value: number): number => Number(value.toPrecision(6));

/**
 * Runs a training to its end, from its beginning or from a checkpoint; the same bytes either way.
 *
 * @param val views of the validation set, whose answers are averaged; none without one
 * @returns a record for each epoch
 * @throws DivergedError when loss or gradients stop being finite: checkpoints made before it stand; the signal's reason
 * when it aborts, after a last checkpoint; DatasetError (`empty`) when no image can be read; ModelError for a state that
 * is damaged or another training's
 */
export async function fit(
  trainer: Trainer,
  train: BatchSource,
  val: readonly BatchSource[],
  options: FitOptions,
): Promise<readonly EpochRecord[]> {
  const { epochs, batch, joinsLast, schedule, seed, signal, averaged, fingerprint } = options;
  const stepsIn = (epoch: number): readonly (readonly number[])[] =>
    stepsOf([...shuffled(train.count, seedFrom(seed, epoch))], batch, joinsLast);
  const perEpoch = stepsIn(0).length;
  const steps = epochs * perEpoch;
  const warmup = Math.round(options.warmup * perEpoch);
  const headWarmup = Math.round(options.headWarmup * perEpoch);
  const history: EpochRecord[] = [];
  let position = startOf(0);
  let best: Snapshot | undefined;
  if (options.resume !== undefined) {
    const state = await readState(options.resume, { fingerprint, epochs, stepsPerEpoch: perEpoch });
    await trainer.restore(state.trainer);
    history.push(...state.history);
    position = state.position;
    best = state.best;
  }
  let saved = performance.now();
  const save = async (at: Position): Promise<void> => {
    if (options.onCheckpoint !== undefined) {
      const state = { trainer: await trainer.state(), position: at, history, best };
      await options.onCheckpoint(writeState(state, fingerprint, options.notes));
    }
    saved = performance.now();
  };
  const isDue = (): boolean => performance.now() - saved >= 60_000 * options.checkpointMinutes;
  const began = { time: performance.now(), step: position.epoch * perEpoch + position.step };
  for (; position.epoch < epochs; position = startOf(position.epoch + 1)) {
    const { epoch } = position;
    const groups = stepsIn(epoch);
    const start = { time: performance.now(), seen: position.seen };
    let { learningRate } = options;
    let coming = train.batch(groups[position.step]!, epoch);
    for (let i = position.step; i < groups.length; ++i) {
      let next: Batch;
      try {
        next = await untilAborted(coming, signal);
        await letEventsRun(signal);
      } catch (error) {
        if (signal?.aborted === true) await save(position);
        throw error;
      }
      const { images, labels, indices } = next;
      if (i + 1 < groups.length) coming = train.batch(groups[i + 1]!, epoch);
      coming.catch(() => {});
      const done = epoch * perEpoch + i;
      learningRate = rateAt(schedule, options.learningRate, done, steps, warmup);
      trainer.learningRate = learningRate;
      trainer.bodyRate = bodyRateAt(done, headWarmup, warmup);
      const count = indices.length;
      // Where all others of a step could not be read, one image alone has no statistics for live norms.
      const isComputed = count > 1 || (count === 1 && !joinsLast);
      const { loss, correct } = isComputed ? await trainer.step(images, labels) : { loss: 0, correct: 0 };
      position = {
        epoch,
        step: i + 1,
        loss: position.loss + loss * count,
        correct: position.correct + correct,
        seen: position.seen + (isComputed ? count : 0),
      };
      const now = performance.now();
      options.onProgress?.({
        ...{ epoch: epoch + 1, epochs, step: done + 1, steps },
        loss: position.loss / Math.max(1, position.seen),
        top1: position.correct / Math.max(1, position.seen),
        imagesPerSecond: (1000 * (position.seen - start.seen)) / Math.max(1, now - start.time),
        msLeft: ((now - began.time) / (done + 1 - began.step)) * (steps - done - 1),
      });
      if (i + 1 < groups.length && isDue()) await save(position);
    }
    if (position.seen === 0) {
      throw new DatasetError("empty", expectedGot("training set", "images that can be read", "none"));
    }
    const ms = performance.now() - start.time;
    const { stages, layers } = gradNormsOf(trainer.graph, await trainer.gradients());
    const seen = val.length === 0 ? undefined : await validate(trainer, val, batch, averaged, signal);
    const isLast = epoch + 1 === epochs;
    // The last update has had no loss computed with it yet.
    const loss = seen?.loss ?? (isLast ? await lossOf(trainer, await train.batch(groups[0]!, epoch), averaged) : 0);
    if (!Number.isFinite(loss)) {
      const hint = "lower the learning rate, or set clip";
      throw new DivergedError(expectedGot(`epoch ${epoch + 1}`, "a finite loss behind it", `${loss}`, hint));
    }
    const record: EpochRecord = {
      epoch: epoch + 1,
      learningRate,
      trainLoss: short(position.loss / position.seen),
      trainTop1: short(position.correct / position.seen),
      ...(seen !== undefined && { valLoss: short(seen.loss), valTop1: short(seen.top1) }),
      ...(seen?.map !== undefined && { valMap: short(seen.map) }),
      imagesPerSecond: Number(((1000 * (position.seen - start.seen)) / Math.max(1, ms)).toFixed(1)),
      gradNorms: stages,
      layerGradNorms: layers,
    };
    history.push(record);
    options.onEpoch?.(record);
    const { epoch: bestEpoch } = bestOf(history)!;
    if (options.keep === "best" && bestEpoch === epoch + 1) best = await trainer.snapshot({ averaged });
    if (epoch + 1 - bestEpoch >= (options.patience ?? epochs)) break;
    if (!isLast && ((epoch + 1) % options.checkpointEpochs === 0 || isDue())) await save(startOf(epoch + 1));
  }
  if (best !== undefined && bestOf(history)!.epoch !== history.length) await trainer.adopt(best);
  return history;
}

async function lossOf(trainer: Trainer, { images, labels, indices }: Batch, averaged: boolean): Promise<number> {
  return indices.length === 0 ? 0 : (await trainer.evaluate(images, labels, { averaged })).loss;
}

/** An epoch of which nothing is done. */
function startOf(epoch: number): Position {
  return { epoch, step: 0, loss: 0, correct: 0, seen: 0 };
}
