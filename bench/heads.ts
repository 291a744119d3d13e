/**
 * Heads without epochs: what ridge regression takes with many images, and with `--data` how heads compare on the photos of a folder
 * (`train/CLASS/`, `val/CLASS/`), of few photos a class and of all.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { table } from "../src/cli/terminal.ts";
import { uniform } from "../src/models/random.ts";
import { load, nodeRuntime } from "../src/runtimes/node.ts";
import { shuffled } from "../src/train/dataset.ts";
import { fit } from "../src/train/fit.ts";
import { canonical, lengthOf, solvedHead, unit } from "../src/train/heads/head.ts";
import { ridge } from "../src/train/heads/ridge.ts";
import { createSolver } from "../src/train/heads/solve.ts";
import { Sums } from "../src/train/heads/sums.ts";
import { headOf, initialise, withClasses } from "../src/train/initialise.ts";
import { resolveOptions } from "../src/train/options.ts";
import { featureSource } from "../src/train/sources.ts";
import { trainWith } from "../src/train/trainer.ts";

interface Row {
  readonly label: number;
  readonly features: Float32Array;
}

/** `bench heads [--images 10000] [--channels 2048] [--classes 100] [--data DIR] [--model resnet50] [--seeds 10] [--shots 1,5,all]` */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      images: { type: "string", default: "10000" },
      channels: { type: "string", default: "2048" },
      classes: { type: "string", default: "100" },
      data: { type: "string" },
      model: { type: "string", default: "resnet50" },
      seeds: { type: "string", default: "10" },
      shots: { type: "string", default: "1,5,all" },
    },
  });
  if (values.data === undefined) await many(Number(values.images), Number(values.channels), Number(values.classes));
  else await few(values.data, values.model, Number(values.seeds), values.shots.split(","));
  return 0;
}

/** Time and memory of ridge regression with leave-one-out. */
async function many(images: number, channels: number, classes: number): Promise<void> {
  const next = uniform(1);
  const centres = Array.from({ length: classes }, () => Float32Array.from({ length: channels }, () => next()));
  const rows = Array.from({ length: images }, (_, i) => {
    return unit(centres[i % classes]!.map((value) => Math.max(0, value + 3 * (next() + next() - 1))));
  });
  const labels = Int32Array.from(rows, (_, i) => i % classes);
  const before = process.resourceUsage().maxRSS;
  const start = { time: performance.now(), cpu: process.cpuUsage() };
  const solver = await createSolver(nodeRuntime());
  const sums = new Sums(channels);
  const names = Array.from({ length: classes }, (_, c) => `${c}`.padStart(6, "0"));
  rows.forEach((row, i) => {
    sums.add({ row, length: 1 }, names[i % classes]!);
  });
  const joined = new Float64Array(classes * channels);
  names.forEach((name, c) => {
    joined.set(sums.of(name), c * channels);
  });
  const counts = Float64Array.from(names, (name) => sums.count(name));
  const known = { channels, classes, labels, counts, sums: joined, row: (i: number) => rows[i]! };
  const { lambda } = ridge(solver, { ...known, gram: () => sums.gram(solver, rows) });
  const { user, system } = process.cpuUsage(start.cpu);
  const [wall, cpu] = [(performance.now() - start.time) / 1e3, (user + system) / 1e6];
  const more = (process.resourceUsage().maxRSS - before) / 1e3;
  const own = (4 * images * channels) / 1e6;
  process.stdout.write(
    `${images} × ${channels}, ${classes} classes: ${wall.toFixed(1)} s, ${cpu.toFixed(1)} s of CPU, λ ${lambda.toPrecision(3)}, ` +
      `${more.toFixed(0)} MB besides the features' ${own.toFixed(0)} MB\n`,
  );
}

/** Accuracy of each head by photos a class. */
async function few(data: string, name: string, seeds: number, shots: readonly string[]): Promise<void> {
  const model = await load(name);
  const classes = readdirSync(join(data, "train")).sort();
  const read = async (part: string): Promise<readonly Row[]> => {
    const rows: Row[] = [];
    for (const [label, each] of classes.entries()) {
      for (const file of readdirSync(join(data, part, each)).sort()) {
        rows.push({ label, features: (await model.features(join(data, part, each, file))).data });
      }
    }
    return rows;
  };
  const [train, val] = [await read("train"), await read("val")];
  const results: Record<string, string>[] = [];
  for (const shot of shots) {
    const heads = { ridge: [] as number[], prototype: [] as number[], logistic: [] as number[] };
    for (let seed = 1; seed <= (shot === "all" ? 1 : seeds); ++seed) {
      const some = classes.flatMap((_, label) => {
        const mine = train.filter((row) => row.label === label);
        return [...shuffled(mine.length, seed)]
          .slice(0, shot === "all" ? mine.length : Number(shot))
          .map((i) => mine[i]!);
      });
      for (const head of ["ridge", "prototype"] as const)
        heads[head].push(accuracy(await solved(some, head, classes.length), val));
      heads.logistic.push(accuracy(await byEpochs(model, some, classes.length, seed), val));
    }
    const text = Object.entries(heads).map(([head, shares]): [string, string] => [head, meanOf(shares)]);
    results.push({ photos: shot, ...Object.fromEntries(text) });
  }
  await model.dispose();
  const columns = ["photos", "ridge", "prototype", "logistic"];
  process.stdout.write(`${table([columns, ...results.map((row) => columns.map((column) => row[column]!))])}\n`);
}

