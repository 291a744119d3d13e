/**
 * The loop of a training: epochs of steps, a look at the validation set after each, and states to go on from. It knows
 * no images: batches come from a source, which may prepare the next while the current one is computed.
 */

import { fromBytes } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { openSafetensors, writeSafetensors } from "../formats/safetensors.ts";
import { seedFrom } from "../models/random.ts";
import { shuffled } from "./dataset.ts";
import { rateAt, type Schedule } from "./schedules.ts";
import type { BatchSource } from "./sources.ts";
import type { Trainer } from "./trainer.ts";

/** What is known after an epoch. */
export interface EpochRecord {
  /** From 1. */
  readonly epoch: number;
  /** Of its last step. */
  readonly learningRate: number;
  /** Means over the epoch, with the weights as they were at each step. */
  readonly trainLoss: number;
  readonly trainTop1: number;
  /** Absent without a validation set. */
  readonly valLoss?: number;
  readonly valTop1?: number;
  readonly imagesPerSecond: number;
  /** Norm of the last step's gradient by stage: `conv1`, `layer1` …, `fc`. */
  readonly gradNorms: Readonly<Record<string, number>>;
}

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

/** The answer to one validation image. */
export interface Validated {
  readonly index: number;
  readonly label: number;
  /** Best classes, best first, with their probabilities. */
  readonly best: readonly (readonly [index: number, probability: number])[];
}

export interface FitOptions {
  readonly epochs: number;
  /** Images of a step. */
  readonly batch: number;
  /** The highest. */
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** Epochs, or a part of one, over which the rate rises. */
  readonly warmup: number;
  readonly seed: number;
  /** Whether what is validated, and kept, is the average of the weights. */
  readonly averaged: boolean;
  readonly signal: AbortSignal | undefined;
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

/** Where in the epoch a run is, and what it has seen of it. */
interface Position {
  epoch: number;
  /** Examples of the epoch that are done. */
  at: number;
  loss: number;
  correct: number;
  seen: number;
}

const KEY = "training";
const BEST = 5;

/** A state as a safetensors file: tensors, and in its metadata all else. */
async function pack(
  trainer: Trainer,
  position: Position,
  history: readonly EpochRecord[],
  { fingerprint }: FitOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const { step, batches, tensors } = await trainer.state();
  return writeSafetensors(tensors, { [KEY]: JSON.stringify({ fingerprint, step, batches, position, history }) });
}

/** Puts a trainer into a state. Throws ModelError when it is another training's. */
async function unpack(
  trainer: Trainer,
  bytes: Uint8Array,
  { fingerprint }: FitOptions,
): Promise<{ position: Position; history: EpochRecord[] }> {
  const file = await openSafetensors(fromBytes("checkpoint", bytes));
  const text = file.metadata[KEY];
  if (text === undefined)
    throw new ModelError("malformed", expectedGot("checkpoint", "one of a training", "another safetensors file"));
  const saved = JSON.parse(text) as {
    fingerprint: Record<string, unknown>;
    step: number;
    batches: number;
    position: Position;
    history: EpochRecord[];
  };
  for (const key of Object.keys(fingerprint)) {
    const [want, got] = [JSON.stringify(fingerprint[key]), JSON.stringify(saved.fingerprint[key])];
    if (want !== got) {
      const hint = "go on with the options it was begun with, or begin anew without --resume";
      throw new ModelError("malformed", expectedGot("checkpoint", `${key} ${want}`, `${got}`, hint));
    }
  }
  const tensors = [];
  for (const [name, { dtype, shape }] of file.tensors)
    tensors.push({ name, dtype, shape, bytes: await file.read(name) });
  await trainer.restore({ step: saved.step, batches: saved.batches, tensors });
  return saved;
}

function stageOf(tensor: string): string {
  return tensor.split(".")[0]!.replace(/^bn1$/, "conv1");
}

async function gradNormsOf(trainer: Trainer): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const [name, values] of await trainer.gradients()) {
    const stage = stageOf(name);
    sums[stage] = (sums[stage] ?? 0) + values.reduce((sum, value) => sum + value * value, 0);
  }
  return Object.fromEntries(Object.entries(sums).map(([stage, sum]) => [stage, Math.sqrt(sum)]));
}

/** Loss, accuracy and answers over a whole source. */
export async function validate(
  trainer: Trainer,
  source: BatchSource,
  batch: number,
  averaged: boolean,
  signal?: AbortSignal,
): Promise<{ readonly loss: number; readonly top1: number; readonly answers: readonly Validated[] }> {
  let [loss, correct] = [0, 0];
  const answers: Validated[] = [];
  const groups = groupsOf(
    Array.from({ length: source.count }, (_, i) => i),
    batch,
  );
  let coming = groups.length === 0 ? undefined : source.batch(groups[0]!, 0);
  for (let i = 0; i < groups.length; ++i) {
    const { images, labels, indices } = await coming!;
    coming = i + 1 < groups.length ? source.batch(groups[i + 1]!, 0) : undefined;
    coming?.catch(() => {});
    signal?.throwIfAborted();
    if (labels.length === 0) continue;
    const result = await trainer.evaluate(images, labels, { averaged });
    loss += result.loss * labels.length;
    correct += result.correct;
    const classes = result.logits.length / labels.length;
    labels.forEach((label, j) => {
      answers.push({ index: indices[j]!, label, best: bestOf(result.logits.subarray(j * classes, (j + 1) * classes)) });
    });
  }
  const count = Math.max(1, answers.length);
  return { loss: loss / count, top1: correct / count, answers };
}

