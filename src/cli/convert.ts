/** `resnet-wasm convert IN --out FILE`: any model as one safetensors or ONNX file that needs nothing beside it. */
import type { WeightLayout } from "../convert.ts";
import { openModel, convert as pieces } from "../runtimes/node.ts";
import type { StorageDtype } from "../stored-values.ts";
import { interruptible } from "./interrupt.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { checkWritable, formatOf, writeAtomically } from "./output.ts";
import { remark } from "./terminal.ts";

export interface ConvertCommand extends CommonOptions {
  readonly out: string;
  readonly dtype: StorageDtype;
  readonly layout: WeightLayout;
  /** `false` keeps to direct sums in a packed file. */
  readonly winograd: boolean;
}

/** Writes the converted model; the file appears whole or not at all. */
export async function convert(source: string, options: ConvertCommand): Promise<number> {
  const { dtype, layout } = options;
  const signal = interruptible();
  const format = formatOf(options.out);
  await checkWritable(options.out);
  const given = { ...loadOptions(options, signal), winograd: options.winograd };
  const model = await openModel(source, given);
  try {
    for (const guess of model.guesses) remark(options.quiet, `assumed: ${guess.message}`);
    const bytes = await writeAtomically(options.out, pieces(model, { ...given, format, dtype, layout }), signal);
    const stored = model.graph.nodes[0]!.int8 === undefined ? dtype : "int8";
    const report = {
      out: options.out,
      format,
      arch: model.arch,
      dtype: stored,
      layout,
      bytes,
      labels: model.labels.length,
    };
    process.stdout.write(
      options.json
        ? `${JSON.stringify(report)}\n`
        : `${options.out}: ${format === "onnx" ? "ONNX, " : ""}${model.arch}, ${stored}${layout === "packed" ? ", packed" : ""}, ${(bytes / 1e6).toFixed(1)} MB, ${model.labels.length} class names\n`,
    );
    return 0;
  } finally {
    await model.close();
  }
}
