/** `resnet-wasm quantize M --out FILE`: int8 weights and activations from sample images, or int8 weights alone. */
import type { Method } from "../quantizer.ts";
import { quantizeWith } from "../quantizer.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import { convert } from "./convert.ts";
import { openImages } from "./dataset.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { writeAtomically } from "./output.ts";
import { imageBar } from "./progress.ts";
import { interruptible, remark } from "./terminal.ts";

export interface QuantizeCommand extends CommonOptions {
  readonly out: string;
  /** Absent: the weights alone. */
  readonly calibrate?: string;
  readonly method: Method;
  readonly limit: number;
}

/** Quantizes a model; the file appears whole or not at all. */
export async function quantize(source: string, options: QuantizeCommand): Promise<number> {
  if (options.calibrate === undefined) {
    remark(options.quiet, "no --calibrate: weights in int8, computed in f32");
    return convert(source, { ...options, dtype: "i8" });
  }
  const signal = interruptible();
  const images = await openImages(options.calibrate, options.limit, options, signal);
  const bar = imageBar(options.quiet === true || options.json === true, images.length);
  const result = await quantizeWith(nodeRuntime(), source, images, {
    ...loadOptions(options, signal),
    method: options.method,
    onImage: () => bar.tick("calibrating"),
  });
  bar.stop();
  for (const message of result.failed) process.stderr.write(`${message}\n`);
  const bytes = await writeAtomically(options.out, [result.bytes], signal);
  const { images: used, failed, layers } = result;
  const report = { out: options.out, bytes, method: options.method, images: used, failed: failed.length, layers };
  const skipped = failed.length === 0 ? "" : `, ${failed.length} could not be read`;
  process.stdout.write(
    options.json
      ? `${JSON.stringify(report)}\n`
      : `${options.out}: int8, ${(bytes / 1e6).toFixed(1)} MB, from ${used} images${skipped}\n`,
  );
  return 0;
}
