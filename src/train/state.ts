/**
 * States of a training, to go on from: a safetensors file with the trainer's tensors, and all else as JSON in its metadata.
 * A CRC-32 over everything finds damage, and each field is checked besides: bytes that were changed are refused by name.
 */

import { fromBytes } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { openSafetensors, writeSafetensors } from "../formats/safetensors.ts";
import type { Snapshot, TrainerState } from "./trainer-state.ts";

/** What is known after an epoch. */
export interface EpochRecord {
  /** From 1. */
  readonly epoch: number;
  /** Of its last step. */
  readonly learningRate: number;
  /** Means over the epoch, with the weights as they were at each step. */
  readonly trainLoss: number;
  /** Of several labels an image, the share of right decisions over images and classes; so is `valTop1`. */
  readonly trainTop1: number;
  /** Absent without a validation set. */
  readonly valLoss?: number;
  readonly valTop1?: number;
  /** Mean average precision, of several labels. */
  readonly valMap?: number;
  readonly imagesPerSecond: number;
  /** Norm of the last step's gradient by stage: `conv1`, `layer1` …, `fc`. */
  readonly gradNorms: Readonly<Record<string, number>>;
  /** The same of the weights of each convolution and linear layer, by name, from the input on. */
  readonly layerGradNorms: Readonly<Record<string, number>>;
}

/** Where in its epoch a training is, and what it has seen of it. */
export interface Position {
  /** From 0: epochs that are done. */
  readonly epoch: number;
  /** Steps of the epoch that are done. */
  readonly step: number;
  /** Sums over the images of the epoch so far. */
  readonly loss: number;
  readonly correct: number;
  readonly seen: number;
}

/** Everything that a training needs to go on as if it had not stopped. */
export interface RunState {
  readonly trainer: TrainerState;
  readonly position: Position;
  /** Of the epochs that are done. */
  readonly history: readonly EpochRecord[];
  /** The weights of the best epoch so far, where they are kept. */
  readonly best?: Snapshot | undefined;
}

/** What a state must agree with. */
export interface Expected {
  /** The options, data and network it was made with. */
  readonly fingerprint: Readonly<Record<string, unknown>>;
  readonly epochs: number;
  readonly stepsPerEpoch: number;
}

const TRAINING = "training";
const CHECKSUM = "crc32";
/** Before the names of the best epoch's tensors. */
const BEST = "best.";

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; ++bit) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 as zip and PNG have it, over pieces one behind the other, in hexadecimal. */
export function checksumOf(pieces: Iterable<Uint8Array>): string {
  let crc = 0xffffffff;
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; ++i) crc = CRC_TABLE[(crc ^ piece[i]!) & 255]! ^ (crc >>> 8);
  }
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
}

function checksum(training: string, tensors: TrainerState["tensors"]): string {
  const utf8 = new TextEncoder();
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  return checksumOf([
    utf8.encode(training),
    ...sorted.flatMap(({ name, dtype, shape, bytes }) => [utf8.encode(`${name} ${dtype} ${shape}`), bytes]),
  ]);
}

/**
 * A state as bytes.
 *
 * @param notes what `notesOf` gives back: JSON
 */
export function writeState(
  { trainer, position, history, best }: RunState,
  fingerprint: Readonly<Record<string, unknown>>,
  notes?: unknown,
): Uint8Array<ArrayBuffer> {
  const { step, batches } = trainer;
  const kept = best?.tensors.map((tensor) => ({ ...tensor, name: `${BEST}${tensor.name}` })) ?? [];
  const tensors = [...trainer.tensors, ...kept];
  const training = JSON.stringify({ fingerprint, step, batches, position, history, best: best?.batches, notes });
  return writeSafetensors(tensors, { [TRAINING]: training, [CHECKSUM]: checksum(training, tensors) });
}

/**
 * Reads a state.
 *
 * @throws ModelError when the bytes are no state (`not-a-model`), a damaged one (`malformed`, `truncated`), or one of
 * another training (`metadata`, the differing option as its `subject`)
 */
export async function readState(bytes: Uint8Array, expected: Expected): Promise<RunState> {
  const { saved, tensors } = await openState(bytes);
  checkFingerprint(expected.fingerprint, saved.fingerprint);
  const position = positionOf(saved.position, expected);
  const history = historyOf(saved.history, position.epoch);
  const mine = tensors.filter(({ name }) => !name.startsWith(BEST));
  const trainer = { step: whole(saved.step, "step"), batches: whole(saved.batches, "batches"), tensors: mine };
  if (saved.best === undefined) return { trainer, position, history };
  const kept = tensors.filter(({ name }) => name.startsWith(BEST));
  const named = kept.map((tensor) => ({ ...tensor, name: tensor.name.slice(BEST.length) }));
  return { trainer, position, history, best: { batches: whole(saved.best, "best"), tensors: named } };
}

