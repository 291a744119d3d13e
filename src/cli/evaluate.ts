/** Models over a labelled set: their answers image by image, and what follows from them. */
import { createHash } from "node:crypto";
import type { Classifier } from "../classifier.ts";
import { toPixels } from "../decode/photo.ts";
import { DatasetError, expectedGot, ImageError, OptionError } from "../errors.ts";
import { outputNode } from "../graph.ts";
import { type ClassMetrics, classMetrics, exactMatches, meanAveragePrecision, type Scored } from "../multilabel.ts";
import { classCount } from "../output.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import { type Example, isMultiLabel } from "../train/dataset.ts";
import type { Views } from "../views.ts";
import { type Answered, hits } from "./accuracy.ts";
import { asYesOrNo, inModelClasses, openDataset, skippedRemark } from "./dataset.ts";
import { BEST, type Entry, imageDigest, isEntryOf, type Result } from "./eval-journal.ts";
import { inOrder } from "./in-order.ts";
import { type Fingerprint, openJournal } from "./journal.ts";
import type { CommonOptions } from "./options.ts";
import { progress } from "./progress.ts";
import { messageOf, remark } from "./terminal.ts";

export interface EvalOptions extends Omit<CommonOptions, "model"> {
  readonly labels?: string;
  readonly limit?: number;
  readonly crops?: 1 | 2 | 10;
  readonly scales?: readonly number[];
  readonly resume?: string;
  /** From which score on an image of a set of several labels has a class; 0.5. */
  readonly threshold?: number;
}

/** A member of an ensemble, on its own. */
export interface Member {
  readonly model: string;
  readonly top1: number;
  readonly top5: number;
}

/** The command's options: `--model` may come several times. */
export interface EvalCommand extends EvalOptions {
  readonly model: readonly string[];
  readonly report?: string;
}

interface Figures {
  /** Those that could be read. */
  readonly images: number;
  /** Time over images, decoding included. */
  readonly msPerImage: number;
  /** Images that could not be read: reported, not counted. */
  readonly failed: number;
}

/** Top-1 and top-5 as fractions. */
export interface Accuracy extends Figures {
  readonly top1: number;
  readonly top5: number;
}

/** Of a set of several labels an image. */
export interface LabelAccuracy extends Figures {
  readonly meanAveragePrecision: number;
  /** Share of images whose labels were all found, and no other. */
  readonly exact: number;
  readonly classes: readonly ClassMetrics[];
}

/** What an evaluation found, of a set of one label an image or of several. */
export type Evaluation = { readonly examples: readonly Example[]; readonly classes: number } & (
  | { readonly kind: "single"; readonly accuracy: Accuracy; readonly answers: readonly Answered[] }
  | { readonly kind: "multi"; readonly accuracy: LabelAccuracy; readonly answers: readonly Scored[] }
);

export const THRESHOLD = 0.5;

/** Indices of the largest numbers, largest first. */
function best(probabilities: Float32Array): readonly number[] {
  return [...probabilities.keys()].sort((a, b) => probabilities[b]! - probabilities[a]! || a - b).slice(0, BEST);
}

const rounded = (value: number): number => Number(value.toPrecision(6));

async function answer(models: readonly Classifier[], example: Example, views: Views): Promise<Answered | Scored> {
  const { name, label, image } = example;
  // Replicas decode, each for itself.
  const pixels = models[0]!.replicas === undefined ? await toPixels(image(), nodeRuntime()) : undefined;
  const each: Float32Array[] = [];
  for (const model of models) each.push(await model.probabilities(pixels ?? image(), views));
  const mean = each[0]!.map((_, i) => each.reduce((sum, probabilities) => sum + probabilities[i]!, 0) / each.length);
  if (typeof label !== "number") return { name, labels: label, scores: Array.from(mean, rounded) };
  return {
    name,
    label,
    best: best(mean).map((index) => [index, rounded(mean[index]!)] as const),
    members: models.length === 1 ? [] : each.map(best),
  };
}

function classesOf({ model: { graph, labels } }: Classifier): number {
  return classCount(outputNode(graph).shape[2], labels);
}

