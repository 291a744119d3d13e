/** Which of a model's classes a name means: the names of a dataset's classes beside the model's own labels. */

import { DatasetError, expectedGot } from "./errors.ts";

/** A model's classes. */
export interface Labels {
  /** Number of outputs. */
  readonly count: number;
  /** Their names, by index; empty when the model has none. */
  readonly labels: readonly string[];
  /** WordNet ids by index, where the classes are known to be ImageNet's: see `imagenetIds`. */
  readonly ids?: readonly string[];
}

/** How a dataset's classes were found among a model's. */
export interface LabelMatch {
  /** For each name, the model's class. */
  readonly indices: readonly number[];
  /** What had to be assumed, for a remark. */
  readonly guess?: string;
}

/** Names shown of either side when they do not fit. */
const SHOWN = 10;

/** Letters and digits in lower case; all else between them counts as one space. */
function plain(name: string): string {
  return name
    .normalize("NFC")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim();
}

/** `"n01440764 tench, Tinca tinca"` → the whole, `n01440764`, `tench` and `Tinca tinca`. */
function namesOf(label: string): readonly string[] {
  const [, id, rest = label] = /^(n\d{8})\b[\s:_,-]*(.*)$/.exec(label) ?? [];
  const synonyms = rest.split(",").map((each) => each.trim());
  return [...new Set([label, rest, ...(id === undefined ? [] : [id]), ...synonyms])].filter((each) => each !== "");
}

/** Classes by the names they go by. */
function indexOf(labels: readonly string[], keysOf: (label: string) => readonly string[]): Map<string, Set<number>> {
  const found = new Map<string, Set<number>>();
  labels.forEach((label, index) => {
    for (const key of keysOf(label)) {
      const known = found.get(key);
      if (known === undefined) found.set(key, new Set([index]));
      else known.add(index);
    }
  });
  return found;
}

function listed(names: readonly string[]): string {
  const clipped = names.slice(0, SHOWN).map((name) => (name.length > 40 ? `${name.slice(0, 40)}…` : name));
  return clipped.join(", ") + (names.length > SHOWN ? `, … ${names.length - SHOWN} more` : "");
}

/**
 * Finds each of a dataset's classes among a model's.
 *
 * A name means a class whose label is the same, or that has it among its synonyms (`"tench, Tinca tinca"`), or its
 * WordNet id; capitals, spaces, underscores and punctuation are tolerated where that leaves one class. Names that are all
 * whole numbers are class indices, unless the labels are numbers too. A model without labels takes indices, or
 * ImageNet's ids, or as many names as it has outputs: in their own order, which is a guess.
 *
 *     const { indices, guess } = matchLabels("photos", dataset.classes, {
 *       count: outputNode(model.graph).shape[2],
 *       labels: model.labels,
 *     });
 *     const label = indices[example.label];   // the model's class of an example
 *
 * @param where the dataset, for messages
 * @param names the dataset's classes
 * @throws DatasetError (`classes`), which lists both sides, when a name means no class, or more than one
 */
export function matchLabels(where: string, names: readonly string[], model: Labels): LabelMatch {
  const { count, labels, ids } = model;
  const exact = indexOf(labels, (label) => [label]);
  const synonym = indexOf(labels, namesOf);
  const loose = indexOf(labels, (label) =>
    namesOf(label)
      .map(plain)
      .filter((key) => key !== ""),
  );
  const known = new Map(ids?.map((id, index) => [id, index]));
  const isNumber = (name: string): boolean => /^\d+$/.test(name);
  const areIndices = names.every(isNumber) && !names.some((name) => exact.has(name) || synonym.has(name));
  const unknown: string[] = [];
  const indices = names.map((name) => {
    if (areIndices) {
      if (Number(name) >= count) unknown.push(name);
      return Number(name);
    }
    const found = exact.get(name) ?? synonym.get(name) ?? loose.get(plain(name));
    if (found === undefined) {
      const index = known.get(name.toLowerCase());
      if (index === undefined) unknown.push(name);
      return index ?? -1;
    }
    if (found.size > 1) {
      const several = [...found].map((index) => `${index} "${labels[index]}"`);
      const hint = "name the class by its index, its WordNet id or its whole label";
      throw new DatasetError("classes", expectedGot(`${where}: class "${name}"`, "one class", listed(several), hint));
    }
    return [...found][0]!;
  });
  if (unknown.length === 0) return { indices };
  if (areIndices) {
    const got = listed(unknown);
    throw new DatasetError("classes", expectedGot(where, `classes from 0 to ${count - 1}`, got));
  }
  if (labels.length === 0 && unknown.length === names.length && names.length === count) {
    const guess = `the model names no classes: ${listed(names)} are its classes 0 to ${count - 1}, in this order`;
    return { indices: names.map((_, index) => index), guess };
  }
  const own = labels.length === 0 ? `${count} classes without names` : listed(labels);
  const hint =
    labels.length === 0
      ? `the model has no names for its classes; name the dataset's by index, 0 to ${count - 1}`
      : "name the dataset's classes as the model does, or by index";
  throw new DatasetError("classes", expectedGot(where, `the model's classes (${own})`, listed(unknown), hint));
}
