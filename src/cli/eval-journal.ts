/** An evaluation's journal: a line for each image, valid as long as the image has the same bytes. */
import { ModelError } from "../errors.ts";
import type { Scored } from "../multilabel.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import { type Example, labelsOf } from "../train/dataset.ts";
import type { Answered } from "./accuracy.ts";
import { digestOf } from "./fingerprint.ts";

/** Classes that are kept of each answer. */
export const BEST = 5;

/** What is kept of an image in the journal: its answer, or that it could not be read. */
export type Result = Answered | Scored | { readonly name: string; readonly failed: string };

/** A line of the journal. Of several for one image the last one counts. */
export interface Entry {
  /** The image's index in the set. */
  readonly at: number;
  /** SHA-256 of its bytes; empty where the set as a whole is pinned, or when it could not be read. */
  readonly sha256: string;
  readonly result: Result;
}

/** Whether a line of a journal can be a result for these examples, by models of so many classes. */
export function isEntryOf(
  value: unknown,
  examples: readonly Example[],
  classes: number,
  ensemble: number,
): value is Entry {
  const { at, sha256, result } = (value ?? {}) as Partial<Entry>;
  const example = Number.isInteger(at) ? examples[at as number] : undefined;
  if (example === undefined || typeof sha256 !== "string") return false;
  if (typeof result !== "object" || result === null || result.name !== example.name) return false;
  if ("failed" in result) return typeof result.failed === "string";
  const isClass = (index: unknown): boolean =>
    Number.isInteger(index) && (index as number) >= 0 && (index as number) < classes;
  const isList = (list: unknown, isItem: (item: unknown) => boolean): boolean =>
    Array.isArray(list) && list.length === Math.min(BEST, classes) && list.every(isItem);
  const isAnswer = (item: unknown): boolean =>
    Array.isArray(item) &&
    item.length === 2 &&
    isClass(item[0]) &&
    Number.isFinite(item[1]) &&
    item[1] >= 0 &&
    item[1] <= 1;
  if ("scores" in result || typeof example.label !== "number") {
    const { labels, scores } = result as Partial<Scored>;
    return (
      typeof example.label !== "number" &&
      JSON.stringify(labels) === JSON.stringify(labelsOf(example)) &&
      Array.isArray(scores) &&
      scores.length === classes &&
      scores.every((score) => Number.isFinite(score) && score >= 0 && score <= 1)
    );
  }
  const { label, best, members } = result;
  return (
    label === example.label &&
    isList(best, isAnswer) &&
    Array.isArray(members) &&
    members.length === (ensemble === 1 ? 0 : ensemble) &&
    members.every((member) => isList(member, isClass))
  );
}

/** The SHA-256 of an image's file; empty for one that is pixels already, or cannot be read. */
export async function imageDigest({ image }: Example): Promise<string> {
  const input = image();
  if (typeof input !== "string") return "";
  try {
    return await digestOf(await nodeRuntime().openFile(input));
  } catch (error) {
    if (error instanceof ModelError) return "";
    throw error;
  }
}
