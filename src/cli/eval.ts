/** `resnet-wasm eval DIR`: accuracy over labelled images, by one model or several together, in one view or many. */
import { type Classifier, loadWith } from "../classifier.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import { withTwins } from "../twins.ts";
import { type Answered, hits, suspicion, wilson } from "./accuracy.ts";
import { BEST } from "./eval-journal.ts";
import { type EvalCommand, type Evaluation, evaluateModels, type Member, THRESHOLD } from "./evaluate.ts";
import { recordFiles } from "./fingerprint.ts";
import { interruptible } from "./interrupt.ts";
import type { Fingerprint } from "./journal.ts";
import { inReplicas, loadOptions, workersOf } from "./options.ts";
import { checkWritable, writeAtomically } from "./output.ts";
import { remark, table } from "./terminal.ts";

type Single = Extract<Evaluation, { readonly kind: "single" }>;
type Multi = Extract<Evaluation, { readonly kind: "multi" }>;

const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;

/** Each member's own accuracy. */
function membersOf(sources: readonly string[], answers: readonly Answered[]): readonly Member[] {
  if (sources.length === 1) return [];
  const share = (at: number, k: number): number =>
    answers.filter(({ label, members }) => members[at]!.slice(0, k).includes(label)).length / answers.length;
  return sources.map((model, at) => ({ model, top1: share(at, 1), top5: share(at, BEST) }));
}

/** The result as JSON, and as text. */
interface Printed {
  readonly json: object;
  readonly text: string;
}

function printSingle({ accuracy, answers, classes }: Single, options: EvalCommand, labels: readonly string[]): Printed {
  const { failed: _, ...figures } = accuracy;
  const { images, top1, top5, msPerImage } = figures;
  const members = membersOf(options.model, answers);
  const interval = wilson(hits(answers, 1), answers.length);
  const remarks = suspicion(answers, classes, (index) => labels[index] ?? `${index}`);
  for (const each of remarks) remark(options.quiet, each);
  const json = {
    ...figures,
    top1Interval: interval.map((edge) => Number(edge.toFixed(4))),
    crops: options.crops ?? 1,
    scales: options.scales ?? [],
    models: members.length === 0 ? [{ model: options.model[0]!, top1, top5 }] : members,
    ...(remarks.length > 0 && { remarks }),
  };
  const line = (one: number, five: number): string => `top-1 ${percent(one)}  top-5 ${percent(five)}`;
  const text = [
    ...members.map((member) => `${line(member.top1, member.top5)}  ${member.model}\n`),
    `${images} images  ${line(top1, top5)}  ${msPerImage} ms an image\n`,
  ].join("");
  return { json, text };
}

function printMulti({ accuracy }: Multi, options: EvalCommand, labels: readonly string[]): Printed {
  const { threshold = THRESHOLD } = options;
  const { images, msPerImage, meanAveragePrecision, exact } = accuracy;
  const classes = accuracy.classes.map(({ label, ...metrics }) => ({ label: labels[label] ?? `${label}`, ...metrics }));
  const json = {
    ...{ images, msPerImage, meanAveragePrecision, exact, threshold, classes },
    ...{ crops: options.crops ?? 1, scales: options.scales ?? [] },
    models: options.model.map((model) => ({ model })),
  };
  const rows = classes.map(({ label, positives, averagePrecision, accuracy: share }) => {
    const precision = averagePrecision === undefined ? "–" : percent(averagePrecision);
    return [label, positives, precision.padStart(8), percent(share).padStart(8)];
  });
  const text = [
    `${images} images  mAP ${percent(meanAveragePrecision)}  all labels right ${percent(exact)}  ${msPerImage} ms an image\n\n`,
    `${table([["class", "images", "AP", `accuracy at ${threshold}`], ...rows])}\n`,
  ].join("");
  return { json, text };
}

async function writeReport(
  path: string,
  evaluation: Evaluation,
  directory: string,
  options: EvalCommand,
  labels: readonly string[],
): Promise<void> {
  let page: string;
  if (evaluation.kind === "single") {
    const { evaluationReport } = await import("./report/evaluation.ts");
    const members = membersOf(options.model, evaluation.answers);
    page = await evaluationReport(evaluation, { directory, options, members, labels });
  } else {
    const { multiLabelReport } = await import("./report/multilabel.ts");
    page = await multiLabelReport(evaluation.accuracy, { directory, options, labels });
  }
  await writeAtomically(path, [new TextEncoder().encode(page)]);
}

/** Evaluates and prints accuracy; with `report`, writes a page about it. */
export async function evaluate(directory: string, options: EvalCommand): Promise<number> {
  const signal = interruptible();
  if (options.report !== undefined) await checkWritable(options.report);
  const { model: sources } = options;
  const models: Classifier[] = [];
  const given = inReplicas(options, options.limit ?? Number.POSITIVE_INFINITY);
  remark(options.quiet, `computing with ${workersOf(given)}`);
  const recorder = recordFiles(withTwins(nodeRuntime()));
  const digests: string[] = [];
  try {
    for (const source of sources) {
      const model = await loadWith(recorder.runtime, source, loadOptions(given, signal));
      if (options.resume !== undefined) digests.push(await recorder.digest());
      models.push(model);
      const prefix = sources.length === 1 ? "" : `${source}: `;
      for (const guess of model.model.guesses) remark(options.quiet, `${prefix}assumed: ${guess.message}`);
    }
    const { arch, stride, epsilon, size, preprocess, mean, std, squash, output, key } = options;
    const fingerprint: Fingerprint = {
      models: digests.join(" "),
      options: JSON.stringify({ arch, stride, epsilon, size, preprocess, mean, std, squash, output, key }),
    };
    const evaluation = await evaluateModels(models, directory, options, signal, fingerprint);
    const { labels } = models[0]!.model;
    const { json, text } =
      evaluation.kind === "single" ? printSingle(evaluation, options, labels) : printMulti(evaluation, options, labels);
    if (options.report !== undefined) await writeReport(options.report, evaluation, directory, options, labels);
    process.stdout.write(options.json ? `${JSON.stringify(json)}\n` : text);
    return evaluation.accuracy.failed > 0 ? 1 : 0;
  } finally {
    for (const model of models) await model.dispose();
  }
}