/**
 * What the caller of `writeState` has noted.
 *
 * @throws ModelError as `readState`, but for another training
 */
export async function notesOf(bytes: Uint8Array): Promise<unknown> {
  return (await openState(bytes)).saved.notes;
}

async function openState(
  bytes: Uint8Array,
): Promise<{ readonly saved: Readonly<Record<string, unknown>>; readonly tensors: TrainerState["tensors"] }> {
  const file = await openSafetensors(fromBytes("checkpoint", bytes));
  const [training, crc] = [file.metadata[TRAINING], file.metadata[CHECKSUM]];
  if (training === undefined) {
    throw new ModelError("not-a-model", expectedGot("checkpoint", "one of a training", "another safetensors file"));
  }
  const tensors: TrainerState["tensors"][number][] = [];
  for (const [name, { dtype, shape }] of file.tensors) {
    tensors.push({ name, dtype, shape, bytes: await file.read(name) });
  }
  if (crc !== checksum(training, tensors)) {
    throw refusal("checksum", `the checksum ${checksum(training, tensors)}`, crc?.slice(0, 8) ?? "none");
  }
  return { saved: parsed(training), tensors };
}

function refusal(field: string, expected: string, got: string): ModelError {
  const hint = "the file is damaged: start again without --resume";
  return new ModelError("malformed", expectedGot(`checkpoint: ${field}`, expected, got, hint), { subject: field });
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {}
  return objectOf(value, TRAINING);
}

function objectOf(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw refusal(field, "a JSON object", typeof value);
}

function within(value: unknown, field: string, expected: string, isGood: (value: number) => boolean): number {
  if (typeof value === "number" && Number.isFinite(value) && isGood(value)) return value;
  throw refusal(field, expected, typeof value === "number" ? `${value}` : typeof value);
}

function whole(value: unknown, field: string, most = Number.MAX_SAFE_INTEGER): number {
  const isGood = (count: number): boolean => Number.isSafeInteger(count) && count >= 0 && count <= most;
  return within(value, field, most === Number.MAX_SAFE_INTEGER ? "a whole number from 0" : `0 to ${most}`, isGood);
}

function fromZero(value: unknown, field: string): number {
  return within(value, field, "a number from 0", (number) => number >= 0);
}

function checkFingerprint(mine: Readonly<Record<string, unknown>>, saved: unknown): void {
  const theirs = objectOf(saved, "fingerprint");
  for (const key of new Set([...Object.keys(mine), ...Object.keys(theirs)])) {
    const [want, got] = [JSON.stringify(mine[key]), JSON.stringify(theirs[key])];
    if (want === got) continue;
    const hint = "go on with the images and options it was begun with, or start again without --resume";
    const message = expectedGot("checkpoint", `${key} ${clipped(want)}`, clipped(got), hint);
    throw new ModelError("metadata", message, { subject: key });
  }
}

function clipped(text: string | undefined): string {
  if (text === undefined) return "none";
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function positionOf(value: unknown, { epochs, stepsPerEpoch }: Expected): Position {
  const saved = objectOf(value, "position");
  return {
    epoch: whole(saved.epoch, "position.epoch", epochs - 1),
    step: whole(saved.step, "position.step", stepsPerEpoch - 1),
    loss: fromZero(saved.loss, "position.loss"),
    correct: fromZero(saved.correct, "position.correct"),
    seen: whole(saved.seen, "position.seen"),
  };
}

function historyOf(value: unknown, epochs: number): readonly EpochRecord[] {
  if (!Array.isArray(value) || value.length !== epochs) {
    const got = Array.isArray(value) ? `${value.length}` : typeof value;
    throw refusal("history", `${epochs} records, one for each epoch that is done`, got);
  }
  return value.map((each: unknown, i): EpochRecord => {
    const record = objectOf(each, `history[${i}]`);
    const number = (key: string): number => fromZero(record[key], `history[${i}].${key}`);
    const optional = (key: string): Record<string, number> => (record[key] === undefined ? {} : { [key]: number(key) });
    const norms = (key: string): Record<string, number> => {
      const entries = Object.entries(objectOf(record[key], `history[${i}].${key}`));
      return Object.fromEntries(entries.map(([name, norm]) => [name, fromZero(norm, `${key}.${name}`)]));
    };
    return {
      epoch: within(record.epoch, `history[${i}].epoch`, `${i + 1}`, (epoch) => epoch === i + 1),
      learningRate: number("learningRate"),
      trainLoss: number("trainLoss"),
      trainTop1: number("trainTop1"),
      ...optional("valLoss"),
      ...optional("valTop1"),
      ...optional("valMap"),
      imagesPerSecond: number("imagesPerSecond"),
      gradNorms: norms("gradNorms"),
      layerGradNorms: norms("layerGradNorms"),
    };
  });
}
