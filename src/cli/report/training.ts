/** The report of `finetune` and `train`: how it went, how right it is now, and where it is wrong. */
import type { Example } from "../../train/dataset.ts";
import type { Finetuned } from "../../train/finetune.ts";
import type { EpochRecord } from "../../train/state.ts";
import { confusions, hits, mistakes, wilson } from "../accuracy.ts";
import { environment } from "../environment.ts";
import { MATRIX, matrix, pictures } from "./answers.ts";
import { type Chart, document, escaped, figure, figures, grid, machineTable, percent } from "./page.ts";

const COLOURS = ["#0a72c4", "#d1651a", "#2b9348", "#8d5bd1", "#b5a200", "#c23b6b", "#5a6570", "#00958f"];

interface Subject {
  readonly source: string;
  readonly options: { readonly model: string; readonly arch?: string; readonly train: string };
  /** Those that were validated with. */
  readonly examples: readonly Example[];
  /** Images a second whose features were computed; absent where none were. */
  readonly featuresPerSecond?: number | undefined;
}

interface Line {
  readonly name: string;
  readonly values: readonly (number | undefined)[];
}

function curves(
  id: string,
  caption: string,
  history: readonly EpochRecord[],
  lines: readonly Line[],
  y: object,
): Chart {
  const drawn = lines.filter(({ values }) => values.some((value) => value !== undefined));
  const ends = drawn.map(({ name, values }) => `${name} from ${values[0]} to ${values.at(-1)}`);
  return {
    id,
    caption,
    description: `${caption} ${ends.join("; ")}`,
    config: {
      type: "line",
      data: {
        labels: history.map(({ epoch }) => epoch),
        datasets: drawn.map(({ name, values }, i) => ({
          label: name,
          data: values.map((value) => value ?? null),
          borderColor: COLOURS[i % COLOURS.length],
          backgroundColor: COLOURS[i % COLOURS.length],
          borderWidth: 2,
          pointRadius: history.length > 40 ? 0 : 2,
        })),
      },
      options: { scales: { x: { title: { display: true, text: "epoch" } }, y } },
    },
  };
}

/** A row for each class of the validation set, the worst first, where there are not too many. */
function perClass({ valClasses }: Finetuned): string {
  const rows = [...valClasses].sort((a, b) => a.accuracy - b.accuracy).slice(0, MATRIX);
  const hasPrecision = valClasses.some(({ averagePrecision }) => averagePrecision !== undefined);
  return grid(
    ["class", "images", "accuracy", ...(hasPrecision ? ["average precision"] : [])],
    rows.map(({ name, images, accuracy, averagePrecision }) => [
      ...[name, images, percent(accuracy)],
      ...(hasPrecision ? [averagePrecision === undefined ? "none" : percent(averagePrecision)] : []),
    ]),
  );
}

/** The page. */
export async function trainingReport(
  result: Finetuned,
  { source, options, examples, featuresPerSecond }: Subject,
): Promise<string> {
  const { history, classes, failed } = result;
  // Of several labels an image there is no one answer that could be taken for another.
  const answers = result.answers.flatMap((answer) => {
    const { label } = answer;
    return typeof label === "number" ? [{ ...answer, label, members: [] }] : [];
  });
  const nameOf = (index: number): string => classes[index] ?? `${index}`;
  const stages = Object.keys(history.at(-1)!.gradNorms);
  const share = { min: 0, max: 1, title: { display: true, text: "accuracy" } };
  const charts = [
    curves(
      "loss",
      "Loss: mean over an epoch while the weights moved, and of the validation set after it.",
      history,
      [
        { name: "training", values: history.map(({ trainLoss }) => trainLoss) },
        { name: "validation", values: history.map(({ valLoss }) => valLoss) },
      ],
      { min: 0, title: { display: true, text: "loss" } },
    ),
    curves(
      "accuracy",
      "Accuracy, of images as training varied them, and of the validation set as it is.",
      history,
      [
        { name: "training", values: history.map(({ trainTop1 }) => trainTop1) },
        { name: "validation", values: history.map(({ valTop1 }) => valTop1) },
      ],
      share,
    ),
    curves(
      "rate",
      "Learning rate of each epoch's last step.",
      history,
      [{ name: "learning rate", values: history.map(({ learningRate }) => learningRate) }],
      { min: 0, title: { display: true, text: "learning rate" } },
    ),
    curves(
      "gradients",
      "Norm of the gradient by stage, of each epoch's last step; logarithmic.",
      history,
      stages.map((stage) => ({ name: stage, values: history.map(({ gradNorms }) => gradNorms[stage]) })),
      { type: "logarithmic", title: { display: true, text: "norm of the gradient" } },
    ),
  ];
  const all = confusions(answers);
  const wrong = mistakes(answers);
  const machine = environment();
  const interval = wilson(hits(answers, 1), answers.length)
    .map((edge) => percent(edge, 1))
    .join(" to ");
  const valued = answers.length > 0;
  const { model, arch, train } = options;
  // A step of the head alone has no photo in it: what takes the time then is the features.
  const speeds: (readonly [string, string])[] = [];
  if (featuresPerSecond !== undefined) speeds.push([`${featuresPerSecond}`, "images a second, for their features"]);
  if (train !== "head") speeds.push([`${result.imagesPerSecond}`, "images a second, forward and backward"]);
  const body = [
    `<p class="soft">${escaped(arch ?? model)}, ${escaped(train)}, on ${escaped(source)}, ${machine.date.slice(0, 10)}</p>`,
    figures([
      ...(valued ? ([[percent(hits(answers, 1) / answers.length), `validation, 95 %: ${interval}`]] as const) : []),
      ...(result.valMap === undefined
        ? []
        : ([
            [percent(result.valMap), "validation, mean average precision"],
            [percent(result.valTop1!), "validation, right decisions about a class"],
          ] as const)),
      [percent(result.trainTop1), "training, last epoch"],
      [`${history.length}`, history.length === 1 ? "epoch" : "epochs"],
      ...speeds,
      ...(failed.length === 0 ? [] : ([[`${failed.length}`, "images that could not be read"]] as const)),
    ]),
    ...charts.map(figure),
    ...(result.valClasses.length === 0 ? [] : ["<h2>Each class</h2>", perClass(result)]),
    ...(valued
      ? [
          "<h2>What was taken for what</h2>",
          classes.length <= MATRIX
            ? matrix(
                all,
                classes.map((_, i) => i),
                nameOf,
              )
            : grid(
                ["shown", "answered", "times"],
                all
                  .filter(({ label, answer }) => label !== answer)
                  .slice(0, MATRIX)
                  .map(({ label, answer, count }) => [nameOf(label), nameOf(answer), count]),
              ),
          "<h2>Worst mistakes</h2>",
          wrong.length === 0 ? "<p>None.</p>" : await pictures(wrong, examples, nameOf),
        ]
      : []),
    "<h2>Where</h2>",
    machineTable(machine),
  ];
  return document("Training", body, charts);
}
