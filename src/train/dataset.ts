/** Labelled images, wherever they come from. */
import { isLive } from "../decode/drawable.ts";
import type { ImageInput } from "../decode/input.ts";
import { typeName } from "../decode/raw.ts";
import { ArgumentTypeError, DatasetError, expectedGot, OptionError } from "../errors.ts";
import { matchLabels } from "../labels.ts";
import { uniform } from "../models/random.ts";

/** One image and its class, or its classes. */
export interface Example {
  readonly name: string;
  /** Index of its class; an array of indices, which may be empty, in a set of several labels an image. */
  readonly label: number | readonly number[];
  image(): ImageInput;
}

/** Images of classes that have names. Where one example has an array of labels, all of them have. */
export interface Dataset {
  readonly classes: readonly string[];
  readonly examples: readonly Example[];
}

/** The classes that an example shows. */
export function labelsOf({ label }: Example): readonly number[] {
  return typeof label === "number" ? [label] : label;
}

/** Whether classes do not exclude each other: examples have arrays of labels. */
export function isMultiLabel({ examples }: Pick<Dataset, "examples">): boolean {
  return examples.some(({ label }) => typeof label !== "number");
}

/** The same set with an array of labels for every example. */
function asMultiLabel(dataset: Dataset): Dataset {
  return {
    classes: dataset.classes,
    examples: dataset.examples.map((example) => ({ ...example, label: labelsOf(example) })),
  };
}

/** Examples whose labels are numbered otherwise: each becomes its entry in `indices`. */
export function relabelled(examples: readonly Example[], indices: readonly number[]): readonly Example[] {
  return examples.map((example) => {
    const { label } = example;
    return { ...example, label: typeof label === "number" ? indices[label]! : label.map((each) => indices[each]!) };
  });
}

/** A set to which images are added one by one. Classes have the order in which they were first named. */
export class ImageSet implements Dataset {
  readonly #classes: string[] = [];
  readonly #examples: Example[] = [];

  get classes(): readonly string[] {
    return this.#classes;
  }

  get examples(): readonly Example[] {
    return this.#examples;
  }

  /**
   * Adds an image.
   *
   * @param image read again in every epoch, so not a stream, nor a canvas or a video, which may show something else then
   * @param classNames its class; an array, which may be empty, in a set of several labels an image
   * @param name for messages; its number when absent
   * @throws ArgumentTypeError for a stream, a canvas or a video, or a class without a name
   */
  add(
    image: Exclude<ImageInput, Response | ReadableStream>,
    classNames: string | readonly string[],
    name?: string,
  ): void {
    if (image instanceof ReadableStream || image instanceof Response) {
      throw new ArgumentTypeError(
        "image",
        expectedGot("image", "one that can be read again", "a stream", "add its bytes, or its Blob"),
      );
    }
    if (isLive(image)) {
      const hint = "add what it shows now: a Blob of it (toBlob, convertToBlob), or createImageBitmap(it)";
      throw new ArgumentTypeError("image", expectedGot("image", "one that stays", typeName(image), hint));
    }
    const given = typeof classNames === "string" ? [classNames] : classNames;
    if (!Array.isArray(given) || given.some((each) => typeof each !== "string" || each === "")) {
      throw new ArgumentTypeError("class", expectedGot("class", "a name, or an array of names", typeof classNames));
    }
    const labels = given.map((each) => {
      const known = this.#classes.indexOf(each);
      return known < 0 ? this.#classes.push(each) - 1 : known;
    });
    const label = typeof classNames === "string" ? labels[0]! : labels;
    this.#examples.push({ name: name ?? `image ${this.#examples.length}`, label, image: () => image });
  }
}

/**
 * Throws DatasetError unless there are at least two classes, each with an image, and every label is one of them. A set of
 * several labels may have one class only.
 *
 * @param needsAll whether every class must have an image
 */
