/** The turns of `photo.ts`: in each round every contender answers once and makes its input once, and the next round goes the other way. */
import { readFile } from "node:fs/promises";
import process from "node:process";
import { expectedGot } from "../../src/errors.ts";
import { PRESETS } from "../../src/preprocess.ts";
import { load } from "../../src/runtimes/node.ts";
import { answer, useVectors } from "./child.ts";
import type { ModelFiles, Setting } from "./contest.ts";
import { openSharp } from "./engines/sharp.ts";
import { Unavailable } from "./engines/unavailable.ts";
import { warmUp } from "./rounds.ts";

/** What a child process is asked to do. */
export interface PhotoJob {
  readonly setting: Setting;
  readonly files: ModelFiles;
  readonly photo: string;
  readonly rounds: number;
}

/** In ms and in the order measured: by the clock, and processor time of the whole process. */
export interface Times {
  readonly name: string;
  readonly answerMs: readonly number[];
  readonly answerCpuMs: readonly number[];
  readonly inputMs: readonly number[];
  readonly inputCpuMs: readonly number[];
}

export interface Turns {
  readonly rival: Times;
  readonly ours: readonly Times[];
  /** Of the picture that the rival's network sees from the one that ours sees, in the mean, of 255. */
  readonly difference: number;
}

/** Decoders and resizes differ by a little; a picture cropped or scaled in another way differs by tens. */
const LARGEST_DIFFERENCE = 3;

interface Contender {
  readonly name: string;
  /** From the photo's bytes to its five best classes. */
  answer(): Promise<unknown>;
  /** From the photo's bytes to the network's input. */
  input(): Promise<Float32Array>;
}

await answer(async ({ setting, files, photo, rounds }: PhotoJob): Promise<Turns> => {
  useVectors(setting.vectors);
  const bytes = await readFile(photo);
  await using model = await load(files.safetensors, { threads: 1 });
  if (model.vectors !== setting.vectors) {
    const got = `${model.vectors} by its own measurement`;
    throw new Unavailable(expectedGot("ours", `vectors of ${setting.vectors} bits`, got));
  }
  const sharp = await openSharp(files.onnx);
  const contenders: readonly Contender[] = [
    { name: "sharp + onnxruntime-node", answer: () => sharp.classify(bytes), input: () => sharp.pixels(bytes) },
    ...(["fast", "exact"] as const).map((decode) => ({
      name: `ours, ${decode}`,
      answer: () => model.classify(bytes, { decode }),
      input: async () => (await model.preprocess(bytes, { decode })).data,
    })),
  ];
  const difference = differenceOf(await contenders[0]!.input(), await contenders[1]!.input());
  if (!(difference <= LARGEST_DIFFERENCE)) {
    throw new Error(expectedGot("sharp", `the picture of ours within ${LARGEST_DIFFERENCE} of 255`, `${difference}`));
  }
  const entries = contenders.map((contender) => ({ contender, answer: timesOf(), input: timesOf() }));
  for (const { contender } of entries) await warmUp(() => timed(() => contender.answer(), timesOf()));
  for (const { contender } of entries) await warmUp(() => timed(() => contender.input(), timesOf()));
  for (let round = 0; round < rounds; ++round) {
    for (const { contender, answer, input } of round % 2 === 0 ? entries : entries.toReversed()) {
      await timed(() => contender.answer(), answer);
      await timed(() => contender.input(), input);
    }
  }
  const [rival, ...ours] = entries.map(({ contender: { name }, answer, input }): Times => {
    return { name, answerMs: answer.ms, answerCpuMs: answer.cpuMs, inputMs: input.ms, inputCpuMs: input.cpuMs };
  });
  return { rival: rival!, ours, difference };
});

function timesOf(): { readonly ms: number[]; readonly cpuMs: number[] } {
  return { ms: [], cpuMs: [] };
}

/** Runs once and notes the times. Gives the one by the clock. */
async function timed(work: () => Promise<unknown>, { ms, cpuMs }: ReturnType<typeof timesOf>): Promise<number> {
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  await work();
  ms.push(performance.now() - start);
  const { user, system } = process.cpuUsage(cpu);
  cpuMs.push((user + system) / 1000);
  return ms.at(-1)!;
}

/** Between bytes [3, h, w], and normalized ones [h, w, 3]. */
function differenceOf(planes: Float32Array, normalized: Float32Array): number {
  const { mean, std } = PRESETS["torchvision-v1"];
  const count = planes.length / 3;
  let sum = 0;
  for (const [i, x] of normalized.entries()) {
    const [pixel, channel] = [Math.floor(i / 3), i % 3];
    const byte = 255 * (x * std[channel]! + mean[channel]!);
    sum += Math.abs(byte - planes[channel * count + pixel]!);
  }
  return planes.length === normalized.length ? sum / planes.length : Number.NaN;
}
