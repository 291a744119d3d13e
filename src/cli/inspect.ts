/** `resnet-wasm inspect M`: what a model is and what it needs, without loading it. */

import { fold } from "../fold.ts";
import { type Graph, inputShape, outputNode } from "../graph.ts";
import { pickBuild } from "../kernels.ts";
import { openModel } from "../model.ts";
import { PRETRAINED } from "../models/pretrained.ts";
import { RESNETS, resnet } from "../models/resnet.ts";
import { macCount, opOf, parameterCount } from "../ops/ops.ts";
import { defaultMemory, fitWeights, plan } from "../plan.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import { printTape } from "../tape.ts";
import { finetuneNeeds, type Part } from "../train/finetune.ts";
import { interruptible } from "./interrupt.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { remark, table } from "./terminal.ts";
import { readTuning } from "./tuning-file.ts";

/** A graph and the element types of its weights; a bare name of the table has none. */
export async function graphOf(
  source: string,
  options: CommonOptions,
): Promise<{ arch: string; graph: Graph; dtypes: readonly string[] }> {
  const spec = RESNETS[source];
  if (spec !== undefined && !Object.hasOwn(PRETRAINED, source)) {
    const size = options.size;
    const stride = options.stride ?? spec.stride;
    const shape = size === undefined ? undefined : ([size, size, 3] as const);
    return { arch: source, graph: resnet(source, { ...spec, stride }, shape), dtypes: [] };
  }
  const model = await openModel(source, loadOptions(options, interruptible()), nodeRuntime());
  for (const guess of model.guesses) remark(options.quiet, `assumed: ${guess.message}`);
  const dtypes = [...new Set([...model.checkpoint.tensors.values()].map(({ dtype }) => dtype))];
  await model.checkpoint.close();
  return { arch: model.arch, graph: model.graph, dtypes };
}

/** Prints what a model is; with `tape`, the steps it runs. */
export async function inspect(
  source: string,
  options: CommonOptions & { readonly tape?: boolean; readonly train?: Part; readonly batch?: number },
): Promise<number> {
  const { arch, graph, dtypes } = await graphOf(source, options);
  const target = { build: pickBuild(options.build), threads: options.threads };
  const folded = fold(graph);
  const budget = {
    memory: options.memory ?? defaultMemory(folded),
    winograd: true,
    tuning: readTuning(options.tuning),
  };
  const weights = fitWeights(folded, target, budget, outputNode(folded).inputs);
  const input = inputShape(folded);
  const { tape, end } = plan(folded, weights, target, 1, input, []);
  const { train, batch, threads, build, memory } = options;
  const given = { train, threads, build, ...(batch && { batch }), ...(memory && { memory }) };
  const training = train && finetuneNeeds(graph, { ...given, train });
  const layers = folded.nodes.map((node) => ({
    name: node.name,
    op: node.op,
    output: node.shape,
    algorithm: weights.variants.get(node.name)?.algorithm,
    kernels: [...new Set(tape.filter(({ label }) => label === node.name).map(({ kernel }) => kernel))],
    gmacs: opOf(node).macs(node) / 1e9,
    weightBytes: opOf(node).weightBytes(node, weights.variants.get(node.name)),
  }));
  const summary = {
    model: source,
    arch,
    build: target.build,
    input,
    parameters: parameterCount(graph),
    gmacs: macCount(graph) / 1e9,
    dtype: dtypes.join(", ") || "none",
    memoryBytes: end,
    weightBytes: weights.end,
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
      `${arch}  ${(summary.parameters / 1e6).toFixed(2)} M parameters  ${summary.gmacs.toFixed(3)} GMAC  weights ${summary.dtype}`,
      `input ${input.join("×")}  memory ${mb(end)}, of which packed weights ${mb(weights.end)}  ${target.build} kernels`,
      ...(training
        ? [`training ${train}: memory ${mb(training.memoryBytes)}, ${(training.weights / 1e6).toFixed(2)} M weights`]
        : []),
      "",
      table([
        ["layer", "how", "output", "MMAC"],
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
