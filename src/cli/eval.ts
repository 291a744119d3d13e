/** `resnet-wasm eval DIR`: accuracy over labelled images. */
import type { Classifier } from "../classifier.ts";
import { outputNode } from "../graph.ts";
import { load } from "../runtimes/node.ts";
import { complaint } from "../tensor.ts";
import { openDataset } from "./dataset.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { imageBar } from "./progress.ts";
import { interruptible, messageOf, remark } from "./terminal.ts";

/** Top-1 and top-5 as fractions of the images that could be read; the time of one image, decoding included. */
export interface Accuracy {
  readonly images: number;
  readonly top1: number;
  readonly top5: number;
  readonly msPerImage: number;
  /** Images that could not be read: reported, not counted. */
  readonly failed: number;
}

export interface EvalOptions extends CommonOptions {
  readonly labels?: string;
  readonly limit?: number;
}

/**
 * Accuracy of a loaded model over a labelled set.
 *
 * @throws RangeError for a label the model has no class for, or when no image can be read
 */
export async function accuracyOf(
  model: Classifier,
  directory: string,
  options: EvalOptions,
  signal: AbortSignal,
): Promise<Accuracy> {
  const all = await openDataset(directory, options.labels, options, signal);
  const examples = all.slice(0, options.limit ?? all.length);
  const classes = outputNode(model.model.graph).shape[2];
  for (const { name, label } of examples) {
    if (label >= classes) throw new RangeError(complaint(name, `a label below ${classes}`, `${label}`));
  }
  const bar = imageBar(options.quiet === true || options.json === true, examples.length);
  let [images, top1, top5, failed] = [0, 0, 0, 0];
  const start = performance.now();
  for (const { name, label, image } of examples) {
    signal.throwIfAborted();
    try {
      const best = await model.classify(image(), { topK: 5 });
      images += 1;
      if (best[0]!.index === label) top1 += 1;
      if (best.some(({ index }) => index === label)) top5 += 1;
    } catch (error) {
      failed += 1;
      process.stderr.write(`${name}: ${messageOf(error)}\n`);
    }
    bar.tick(`top-1 ${((100 * top1) / Math.max(1, images)).toFixed(1)} %`);
  }
  bar.stop();
  if (images === 0) throw new RangeError(complaint(directory, "at least one readable image", "none"));
  const msPerImage = Number(((performance.now() - start) / images).toFixed(2));
  return { images, top1: top1 / images, top5: top5 / images, msPerImage, failed };
}

/** Evaluates a model and prints its accuracy. */
export async function evaluate(directory: string, options: EvalOptions): Promise<number> {
  const signal = interruptible();
  const model = await load(options.model, loadOptions(options, signal));
  for (const guess of model.model.guesses) remark(options.quiet, `assumed: ${guess}`);
  const { failed, ...result } = await accuracyOf(model, directory, options, signal);
  await model.dispose();
  const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
  const { images, top1, top5, msPerImage } = result;
  process.stdout.write(
    options.json
      ? `${JSON.stringify(result)}\n`
      : `${images} images  top-1 ${percent(top1)}  top-5 ${percent(top5)}  ${msPerImage} ms an image\n`,
  );
  return failed > 0 ? 1 : 0;
}
