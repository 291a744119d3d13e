/** `resnet-wasm inspect M`: what a model is and what it needs, without loading it. */

import type { Layout } from "../checkpoint.ts";
import { pretrained } from "../models/pretrained.ts";
import type { OutputKind } from "../output.ts";
import type { Preprocess } from "../preprocess.ts";
import { inspect as describe, nodeRuntime } from "../runtimes/node.ts";
import { printTape } from "../tape.ts";
import type { Part } from "../train/options.ts";
import { interruptible } from "./interrupt.ts";
import { licenceBeside } from "./licence.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { remark, table } from "./terminal.ts";

/** Prints what a model is; with `tape`, the steps it runs. */
export async function inspect(
  source: string,
  options: CommonOptions & { readonly tape?: boolean; readonly train?: Part; readonly batch?: number },
): Promise<number> {
  const { train, batch } = options;
  const given = loadOptions(options, interruptible());
  const found = await describe(source, { ...given, ...(train && { train }), ...(batch && { batch }) });
  // A network without weights has no licence.
  const isModel = found.dtypes.length > 0;
  const licence = found.licence ?? (isModel ? await licenceBeside(nodeRuntime(), source, given) : undefined);
  for (const { message } of found.guesses) remark(options.quiet, `assumed: ${message}`);
  const { arch, build, vectors, input, parameters, dtypes, memoryBytes, weightBytes, tape, training } = found;
  const { output, outputs, labels, preprocess, guesses, layout } = found;
  const dtype = dtypes.join(", ") || "none";
  const here = dtypes.length === 0 ? toDownload(source) : dtype;
  const gmacs = found.macs / 1e9;
  const layers = found.layers.map(({ name, op, shape, algorithm, kernels, macs, weightBytes }) => {
    return { name, op, output: shape, algorithm, kernels, gmacs: macs / 1e9, weightBytes };
  });
  const summary = {
    ...{ model: source, arch, build, vectors, input, parameters, gmacs, dtype, memoryBytes, weightBytes },
    ...{ output, outputs, labels, preprocess, licence, guesses },
    ...(layout && { layout }),
    ...(training && { training }),
  };
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ ...summary, layers, ...(options.tape ? { tape } : {}) }, undefined, 2)}\n`,
    );
    return 0;
  }
  if (options.tape) {
    process.stdout.write(`${printTape(tape)}\n`);
    return 0;
  }
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  process.stdout.write(
    [
      `${arch}  ${(parameters / 1e6).toFixed(2)} M parameters  ${gmacs.toFixed(3)} billion multiply-adds  weights ${here}`,
      `input ${input.join("×")}  memory ${mb(memoryBytes)}, of which packed weights ${mb(weightBytes)}  ${build} kernels, ${vectors}-bit vectors`,
      ...(training
        ? [`training ${train}: memory ${mb(training.memoryBytes)}, ${(training.weights / 1e6).toFixed(2)} M weights`]
        : []),
      ...(layout === undefined ? [] : [`layout ${describeLayout(layout)}`]),
      `output ${describeOutput(output, outputs, labels)}`,
      ...(preprocess === undefined ? [] : [`preprocess ${describePreprocess(preprocess)}`]),
      ...(isModel ? [`licence ${licence ?? "not said"}`] : []),
      "",
      table([
        ["layer", "how", "output", "million multiply-adds"],
        ...layers.map(({ name, op, algorithm, output, gmacs }) => [
          name,
          algorithm ?? op,
          output.join("×"),
          Number((1e3 * gmacs).toFixed(1)),
        ]),
      ]),
      "",
    ].join("\n"),
  );
  return 0;
}

/** Of a name whose weights are not in the cache. */
function toDownload(source: string): string {
  const known = pretrained(source);
  return known === undefined ? "none" : `not downloaded, ${(known.bytes / 1e6).toFixed(1)} MB`;
}

function describeLayout({ version, build, dots, columns, layers }: Layout): string {
  const all = Object.values(layers);
  const packed = all.filter(({ form }) => form !== undefined).length;
  const products = dots === undefined ? "" : `, int8 products ${dots}`;
  return `packed, version ${version}: ${packed} of ${all.length} layers in panels of ${columns}, as the ${build} build chose${products}`;
}

/** Class names that a line has room for. */
const SHOWN = 5;

function describeOutput(kind: OutputKind, outputs: number, labels: readonly string[]): string {
  if (kind === "none") return `none: ${outputs} numbers, no classes`;
  const meaning = kind === "softmax" ? "one class an image" : "any number of classes an image";
  const names = `: ${labels.slice(0, SHOWN).join(", ")}${labels.length > SHOWN ? ", …" : ""}`;
  return `${kind}, ${meaning}\nclasses ${outputs}${labels.length === 0 ? ", without names" : names}`;
}

function describePreprocess({ resize, crop, squash, filter, mean, std, order }: Preprocess): string {
  const numbers = (values: readonly number[]): string => values.map((value) => Number(value.toFixed(4))).join(",");
  const how = squash ? "squash to" : "resize to";
  return `${how} ${resize.join("×")} ${filter}, crop ${crop.join("×")}, ${order}, mean ${numbers(mean)}, std ${numbers(std)}`;
}