/** The examples of a set, in the model's classes; says what had to be assumed and which files are left out. */
async function openExamples(
  model: Classifier,
  directory: string,
  options: EvalOptions,
  signal: AbortSignal,
): Promise<readonly Example[]> {
  const set = await openDataset(directory, options.labels, options, signal);
  const inClasses = classesOf(model) === 1 && !isMultiLabel(set) ? asYesOrNo : inModelClasses;
  const { examples, guess } = inClasses(directory, set, model.model);
  if (guess !== undefined) remark(options.quiet, `assumed: ${guess}`);
  const skipped = skippedRemark(set.skipped);
  if (skipped !== undefined) remark(options.quiet, skipped);
  return examples.slice(0, options.limit ?? examples.length);
}

/**
 * Evaluates models, their probabilities averaged, over a labelled set.
 *
 * @param fingerprint the models and what else the results depend on beside the options, for `resume`
 * @throws DatasetError for a set whose classes are not the models', or of which no image can be read; OptionError for
 * models of different classes
 */
export async function evaluateModels(
  models: readonly Classifier[],
  directory: string,
  options: EvalOptions,
  signal: AbortSignal,
  fingerprint: Fingerprint = {},
): Promise<Evaluation> {
  const [classes, ...others] = models.map(classesOf);
  const other = others.find((count) => count !== classes);
  if (other !== undefined)
    throw new OptionError("ensemble", expectedGot("ensemble", `models of ${classes} classes`, `one of ${other}`));
  const examples = await openExamples(models[0]!, directory, options, signal);
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
  const entryOf = async (example: Example, at: number): Promise<Entry & { readonly isNew: boolean }> => {
    signal.throwIfAborted();
    const sha256 = options.resume === undefined ? "" : await imageDigest(example);
    const earlier = known.get(at);
    if (earlier !== undefined && earlier.sha256 === sha256) return { ...earlier, isNew: false };
    try {
      return { at, sha256, result: await answer(models, example, views), isNew: true };
    } catch (error) {
      // Anything else is wrong with the options or the model, and would be with the next image.
      if (!(error instanceof ImageError)) throw error;
      return { at, sha256, result: { name: example.name, failed: messageOf(error) }, isNew: true };
    }
  };
  const line = progress(options.quiet === true, { name: "evaluating", total: examples.length, unit: "images" });
  let right = 0;
  const start = performance.now();
  try {
    for await (const { at, sha256, result, isNew } of inOrder(examples, models[0]!.replicas ?? 1, entryOf)) {
      if (isNew) {
        fresh += 1;
        if ("failed" in result) line.say(`${result.name}: ${result.failed}`);
        await journal.add({ at, sha256, result });
      }
      results.push(result);
      if ("best" in result && result.best[0]![0] === result.label) right += 1;
      line.tick("scores" in result ? "" : `top-1 ${((100 * right) / results.length).toFixed(1)} %`);
    }
  } finally {
    line.stop();
  }
  const answers = results.filter((result): result is Answered => "best" in result);
  const scored = results.filter((result): result is Scored => "scores" in result);
  const images = answers.length + scored.length;
  if (images === 0) throw new DatasetError("empty", expectedGot(directory, "at least one readable image", "none"));
  const msPerImage = Number(((performance.now() - start) / Math.max(1, fresh)).toFixed(2));
  const figures: Figures = { images, msPerImage, failed: results.length - images };
  if (answers.length > 0) {
    const [top1, top5] = [hits(answers, 1) / images, hits(answers, BEST) / images];
    return { kind: "single", accuracy: { ...figures, top1, top5 }, answers, examples, classes: classes! };
  }
  const { threshold = THRESHOLD } = options;
  const metrics = classMetrics(scored, classes!, threshold);
  const accuracy: LabelAccuracy = {
    ...figures,
    meanAveragePrecision: meanAveragePrecision(metrics),
    exact: exactMatches(scored, threshold),
    classes: metrics,
  };
  return { kind: "multi", accuracy, answers: scored, examples, classes: classes! };
}

/** Accuracy of a loaded model over a labelled set. Throws as `evaluateModels`. */
export async function accuracyOf(
  model: Classifier,
  directory: string,
  options: EvalOptions,
  signal: AbortSignal,
): Promise<Accuracy | LabelAccuracy> {
  return (await evaluateModels([model], directory, options, signal)).accuracy;
}