function bestOf(logits: Float32Array): Validated["best"] {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, x) => total + Math.exp(x - largest), 0);
  return [...logits.keys()]
    .sort((a, b) => logits[b]! - logits[a]! || a - b)
    .slice(0, BEST)
    .map((index) => [index, Number((Math.exp(logits[index]! - largest) / sum).toPrecision(6))] as const);
}

function groupsOf(indices: readonly number[], size: number): readonly (readonly number[])[] {
  return Array.from({ length: Math.ceil(indices.length / size) }, (_, i) => indices.slice(i * size, (i + 1) * size));
}

/** A mean with so many digits that a record reads well; the weights do not depend on it. */
const short = (value: number): number => Number(value.toPrecision(6));

/**
 * Runs a training to its end, from its beginning or from a checkpoint; the same bytes either way.
 *
 * @returns a record for each epoch
 * @throws DivergedError when loss or gradients stop being finite: checkpoints made before it stand; the signal's reason
 * when it aborts, after a last checkpoint; RangeError when no image can be read
 */
export async function fit(
  trainer: Trainer,
  train: BatchSource,
  val: BatchSource | undefined,
  options: FitOptions,
): Promise<readonly EpochRecord[]> {
  const { epochs, batch, schedule, seed, signal, averaged } = options;
  const perEpoch = Math.ceil(train.count / batch);
  const steps = epochs * perEpoch;
  const warmup = Math.round(options.warmup * perEpoch);
  const fresh = (epoch: number): Position => ({ epoch, at: 0, loss: 0, correct: 0, seen: 0 });
  let { position, history }: { position: Position; history: EpochRecord[] } =
    options.resume === undefined ? { position: fresh(0), history: [] } : await unpack(trainer, options.resume, options);
  history = [...history];
  let saved = performance.now();
  const save = async (): Promise<void> => {
    if (options.onCheckpoint !== undefined) {
      await options.onCheckpoint(await pack(trainer, position, history, options));
    }
    saved = performance.now();
  };
  const isDue = (): boolean => performance.now() - saved >= 60_000 * options.checkpointMinutes;
  const began = { time: performance.now(), step: position.epoch * perEpoch + Math.ceil(position.at / batch) };
  for (; position.epoch < epochs; position = fresh(position.epoch + 1)) {
    const { epoch } = position;
    const order = [...shuffled(train.count, seedFrom(seed, epoch))];
    const groups = groupsOf(order, batch);
    const start = { time: performance.now(), seen: position.seen };
    const first = Math.ceil(position.at / batch);
    let { learningRate } = options;
    let coming = first < groups.length ? train.batch(groups[first]!, epoch) : undefined;
    for (let i = first; i < groups.length; ++i) {
      const { images, labels } = await coming!;
      coming = i + 1 < groups.length ? train.batch(groups[i + 1]!, epoch) : undefined;
      coming?.catch(() => {});
      if (signal?.aborted) {
        await save();
        signal.throwIfAborted();
      }
      const done = epoch * perEpoch + i;
      learningRate = rateAt(schedule, options.learningRate, done, steps, warmup);
      trainer.learningRate = learningRate;
      if (labels.length > 0) {
        const { loss, correct } = await trainer.step(images, labels);
        position.loss += loss * labels.length;
        position.correct += correct;
        position.seen += labels.length;
      }
      position.at = Math.min(train.count, (i + 1) * batch);
      const now = performance.now();
      options.onProgress?.({
        ...{ epoch: epoch + 1, epochs, step: done + 1, steps },
        loss: position.loss / Math.max(1, position.seen),
        top1: position.correct / Math.max(1, position.seen),
        imagesPerSecond: (1000 * (position.seen - start.seen)) / Math.max(1, now - start.time),
        msLeft: ((now - began.time) / (done + 1 - began.step)) * (steps - done - 1),
      });
      if (i + 1 < groups.length && isDue()) await save();
    }
    if (position.seen === 0) throw new RangeError(expectedGot("training set", "images that can be read", "none"));
    const ms = performance.now() - start.time;
    const gradNorms = await gradNormsOf(trainer);
    const seen = val === undefined ? undefined : await validate(trainer, val, batch, averaged, signal);
    const record: EpochRecord = {
      epoch: epoch + 1,
      learningRate,
      trainLoss: short(position.loss / position.seen),
      trainTop1: short(position.correct / position.seen),
      ...(seen === undefined ? {} : { valLoss: short(seen.loss), valTop1: short(seen.top1) }),
      imagesPerSecond: Number(((1000 * (position.seen - start.seen)) / Math.max(1, ms)).toFixed(1)),
      gradNorms,
    };
    history.push(record);
    options.onEpoch?.(record);
    if (epoch + 1 < epochs && ((epoch + 1) % options.checkpointEpochs === 0 || isDue())) {
      position = fresh(epoch + 1);
      await save();
      position = fresh(epoch);
    }
  }
  return history;
}
