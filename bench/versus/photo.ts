/**
 * A photo's bytes to its five best classes, int8, one thread: ours against sharp (libvips), which shrinks while it decodes, with
 * onnxruntime-node behind it. All in one process, interleaved: see `photo-turns.ts`.
 *
 * The clock says something on a quiet machine only; processor time, of the whole process, says something on a busy one too.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { runChild } from "./child.ts";
import { median } from "./contest.ts";
import { writeModel } from "./files.ts";
import { count, vectorsOf } from "./options.ts";
import type { PhotoJob, Times, Turns } from "./photo-turns.ts";
import { columns, title } from "./report.ts";
import { samplePhoto } from "./sample-photo.ts";

const USAGE = `bench versus photo [--file PHOTO.jpg] [--model resnet50] [--vectors both] [--rounds 15] [--json FILE]
`;

/** Runs the comparison; resolves to the exit code. Throws when the rival sees another picture than ours. */
export async function run(args: readonly string[]): Promise<number> {
  let options: ReturnType<typeof parse>;
  try {
    options = parse(args);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  const { model, rounds } = options;
  const folder = await mkdtemp(join(tmpdir(), "resnet-wasm-versus-"));
  const all: (Turns & { readonly vectors: number })[] = [];
  try {
    const photo = options.file ?? join(folder, "made.jpg");
    if (options.file === undefined) await writeFile(photo, await samplePhoto());
    process.stdout.write(`${basename(photo)}, ${((await readFile(photo)).length / 1e6).toFixed(1)} MB\n`);
    for (const vectors of options.vectors) {
      const setting = { model, dtype: "int8", threads: 1, batch: 1, vectors } as const;
      const job: PhotoJob = { setting, files: await writeModel(folder, setting), photo, rounds };
      const answer = await runChild<Turns>(new URL("photo-turns.ts", import.meta.url), job);
      if ("unavailable" in answer) process.stdout.write(`${title(setting)}: not available: ${answer.unavailable}\n`);
      else {
        all.push({ ...answer.result, vectors });
        process.stdout.write(`\n${title(setting)}\n${table(answer.result)}\n`);
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(all, undefined, 2)}\n`);
  return 0;
}

/** Times in ms; of ours, how many times as long they are as the rival's. */
function table({ rival, ours, difference }: Turns): string {
  const cells = ({ answerMs, answerCpuMs, inputMs, inputCpuMs }: Times): readonly number[] => [
    Math.min(...answerMs),
    median(answerMs),
    Math.min(...answerCpuMs),
    median(answerCpuMs),
    Math.min(...inputMs),
    Math.min(...inputCpuMs),
  ];
  const head = [
    "ms",
    "answer min",
    "median",
    "CPU min",
    "median",
    "input min",
    "CPU min",
    "÷ min",
    "median",
    "÷ CPU min",
    "median",
  ];
  const theirs = cells(rival);
  const lines = [rival, ...ours].map((times) => {
    const mine = cells(times);
    const ratios = times === rival ? [] : mine.slice(0, 4).map((ms, i) => (ms / theirs[i]!).toFixed(2));
    return [times.name, ...mine.map((ms) => ms.toFixed(1)), ...ratios];
  });
  return `${columns([head, ...lines])}\npictures differ by ${difference.toFixed(1)} of 255 in the mean`;
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      file: { type: "string" },
      model: { type: "string", default: "resnet50" },
      vectors: { type: "string", default: "both" },
      rounds: { type: "string", default: "15" },
      json: { type: "string" },
    },
  });
  const { file, model, json } = values;
  return { file, model, json, vectors: vectorsOf(values.vectors), rounds: count("--rounds", values.rounds) };
}
