/** `resnet-wasm quantize M --out FILE`: int8 weights and activations from sample images, or int8 weights alone. */
import type { WeightLayout } from "../convert.ts";
import type { ImageInput } from "../decode/input.ts";
import { expectedGot } from "../errors.ts";
import type { Method } from "../quantizer.ts";
import { type Quantized, quantizeWith } from "../quantizer.ts";
import { load, nodeRuntime, convert as packed } from "../runtimes/node.ts";
import { compareAnswers } from "./agreement.ts";
import { convert } from "./convert.ts";
import { openImages } from "./dataset.ts";
import { interruptible } from "./interrupt.ts";
import { signalToNoise } from "./noise.ts";
import { type CommonOptions, loadOptions, onAllCores, workersOf } from "./options.ts";
import { checkSafetensorsName, checkWritable, writeAtomically } from "./output.ts";
import { progress } from "./progress.ts";
import { remark } from "./terminal.ts";
import { UsageError } from "./usage.ts";

export interface QuantizeCommand extends CommonOptions {
  readonly out: string;
  /** Absent: the weights alone. */
  readonly calibrate?: string;
  readonly method: Method;
  readonly limit: number;
  readonly report?: string;
  readonly layout: WeightLayout;
  /** As in `ConvertCommand`. */
  readonly winograd: boolean;
}

/** Quantizes a model; the file appears whole or not at all. */
export async function quantize(source: string, options: QuantizeCommand): Promise<number> {
  const { layout, winograd } = options;
  if (options.calibrate === undefined) {
    if (options.report !== undefined) {
      throw new UsageError(expectedGot("quantize", "--calibrate <dir> with --report", "no sample images"));
    }
    remark(options.quiet, "no --calibrate: weights in int8, computed in f32");
    return convert(source, { ...options, dtype: "i8" });
  }
  const signal = interruptible();
  checkSafetensorsName(options.out);
  for (const file of options.report === undefined ? [options.out] : [options.out, options.report]) {
    await checkWritable(file);
  }
  const images = await openImages(options.calibrate, options.limit, options, signal);
  const given = onAllCores(options);
  remark(options.quiet, `computing with ${workersOf(given)}`);
  const line = progress(options.quiet === true, { name: "calibrating", total: images.length, unit: "images" });
  let result: Quantized;
  try {
    result = await quantizeWith(nodeRuntime(), source, images, {
      ...loadOptions(given, signal),
      method: options.method,
      onProgress: () => line.tick(),
    });
  } finally {
    line.stop();
  }
  for (const message of result.failed) process.stderr.write(`${message}\n`);
  const { build, memoryBytes, tuning } = loadOptions(options, signal);
  const how = {
    layout,
    winograd,
    ...(build && { build }),
    ...(memoryBytes && { memoryBytes }),
    ...(tuning && { tuning }),
  };
  const pieces = layout === "packed" ? packed(result.bytes, how) : [result.bytes];
  const bytes = await writeAtomically(options.out, pieces, signal);
  if (options.report !== undefined) await writeReport(options.report, source, images, result, options, signal);
  const { images: used, failed, layers } = result;
  const report = {
    out: options.out,
    bytes,
    method: options.method,
    images: used,
    failed: failed.length,
    layers,
    layout,
  };
  const skipped = failed.length === 0 ? "" : `, ${failed.length} could not be read`;
  process.stdout.write(
    options.json
      ? `${JSON.stringify(report)}\n`
      : `${options.out}: int8${layout === "packed" ? ", packed" : ""}, ${(bytes / 1e6).toFixed(1)} MB, from ${used} images${skipped}\n`,
  );
  return 0;
}

/** Images on which the layers of both models are compared. */
const COMPARED = 8;

async function writeReport(
  path: string,
  source: string,
  images: readonly ImageInput[],
  result: Quantized,
  options: QuantizeCommand,
  signal: AbortSignal,
): Promise<void> {
  const { quantizationReport } = await import("./report/quantization.ts");
  // One thread each: their times then say what a core takes.
  const alone = { ...loadOptions(options, signal), threads: 1 };
  const exact = await load(source, alone);
  const { build, ...how } = alone;
  const rounded = await load(result.bytes, {
    threads: 1,
    ...(build && { build }),
    ...(how.vectors && { vectors: how.vectors }),
  });
  try {
    const agreement = await compareAnswers(exact, rounded, options.calibrate!, images, options, signal);
    const nodes = result.layers.map(({ node }) => node);
    const noise = await signalToNoise(exact, rounded, nodes, images.slice(0, COMPARED));
    const page = await quantizationReport(result, { source, options, noise, agreement });
    await writeAtomically(path, [new TextEncoder().encode(page)], signal);
  } finally {
    await exact.dispose();
    await rounded.dispose();
  }
}
