/** What a training chose by itself, and why: a line each. */
import { countsOf } from "./classes.ts";
import { type Dataset, isMultiLabel } from "./dataset.ts";
import { FEW_IMAGES, type ResolvedTrainingOptions, type TrainingOptions, UNEVEN } from "./options.ts";

/** An option that was not given. */
export interface Choice {
  readonly option: keyof TrainingOptions | "val";
  readonly value: string | number;
  readonly why: string;
}

/** Fewer images to validate with tell accuracies apart by a percent or more. */
const FEW_TO_VALIDATE = 100;

/** The choices that depend on the set. */
export function choicesOf(
  given: TrainingOptions,
  resolved: ResolvedTrainingOptions,
  set: Dataset,
  val: Dataset | undefined,
  isNew: boolean,
): readonly Choice[] {
  const counts = countsOf(set);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const images = set.examples.length;
  const choices: Choice[] = [];
  const add = (option: keyof TrainingOptions, why: string): void => {
    if (given[option] === undefined) choices.push({ option, value: String(resolved[option] ?? "none"), why });
  };
  const { train, head, epochs, classWeights, batch } = resolved;
  const each = least === most ? `${least}` : `${least} to ${most}`;
  if (!isNew) {
    const why =
      train === "head"
        ? `${images} images, ${each} a class: the last layer on features of a trained network is the quickest`
        : `${images} images, ${each} a class: enough to move the last stage of the network`;
    add("train", why);
  }
  const steps = epochs * Math.ceil(images / batch);
  if (head === "logistic") add("epochs", `${images} images in batches of ${batch}: ${steps} steps`);
  else add("head", `${images} images, at most ${FEW_IMAGES}: the last layer follows from features without epochs`);
  if (head === "logistic" && !isMultiLabel(set)) {
    const ratio = `the largest class has ${(most / Math.max(1, least)).toFixed(1)} times the images of the smallest`;
    const why = classWeights === "balanced" ? `${ratio}, ${UNEVEN} or more` : `${ratio}, less than ${UNEVEN}`;
    add("classWeights", why);
  }
  if (val !== undefined && val.examples.length < FEW_TO_VALIDATE && given.folds === undefined) {
    const one = (100 / val.examples.length).toFixed(1);
    const why = `${val.examples.length} images to validate with: one is ${one} %; folds would validate with all ${images + val.examples.length}`;
    choices.push({ option: "folds", value: "none", why });
  }
  return choices;
}
