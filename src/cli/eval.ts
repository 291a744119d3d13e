/** `resnet-wasm eval DIR`: accuracy over labelled images, by one model or several together, in one view or many. */
import { createHash } from "node:crypto";
import { type Classifier, loadWith } from "../classifier.ts";
import { toPixels } from "../decode/input.ts";
import { expectedGot, ImageError, OptionError } from "../errors.ts";
import { outputNode } from "../graph.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import type { Example } from "../train/dataset.ts";
import type { Views } from "../views.ts";
import { type Answered, hits, wilson } from "./accuracy.ts";
import { inModelClasses, openDataset, skippedRemark } from "./dataset.ts";
import { BEST, type Entry, imageDigest, isEntryOf, type Labelled, type Result } from "./eval-journal.ts";
import { recordFiles } from "./fingerprint.ts";
import { interruptible } from "./interrupt.ts";
import { type Fingerprint, openJournal } from "./journal.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { writeAtomically } from "./output.ts";
import { imageBar } from "./progress.ts";
import { messageOf, remark } from "./terminal.ts";

/** Top-1 and top-5 as fractions of the images that could be read; the time of one image, decoding included. */
export interface Accuracy {
  readonly images: number;
  readonly top1: number;
  readonly top5: number;
  readonly msPerImage: number;
  /** Images that could not be read: reported, not counted. */
  readonly failed: number;
}

/** A member of an ensemble, on its own. */
export interface Member {
  readonly model: string;
  readonly top1: number;
  readonly top5: number;
}

export interface EvalOptions extends Omit<CommonOptions, "model"> {
  readonly labels?: string;
  readonly limit?: number;
  readonly crops?: 1 | 10;
  readonly scales?: readonly number[];
  readonly resume?: string;
}

/** The command's options: `--model` may come several times. */
export interface EvalCommand extends EvalOptions {
  readonly model: readonly string[];
  readonly report?: string;
}

/** What an evaluation found. */
export interface Evaluation {
  readonly accuracy: Accuracy;
  readonly answers: readonly Answered[];
  readonly examples: readonly Example[];
}

/** Indices of the largest numbers, largest first. */
function best(probabilities: Float32Array): readonly number[] {
  return [...probabilities.keys()].sort((a, b) => probabilities[b]! - probabilities[a]! || a - b).slice(0, BEST);
}

function hasOneLabel(example: Example): example is Labelled {
  return typeof example.label === "number";
}

async function answer(models: readonly Classifier[], example: Labelled, views: Views): Promise<Answered> {
  const { name, label, image } = example;
  const pixels = await toPixels(image(), nodeRuntime());
  const each: Float32Array[] = [];
  for (const model of models) each.push(await model.probabilities(pixels, views));
  const mean = each[0]!.map((_, i) => each.reduce((sum, probabilities) => sum + probabilities[i]!, 0) / each.length);
  return {
    name,
    label,
    best: best(mean).map((index) => [index, Number(mean[index]!.toPrecision(6))] as const),
    members: models.length === 1 ? [] : each.map(best),
  };
}

/**
 * Evaluates models, their probabilities averaged, over a labelled set.
 *
 * @param fingerprint the models and what else the results depend on beside the options, for `resume`
 * @throws RangeError for a label the models have no class for, models of different classes, or when no image can be read
 */
