/** The report of `eval` over a set of several labels an image. */
import { environment } from "../environment.ts";
import { type EvalCommand, type LabelAccuracy, THRESHOLD } from "../evaluate.ts";
import { document, escaped, figures, grid, machineTable, percent } from "./page.ts";

interface Subject {
  readonly directory: string;
  readonly options: EvalCommand;
  readonly labels: readonly string[];
}

/** The page. */
export async function multiLabelReport(
  accuracy: LabelAccuracy,
  { directory, options, labels }: Subject,
): Promise<string> {
  const { threshold = THRESHOLD } = options;
  const machine = environment();
  const byClass = [...accuracy.classes].sort((a, b) => (a.averagePrecision ?? 2) - (b.averagePrecision ?? 2));
  const body = [
    `<p class="soft">${escaped(options.model.join(" + "))} over ${escaped(directory)}, ${machine.date.slice(0, 10)}</p>`,
    figures([
      [percent(accuracy.meanAveragePrecision), "mean average precision"],
      [percent(accuracy.exact), `images with all labels right at ${threshold}`],
      [`${accuracy.images}`, accuracy.failed === 0 ? "images" : `images, ${accuracy.failed} more could not be read`],
      [`${accuracy.msPerImage} ms`, "an image, decoding included"],
    ]),
    "<h2>By class, the worst first</h2>",
    grid(
      ["class", "images", "average precision", `accuracy at ${threshold}`],
      byClass.map(({ label, positives, averagePrecision, accuracy: share }) => [
        labels[label] ?? `${label}`,
        positives,
        averagePrecision === undefined ? "–" : percent(averagePrecision),
        percent(share),
      ]),
    ),
    "<h2>Where</h2>",
    machineTable(machine),
  ];
  return document("Evaluation", body, []);
}
