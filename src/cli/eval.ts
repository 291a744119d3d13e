/** `resnet-wasm eval DIR`: accuracy over labelled images. */
import { load } from "../runtimes/node.ts";
import { complaint } from "../tensor.ts";
import { openDataset } from "./dataset.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { imageBar } from "./progress.ts";
import { interruptible, messageOf, remark } from "./terminal.ts";

/** Top-1 and top-5 as fractions of the images that could be read; the time of one image, decoding included. */
interface Result {
  readonly images: number;
  readonly top1: number;
  readonly top5: number;
  readonly msPerImage: number;
}

/** Evaluates a model; images that cannot be read are reported and not counted. */
export async function evaluate(
  directory: string,
  options: CommonOptions & { readonly labels?: string; readonly limit?: number },
): Promise<number> {
  const signal = interruptible();
  const model = await load(options.model, loadOptions(options, signal));
  for (const guess of model.model.guesses) remark(options.quiet, `assumed: ${guess}`);
  const all = await openDataset(directory, options.labels, options, signal);
  const examples = all.slice(0, options.limit ?? all.length);
  const classes = model.model.spec.classes;
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
  const msPerImage = Number(((performance.now() - start) / Math.max(1, images)).toFixed(2));
  await model.dispose();
  if (images === 0) throw new RangeError(complaint(directory, "at least one readable image", "none"));
  const result: Result = { images, top1: top1 / images, top5: top5 / images, msPerImage };
  const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
  process.stdout.write(
    options.json
      ? `${JSON.stringify(result)}\n`
      : `${images} images  top-1 ${percent(result.top1)}  top-5 ${percent(result.top5)}  ${msPerImage} ms an image\n`,
  );
  return failed > 0 ? 1 : 0;
}