export async function evaluateModels(
  models: readonly Classifier[],
  directory: string,
  options: EvalOptions,
  signal: AbortSignal,
  fingerprint: Fingerprint = {},
): Promise<Evaluation> {
  const set = await openDataset(directory, options.labels, options, signal);
  const { examples: all, guess } = inModelClasses(directory, set, models[0]!.model);
  if (guess !== undefined) remark(options.quiet, `assumed: ${guess}`);
  const skipped = skippedRemark(set.skipped);
  if (skipped !== undefined) remark(options.quiet, skipped);
  const examples = all.slice(0, options.limit ?? all.length).filter(hasOneLabel);
  const [classes, ...others] = models.map((model) => outputNode(model.model.graph).shape[2]);
  const other = others.find((count) => count !== classes);
  if (other !== undefined)
    throw new OptionError("ensemble", expectedGot("ensemble", `models of ${classes} classes`, `one of ${other}`));
  const { crops, scales } = options;
  const views: Views = { ...(crops === undefined ? {} : { crops }), ...(scales === undefined ? {} : { scales }) };
  const names = createHash("sha256").update(JSON.stringify(examples.map(({ name, label }) => [name, label])));
  const journal = await openJournal(
    options.resume,
    {
      ...fingerprint,
      builds: JSON.stringify(models.map(({ build }) => build)),
      views: JSON.stringify(views),
      images: names.digest("hex"),
    },
    (value): value is Entry => isEntryOf(value, examples, classes!, models.length),
  );
  const known = new Map(journal.known.map((entry) => [entry.at, entry]));
  const results: Result[] = [];
  let fresh = 0;
  const bar = imageBar(options.quiet === true || options.json === true, examples.length);
  let right = 0;
  const start = performance.now();
  try {
    for (const [at, example] of examples.entries()) {
      signal.throwIfAborted();
      const sha256 = options.resume === undefined ? "" : await imageDigest(example);
      const earlier = known.get(at);
      let result: Result;
      if (earlier !== undefined && earlier.sha256 === sha256) result = earlier.result;
      else {
        fresh += 1;
        try {
          result = await answer(models, example, views);
        } catch (error) {
          // Anything else is wrong with the options or the model, and would be with the next image.
          if (!(error instanceof ImageError)) throw error;
          result = { name: example.name, failed: messageOf(error) };
          process.stderr.write(`${example.name}: ${messageOf(error)}\n`);
        }
        await journal.add({ at, sha256, result });
      }
      results.push(result);
      if ("best" in result && result.best[0]![0] === result.label) right += 1;
      bar.tick(`top-1 ${((100 * right) / results.length).toFixed(1)} %`);
    }
  } finally {
    bar.stop();
  }
  const answers = results.filter((result): result is Answered => "best" in result);
  const images = answers.length;
  if (images === 0) throw new RangeError(expectedGot(directory, "at least one readable image", "none"));
  const msPerImage = Number(((performance.now() - start) / Math.max(1, fresh)).toFixed(2));
  const [top1, top5] = [hits(answers, 1) / images, hits(answers, BEST) / images];
  return { accuracy: { images, top1, top5, msPerImage, failed: results.length - images }, answers, examples };
}

/** Accuracy of a loaded model over a labelled set. Throws as `evaluateModels`. */
export async function accuracyOf(
  model: Classifier,
  directory: string,
  options: EvalOptions,
  signal: AbortSignal,
): Promise<Accuracy> {
  return (await evaluateModels([model], directory, options, signal)).accuracy;
}

/** Each member's own accuracy. */
function membersOf(sources: readonly string[], answers: readonly Answered[]): readonly Member[] {
  const share = (at: number, k: number): number =>
    answers.filter(({ label, members }) => members[at]!.slice(0, k).includes(label)).length / answers.length;
  return sources.map((model, at) => ({ model, top1: share(at, 1), top5: share(at, BEST) }));
}

/** Evaluates and prints accuracy; with `report`, writes a page about it. */
export async function evaluate(directory: string, options: EvalCommand): Promise<number> {
  const signal = interruptible();
  const { model: sources } = options;
  const models: Classifier[] = [];
  const recorder = recordFiles(nodeRuntime());
  const digests: string[] = [];
  try {
    for (const source of sources) {
      const model = await loadWith(recorder.runtime, source, loadOptions(options, signal));
      if (options.resume !== undefined) digests.push(await recorder.digest());
      models.push(model);
      const prefix = sources.length === 1 ? "" : `${source}: `;
      for (const guess of model.model.guesses) remark(options.quiet, `${prefix}assumed: ${guess.message}`);
    }
    const { arch, stride, epsilon, size, preprocess, mean, std } = options;
    const fingerprint: Fingerprint = {
      models: digests.join(" "),
      options: JSON.stringify({ arch, stride, epsilon, size, preprocess, mean, std }),
    };
    const evaluation = await evaluateModels(models, directory, options, signal, fingerprint);
    const { accuracy, answers } = evaluation;
    const { failed, ...figures } = accuracy;
    const members = sources.length === 1 ? [] : membersOf(sources, answers);
    const interval = wilson(hits(answers, 1), answers.length);
    const result = {
      ...figures,
      top1Interval: interval.map((edge) => Number(edge.toFixed(4))),
      crops: options.crops ?? 1,
      scales: options.scales ?? [],
      models: members.length === 0 ? [{ model: sources[0]!, top1: figures.top1, top5: figures.top5 }] : members,
    };
    if (options.report !== undefined) {
      const { evaluationReport } = await import("./report/evaluation.ts");
      const page = await evaluationReport(evaluation, { directory, options, members, labels: models[0]!.model.labels });
      await writeAtomically(options.report, [new TextEncoder().encode(page)]);
    }
    const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
    const { images, top1, top5, msPerImage } = figures;
    const line = (name: string, one: number, five: number): string =>
      `${name}top-1 ${percent(one)}  top-5 ${percent(five)}`;
    process.stdout.write(
      options.json
        ? `${JSON.stringify(result)}\n`
        : [
            ...members.map((member) => `${line("", member.top1, member.top5)}  ${member.model}\n`),
            `${line(`${images} images  `, top1, top5)}  ${msPerImage} ms an image\n`,
          ].join(""),
    );
    return failed > 0 ? 1 : 0;
  } finally {
    for (const model of models) await model.dispose();
  }
}
