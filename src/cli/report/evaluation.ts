/** The report of `eval`: accuracy, calibration, confusions, and the most confident mistakes. */
import {
  type Answered,
  type Bin,
  calibrationError,
  confusions,
  hits,
  mistakes,
  reliability,
  wilson,
} from "../accuracy.ts";
import { environment } from "../environment.ts";
import type { EvalCommand, Evaluation, Member } from "../evaluate.ts";
import { MATRIX, matrix, pictures } from "./answers.ts";
import { type Chart, document, escaped, figure, figures, grid, machineTable, percent } from "./page.ts";

/** Pairs and classes in their lists. */
const [PAIRS, EXTREMES] = [15, 8];

const ACCENT = "#0a72c4";

interface Subject {
  readonly directory: string;
  readonly options: EvalCommand;
  readonly members: readonly Member[];
  readonly labels: readonly string[];
}

function reliabilityChart(bins: readonly Bin[]): Chart {
  const points = bins.map(({ confidence, accuracy }) => ({ x: confidence, y: accuracy }));
  return {
    id: "reliability",
    caption:
      "On the line, confidence equals accuracy; below it the model is overconfident. A larger point is more images.",
    description: `Accuracy by confidence: ${bins.map((bin) => `${percent(bin.confidence, 0)}: ${percent(bin.accuracy, 0)}`).join(", ")}`,
    config: {
      type: "scatter",
      data: {
        datasets: [
          {
            label: "answers",
            data: points,
            backgroundColor: ACCENT,
            pointRadius: bins.map(({ count }) => 3 + 9 * Math.sqrt(count / Math.max(...bins.map((bin) => bin.count)))),
          },
          {
            type: "line",
            label: "perfectly calibrated",
            data: [
              { x: 0, y: 0 },
              { x: 1, y: 1 },
            ],
            borderColor: "#8888",
            borderDash: [5, 5],
            borderWidth: 1.5,
            pointRadius: 0,
          },
        ],
      },
      options: {
        scales: {
          x: { min: 0, max: 1, title: { display: true, text: "confidence" } },
          y: { min: 0, max: 1, title: { display: true, text: "accuracy" } },
        },
      },
    },
  };
}

/** Accuracy of each class that has images, worst first. */
function classAccuracies(
  answers: readonly Answered[],
): readonly { readonly label: number; readonly right: number; readonly count: number }[] {
  const classes = new Map<number, { label: number; right: number; count: number }>();
  for (const { label, best } of answers) {
    const known = classes.get(label) ?? { label, right: 0, count: 0 };
    known.count += 1;
    if (best[0]![0] === label) known.right += 1;
    classes.set(label, known);
  }
  return [...classes.values()].sort(
    (a, b) => a.right / a.count - b.right / b.count || b.count - a.count || a.label - b.label,
  );
}

/** The page. */
export async function evaluationReport(
  evaluation: Extract<Evaluation, { readonly kind: "single" }>,
  { directory, options, members, labels }: Subject,
): Promise<string> {
  const { accuracy, answers } = evaluation;
  const nameOf = (index: number): string => labels[index] ?? `${index}`;
  const interval = (k: number): string =>
    wilson(hits(answers, k), answers.length)
      .map((edge) => percent(edge, 1))
      .join(" to ");
  const bins = reliability(answers);
  const all = confusions(answers);
  const seen = [...new Set(all.flatMap(({ label, answer }) => [label, answer]))].sort((a, b) => a - b);
  const wrong = mistakes(answers);
  const byClass = classAccuracies(answers);
  const chart = reliabilityChart(bins);
  const machine = environment();
  const views =
    (options.scales ?? []).length > 0
      ? `${options.scales!.join(", ")} pixels${(options.crops ?? 1) > 1 ? ", mirrored too" : ""}`
      : `${options.crops ?? 1} ${(options.crops ?? 1) > 1 ? "crops" : "crop"}`;
  const classRows = (rows: typeof byClass): string =>
    grid(
      ["class", "right", "of"],
      rows.map(({ label, right, count }) => [nameOf(label), right, count]),
    );
  const body = [
    `<p class="soft">${escaped(options.model.join(" + "))} over ${escaped(directory)}, ${escaped(views)}, ${machine.date.slice(0, 10)}</p>`,
    figures([
      [percent(accuracy.top1), `top-1, 95 %: ${interval(1)}`],
      [percent(accuracy.top5), `top-5, 95 %: ${interval(5)}`],
      [percent(calibrationError(bins)), "expected calibration error"],
      [`${accuracy.images}`, accuracy.failed === 0 ? "images" : `images, ${accuracy.failed} more could not be read`],
      [`${accuracy.msPerImage} ms`, "an image, decoding included"],
    ]),
    ...(members.length === 0
      ? []
      : [
          "<h2>Alone and together</h2>",
          grid(
            ["model", "top-1", "top-5"],
            [
              ...members.map(({ model, top1, top5 }) => [model, percent(top1), percent(top5)]),
              ["together", percent(accuracy.top1), percent(accuracy.top5)],
            ],
          ),
        ]),
    "<h2>Calibration</h2>",
    figure(chart),
    "<h2>Confusions</h2>",
    seen.length <= MATRIX
      ? matrix(all, seen, nameOf)
      : grid(
          ["shown", "answered", "times"],
          all
            .filter(({ label, answer }) => label !== answer)
            .slice(0, PAIRS)
            .map(({ label, answer, count }) => [nameOf(label), nameOf(answer), count]),
        ),
    "<h2>By class</h2>",
    byClass.length <= 2 * EXTREMES
      ? classRows(byClass)
      : `<p class="soft">The ${EXTREMES} worst and the ${EXTREMES} best of ${byClass.length}.</p>${classRows([...byClass.slice(0, EXTREMES), ...byClass.slice(-EXTREMES)])}`,
    "<h2>Most confident mistakes</h2>",
    wrong.length === 0 ? "<p>None.</p>" : await pictures(wrong, evaluation.examples, nameOf),
    "<h2>Where</h2>",
    machineTable(machine),
  ];
  return document("Evaluation", body, [chart]);
}
