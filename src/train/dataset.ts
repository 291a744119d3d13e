/** Labelled images, wherever they come from. */
import type { ImageInput } from "../decode/input.ts";
import { ArgumentTypeError, expectedGot, OptionError } from "../errors.ts";
import { uniform } from "../models/random.ts";

/** One image and its class. */
export interface Example {
  readonly name: string;
  /** Index of its class. */
  readonly label: number;
  image(): ImageInput;
}

/** Images of classes that have names. */
export interface Dataset {
  readonly classes: readonly string[];
  readonly examples: readonly Example[];
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
   * @param image read again in every epoch, so not a stream
   * @param name for messages; its number when absent
   * @throws TypeError for a stream, or a class without a name
   */
  add(image: Exclude<ImageInput, Response | ReadableStream>, className: string, name?: string): void {
    if (image instanceof ReadableStream || image instanceof Response) {
      throw new ArgumentTypeError(
        "image",
        expectedGot("image", "one that can be read again", "a stream", "add its bytes, or its Blob"),
      );
    }
    if (typeof className !== "string" || className === "") {
      throw new ArgumentTypeError("class", expectedGot("class", "a name", JSON.stringify(className)));
    }
    let label = this.#classes.indexOf(className);
    if (label < 0) label = this.#classes.push(className) - 1;
    this.#examples.push({ name: name ?? `image ${this.#examples.length}`, label, image: () => image });
  }
}

/**
 * Throws RangeError unless there are at least two classes, each with an image, and every label is one of them.
 *
 * @param needsAll whether every class must have an image
 */
export function checkDataset(where: string, { classes, examples }: Dataset, needsAll = true): void {
  if (classes.length < 2) {
    const hint = "a classifier chooses between classes: add a second one";
    throw new RangeError(expectedGot(where, "at least two classes", `${classes.length}`, hint));
  }
  const counts = new Array<number>(classes.length).fill(0);
  for (const { name, label } of examples) {
    if (!Number.isInteger(label) || label < 0 || label >= classes.length) {
      throw new RangeError(expectedGot(`${where}: ${name}`, `a label from 0 to ${classes.length - 1}`, `${label}`));
    }
    counts[label]! += 1;
  }
  const empty = counts.indexOf(0);
  if (needsAll && empty >= 0) {
    throw new RangeError(expectedGot(`${where}: ${classes[empty]}`, "a class with images", "none"));
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
 * Takes a share of every class out of a set, at least one image of a class that has two.
 *
 * @param share above 0, below 1
 */
export function splitDataset(
  { classes, examples }: Dataset,
  share: number,
  seed: number,
): { readonly train: Dataset; readonly val: Dataset } {
  if (!(share > 0 && share < 1))
    throw new OptionError("val", expectedGot("val", "a share above 0, below 1", `${share}`));
  const taken = new Set<number>();
  classes.forEach((_, label) => {
    const mine = examples.flatMap((example, i) => (example.label === label ? [i] : []));
    const count = mine.length < 2 ? 0 : Math.max(1, Math.round(mine.length * share));
    for (const i of shuffled(mine.length, seed + label).subarray(0, Math.min(count, mine.length - 1)))
      taken.add(mine[i]!);
  });
  return {
    train: { classes, examples: examples.filter((_, i) => !taken.has(i)) },
    val: { classes, examples: examples.filter((_, i) => taken.has(i)) },
  };
}
