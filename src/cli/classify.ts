/** `resnet-wasm classify IMAGE…`: the most probable classes of each image. */
import type { Prediction } from "../classifier.ts";
import { ImageError } from "../errors.ts";
import { load } from "../runtimes/node.ts";
import { type Photo, photosOf } from "./images.ts";
import { inOrder } from "./in-order.ts";
import { interruptible } from "./interrupt.ts";
import { type CommonOptions, inReplicas, loadOptions, workersOf } from "./options.ts";
import { progress } from "./progress.ts";
import { barOf, messageOf, remark } from "./terminal.ts";

/** One line of the JSON result; `error` stands where an image could not be read. */
interface Result {
  readonly image: string;
  readonly predictions: readonly Prediction[];
  /** From the file's bytes to probabilities. */
  readonly ms: number;
  readonly error?: string;
}

const BAR = 24;

function show({ image, predictions, ms }: Result): string {
  const lines = predictions.map(({ label, probability }) => {
    return `  ${(100 * probability).toFixed(1).padStart(5)} %  ${barOf(probability, BAR).padEnd(BAR)}  ${label}`;
  });
  const none = lines.length === 0 ? ["  no class is probable enough; --threshold 0 shows all"] : [];
  return [`${image}  (${ms.toFixed(0)} ms)`, ...none, ...lines, ""].join("\n");
}

/** Classifies every image; those that cannot be read are reported and the others are still classified. */
export async function classify(
  images: readonly string[],
  options: CommonOptions & { readonly topK: number; readonly recursive?: boolean; readonly threshold?: number },
): Promise<number> {
  const { topK, threshold } = options;
  const photos = await photosOf(images, options.recursive === true);
  const started = performance.now();
  const given = inReplicas(options, photos.length);
  const model = await load(options.model, loadOptions(given, interruptible()));
  const { arch, guesses } = model.model;
  for (const guess of guesses) remark(options.quiet, `assumed: ${guess.message}`);
  remark(
    options.quiet,
    `${arch}, ${model.build} kernels, ${model.vectors}-bit vectors, ${workersOf(given)}, loaded in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  const results: Result[] = [];
  // On a terminal the results themselves show the progress.
  const isSilent = options.quiet === true || (!options.json && process.stdout.isTTY === true);
  const line = progress(isSilent, { name: "classifying", total: photos.length, unit: "images" });
  const resultOf = async ({ name: image, image: input }: Photo): Promise<Result> => {
    const start = performance.now();
    try {
      const predictions = await model.classify(input, { topK, ...(threshold !== undefined && { threshold }) });
      return { image, predictions, ms: Number((performance.now() - start).toFixed(1)) };
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      return { image, predictions: [], ms: 0, error: messageOf(error) };
    }
  };
  for await (const result of inOrder(photos, model.replicas ?? 1, resultOf)) {
    results.push(result);
    line.tick();
    if (result.error !== undefined) line.say(result.error);
    else if (!options.json) process.stdout.write(`${show(result)}\n`);
  }
  line.stop();
  if (options.json) process.stdout.write(`${JSON.stringify(results, undefined, 2)}\n`);
  await model.dispose();
  return results.some(({ error }) => error !== undefined) ? 1 : 0;
}
