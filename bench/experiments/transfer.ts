/**
 * Transfer: ants and bees by ResNet-50. Accuracy against photos per class, by a new head of each kind; and with all photos, by a new
 * head, the last stage and everything: accuracy, time and memory.
 *
 * The photos are those of PyTorch's transfer-learning tutorial: a folder with `train/` and `val/`, each with a folder for each class.
 */
import { join } from "node:path";
import { openDataset } from "../../src/cli/dataset.ts";
import { uniform } from "../../src/models/random.ts";
import { type Dataset, type FeatureStore, type FinetuneOptions, finetune, HEADS } from "../../src/runtimes/node.ts";
import type { Point } from "./plot.ts";
import type { Run, Summary } from "./run.ts";
import { percent } from "./training.ts";

const PHOTOS = join(import.meta.dirname, "../../../shared/data/hymenoptera");
const MODEL = "resnet50";
/** Photos of each class. */
const COUNTS = [1, 2, 5, 10, 50, Number.POSITIVE_INFINITY];
const SEEDS = 5;
/** Of the short form: photos of each class to learn from, and to test with. */
const [QUICK_COUNTS, QUICK_VAL] = [[1, 5], 10] as const;
/** What else is trained, and for how long. */
const PARTS = [
  { train: "layer4", epochs: 4 },
  { train: "all", epochs: 4 },
] as const satisfies readonly FinetuneOptions[];

interface Result {
  readonly [key: string]: string | number;
  readonly part: string;
  readonly head: string;
  readonly photosPerClass: number;
  readonly seed: number;
  readonly valTop1: number;
  /** Of this run alone: where `featuresKnown` is not 0, earlier ones had computed features of so many photos. */
  readonly seconds: number;
  readonly featuresKnown: number;
  readonly memoryMB: number;
}

export async function run(run: Run): Promise<Summary> {
  const { quick } = run;
  const folder = run.data ?? PHOTOS;
  const open = (part: string): Promise<Dataset> =>
    openDataset(join(folder, part), undefined, { build: "auto" }, run.signal);
  const [train, all] = [await open("train"), await open("val")];
  const val = quick ? ofEachClass(all, QUICK_VAL, 1) : all;
  const rows: Result[] = [];
  const add = async (images: Dataset, photos: number, seed: number, options: FinetuneOptions): Promise<void> => {
    const row = await one(run, images, val, photos, seed, options);
    rows.push(row);
    run.say(
      `${row.part}, ${row.head} head, ${row.photosPerClass} photos of each class, seed ${seed}: ${percent(row.valTop1)}`,
    );
    await run.table("transfer.csv", rows);
  };
  const featureStore = inMemory();
  for (const count of quick ? QUICK_COUNTS : COUNTS) {
    for (let seed = run.seed; seed < run.seed + (quick ? 1 : SEEDS); ++seed) {
      const images = ofEachClass(train, count, seed);
      // With all photos the first seed's runs compute everything, for their times.
      const isTimed = count === Number.POSITIVE_INFINITY && seed === run.seed;
      const kept = isTimed ? {} : { featureStore };
      for (const head of HEADS) {
        await add(images, Math.min(count, largest(train)), seed, { train: "head", head, augment: "none", ...kept });
      }
    }
  }
  for (const options of quick ? [] : PARTS) await add(train, largest(train), run.seed, options);
  const points = rows
    .filter(({ part }) => part === "head")
    .map(({ head, photosPerClass, seed, valTop1 }): Point => {
      return { x: photosPerClass, y: 100 * valTop1, series: `${MODEL}, ${head} head`, run: seed };
    });
  const title = "Ants and bees: accuracy against photos";
  await run.plot("transfer.svg", { title, x: "photos of each class", y: "accuracy, %", logX: true, points });
  return { model: MODEL, validation: val.examples.length, results: rows };
}

async function one(
  { threads, signal }: Run,
  images: Dataset,
  val: Dataset,
  photosPerClass: number,
  seed: number,
  options: FinetuneOptions,
): Promise<Result> {
  const began = performance.now();
  let [memoryBytes, featuresKnown] = [0, 0];
  const { valTop1, head = "logistic" } = await finetune(MODEL, images, {
    ...{ ...options, val, seed, threads, signal },
    onProgress(seen) {
      if (seen.phase === "plan") memoryBytes = seen.memoryBytes;
      if (seen.phase === "features") featuresKnown = seen.known;
    },
  });
  return {
    ...{ part: options.train!, head, photosPerClass, seed, valTop1: valTop1! },
    ...{
      seconds: Math.round((performance.now() - began) / 100) / 10,
      featuresKnown,
      memoryMB: Math.round(memoryBytes / 1e6),
    },
  };
}

/** Heads of the same photos, and all runs' photos to test with, share their features. */
function inMemory(): FeatureStore {
  const kept = new Map<string, Uint8Array>();
  return {
    get: async (key) => kept.get(key),
    put: async (key, bytes) => {
      kept.set(key, bytes);
    },
  };
}

/** `count` photos of each class, drawn by the seed; all where there are fewer. */
export function ofEachClass({ classes, examples }: Dataset, count: number, seed: number): Dataset {
  const chosen = classes.flatMap((_, label) => {
    const mine = examples.filter((example) => example.label === label);
    const next = uniform(seed);
    const keys = mine.map(() => next());
    return [...mine.keys()]
      .sort((a, b) => keys[a]! - keys[b]!)
      .slice(0, count)
      .map((i) => mine[i]!);
  });
  return { classes, examples: chosen };
}

function largest({ classes, examples }: Dataset): number {
  return Math.max(...classes.map((_, label) => examples.filter((example) => example.label === label).length));
}
