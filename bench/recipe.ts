/**
 * Which recipe wins: fine-tunes with each of some recipes in cross-validation over a folder's training images, some seeds each.
 * The validation images of the set are not looked at, so that a choice made here can be tested with them.
 *
 *     npm run bench -- recipe DIR --model resnet50 --train layer4 --folds 3 --seeds 1,2,3 --only plain,smoothed
 */
import { parseArgs } from "node:util";
import { openTraining } from "../src/cli/dataset.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { finetuneWith } from "../src/train/finetune.ts";
import { type FoldResult, foldsOf, together } from "../src/train/folds.ts";
import type { Part, TrainingOptions } from "../src/train/options.ts";

/** Each adds one thing to what `finetune` does by default; the last has what most recipes for small sets share. */
const RECIPES: Readonly<Record<string, TrainingOptions>> = {
  plain: {},
  smoothed: { labelSmoothing: 0.1 },
  averaged: { ema: 0.95 },
  mirrored: { flips: true },
  mixup: { mixup: 0.2 },
  cutmix: { cutmix: 1 },
  rand: { randAugment: 5 },
  erased: { erase: 0.25 },
  graded: { layerDecay: 0.7 },
  light: { augment: "light" },
  slow: { learningRate: 1e-3 },
  together: { labelSmoothing: 0.1, ema: 0.95, flips: true, mixup: 0.2 },
};

export async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      model: { type: "string", default: "resnet50" },
      train: { type: "string", default: "layer4" },
      folds: { type: "string", default: "3" },
      seeds: { type: "string", default: "1,2,3" },
      only: { type: "string" },
      epochs: { type: "string" },
      threads: { type: "string", default: "2" },
    },
  });
  const [source] = positionals;
  const { signal } = new AbortController();
  if (source === undefined) {
    process.stderr.write("recipe: expected a folder with one folder a class, got nothing\n");
    return 2;
  }
  const { train: set } = await openTraining(source, { build: "auto" }, signal);
  const names = values.only?.split(",") ?? Object.keys(RECIPES);
  const threads = Number(values.threads);
  for (const name of names) {
    const all: FoldResult[] = [];
    const tops: number[] = [];
    for (const seed of values.seeds.split(",").map(Number)) {
      const results: FoldResult[] = [];
      for (const { train, val } of foldsOf(set, Number(values.folds), seed)) {
        const { answers, history, epoch } = await finetuneWith(nodeRuntime(), values.model, train, {
          ...{ val, seed, threads, train: values.train as Part },
          ...(values.epochs !== undefined && { epochs: Number(values.epochs) }),
          ...RECIPES[name],
        });
        const { valLoss, valTop1 } = history[epoch - 1]!;
        results.push({ images: answers.length, loss: valLoss!, top1: valTop1!, epoch });
      }
      tops.push(together(results).top1);
      all.push(...results);
    }
    const { top1, loss } = together(all);
    const seen = tops.map((each) => (100 * each).toFixed(2)).join(" ");
    console.log(`${name.padEnd(10)} top-1 ${(100 * top1).toFixed(2)} % (${seen})  loss ${loss.toFixed(4)}`);
  }
  return 0;
}