function checkDataset(where: string, dataset: Dataset, needsAll = true): void {
  const { classes, examples } = dataset;
  const isMulti = isMultiLabel(dataset);
  if (examples.length === 0) throw new DatasetError("empty", expectedGot(where, "images", "none"));
  if (needsAll && classes.length < (isMulti ? 1 : 2)) {
    const hint = "a classifier chooses between classes: add a second one";
    throw new DatasetError("classes", expectedGot(where, "at least two classes", `${classes.length}`, hint));
  }
  const counts = new Array<number>(classes.length).fill(0);
  for (const example of examples) {
    const { name, label } = example;
    if (isMulti && typeof label === "number") {
      throw new DatasetError("classes", expectedGot(`${where}: ${name}`, "an array of labels, as others have", "one"));
    }
    for (const each of labelsOf(example)) {
      if (!Number.isInteger(each) || each < 0 || each >= classes.length) {
        const expected = `a label from 0 to ${classes.length - 1}`;
        throw new DatasetError("classes", expectedGot(`${where}: ${name}`, expected, `${each}`));
      }
      counts[each]! += 1;
    }
  }
  const empty = counts.indexOf(0);
  if (needsAll && empty >= 0) {
    throw new DatasetError("classes", expectedGot(`${where}: ${classes[empty]}`, "a class with images", "none"));
  }
}

/** Numbers from 0 to `count - 1` in an order that the seed decides (Fisher and Yates). */
export function shuffled(count: number, seed: number): Int32Array {
  const next = uniform(seed);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; --i) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/**
 * Takes a share of every class out of a set, at least one image of a class that has two; every class keeps an image to
 * train with.
 *
 * @param share above 0, below 1
 * @throws OptionError for another share
 */
export function splitDataset(
  { classes, examples }: Dataset,
  share: number,
  seed: number,
): { readonly train: Dataset; readonly val: Dataset } {
  if (!(share > 0 && share < 1))
    throw new OptionError("val", expectedGot("val", "a share above 0, below 1", `${share}`));
  // Images of no class are split like those of a class of their own.
  const groups = examples.map((example) => (labelsOf(example).length === 0 ? [classes.length] : labelsOf(example)));
  const left = new Array<number>(classes.length + 1).fill(0);
  for (const labels of groups) for (const label of labels) left[label]! += 1;
  const taken = new Set<number>();
  for (let label = 0; label <= classes.length; ++label) {
    const mine = [...groups.keys()].filter((i) => groups[i]!.includes(label));
    const wanted = mine.length < 2 ? 0 : Math.max(1, Math.round(mine.length * share));
    for (const i of shuffled(mine.length, seed + label)) {
      const at = mine[i]!;
      if (mine.length - left[label]! >= wanted) break;
      if (taken.has(at) || groups[at]!.some((each) => left[each]! < 2)) continue;
      taken.add(at);
      for (const each of groups[at]!) left[each]! -= 1;
    }
  }
  return {
    train: { classes, examples: examples.filter((_, i) => !taken.has(i)) },
    val: { classes, examples: examples.filter((_, i) => taken.has(i)) },
  };
}

/**
 * The two parts of a training's set, checked: one order of classes, one kind of labels.
 *
 * @param val images to validate with, or the share that is taken out of the set for it; none when absent or 0
 * @throws DatasetError for a set that cannot be trained on, or classes that the other part has not; OptionError for a
 * share out of range
 */
export function trainingSets(
  dataset: Dataset,
  val: Dataset | number | undefined,
  seed = 1,
): { readonly train: Dataset; readonly val: Dataset | undefined } {
  checkDataset("training set", dataset);
  if (val === undefined || val === 0) return { train: dataset, val: undefined };
  if (typeof val === "number") return splitDataset(dataset, val, seed);
  checkDataset("validation set", val, false);
  const { classes } = dataset;
  const { indices } = matchLabels("validation set", val.classes, { count: classes.length, labels: classes });
  const other = { classes, examples: relabelled(val.examples, indices) };
  const isMulti = isMultiLabel(dataset) || isMultiLabel(other);
  return isMulti ? { train: asMultiLabel(dataset), val: asMultiLabel(other) } : { train: dataset, val: other };
}