function meanOf(shares: readonly number[]): string {
  const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
  const variance = shares.reduce((sum, share) => sum + (share - mean) ** 2, 0) / Math.max(1, shares.length - 1);
  return `${(100 * mean).toFixed(2)} ± ${(100 * Math.sqrt(variance)).toFixed(2)}`;
}

/** Scores of a class for features. */
type Score = (features: Float32Array, label: number) => number;

function accuracy(
  { score, classes }: { readonly score: Score; readonly classes: number },
  rows: readonly Row[],
): number {
  let right = 0;
  for (const { label, features } of rows) {
    const scores = Array.from({ length: classes }, (_, c) => score(features, c));
    right += Number(scores.indexOf(Math.max(...scores)) === label);
  }
  return right / rows.length;
}

async function solved(some: readonly Row[], head: "ridge" | "prototype", classes: number) {
  const images = canonical(some.map(({ label, features }) => ({ features, label: `${label}`.padStart(6, "0") })));
  const { length: channels } = images[0]!.features;
  const sums = new Sums(channels);
  for (const { features, label } of images) sums.add({ row: unit(features), length: lengthOf(features) }, label);
  const joined = new Float64Array(classes * channels);
  const counts = Float64Array.from(sums.labels, (label, c) => {
    joined.set(sums.of(label), c * channels);
    return sums.count(label);
  });
  const solver = await createSolver(nodeRuntime());
  const row = (i: number): Float32Array => unit(images[i]!.features);
  const known = {
    channels,
    classes,
    counts,
    sums: joined,
    row,
    labels: Int32Array.from(images, ({ label }) => Number(label)),
  };
  const lengths = { meanLength: 1, lengthOf: () => 1 };
  const { weights } = solvedHead(
    solver,
    {
      ...known,
      ...lengths,
      gram: () =>
        sums.gram(
          solver,
          images.map((_, i) => row(i)),
        ),
    },
    head,
  );
  const score: Score = (features, label) => {
    let sum = 0;
    for (let j = 0; j < channels; ++j) sum += weights[label * channels + j]! * features[j]!;
    return sum;
  };
  return { score, classes };
}

/** The head as `--head logistic` trains it, from one view of each photo. */
async function byEpochs(
  { model }: Awaited<ReturnType<typeof load>>,
  some: readonly Row[],
  classes: number,
  seed: number,
) {
  const renewed = withClasses(model, classes, seed);
  const graph = headOf(renewed.graph);
  const given = { train: "head", head: "logistic", seed } as const;
  const options = resolveOptions(given, { isNew: false, images: some.length, isMultiLabel: false });
  const network = { source: "head", graph, checkpoint: initialise(graph, seed) };
  const trainer = await trainWith(nodeRuntime(), network, { ...options, train: "all" }, undefined);
  const { length: channels } = some[0]!.features;
  const examples = some.map(({ label }, i) => ({ name: `${i}`, label, image: () => "" }));
  const labelled = { examples, classes, loss: "cross_entropy" } as const;
  const source = featureSource(labelled, { channels, views: 1, rows: [some.map(({ features }) => features)] }, seed);
  await fit(trainer, source, undefined, {
    ...options,
    ...{ joinsLast: false, averaged: false, signal: undefined, fingerprint: {}, resume: undefined },
    ...{ onCheckpoint: undefined, onProgress: undefined, onEpoch: undefined },
  });
  const tensors = new Map((await trainer.tensors()).map(({ name, bytes }) => [name.split(".").at(-1), bytes]));
  await trainer.dispose();
  const [weights, bias] = ["weight", "bias"].map((name) => new Float32Array(tensors.get(name)!.slice().buffer));
  const score: Score = (features, label) => {
    let sum = bias![label]!;
    for (let j = 0; j < channels; ++j) sum += weights![label * channels + j]! * features[j]!;
    return sum;
  };
  return { score, classes };
}
