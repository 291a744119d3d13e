/**
 * Cold loads of ordinary and packed files, in fresh processes that take turns:
 *
 *     npm run bench -- load [FILE …] [--model resnet50] [--rounds 9]
 *
 * Without files: the model with random weights, in f32 and quantized to int8, each as an ordinary file, packed, and packed
 * without Winograd. Minima, in milliseconds of a process that has imported the library and read the file; `floor` as `lib/cold.ts` says.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { table } from "../src/cli/terminal.ts";
import { randomCheckpoint } from "../src/models/random.ts";
import { resnet, resnetSpec } from "../src/models/resnet.ts";
import { convert, quantize } from "../src/runtimes/node.ts";
import type { ColdLoad } from "./lib/cold.ts";
import { bytesOf } from "./lib/prepared.ts";

const CHILD = join(import.meta.dirname, "lib/cold.ts");
/** Times that are told, by their columns. */
const COLUMNS = {
  load: "loadMs",
  "of CPU": "loadCpuMs",
  floor: "floorMs",
  "CPU of it": "floorCpuMs",
  "first image": "firstMs",
  second: "secondMs",
  MB: "memoryMB",
} as const satisfies Readonly<Record<string, keyof ColdLoad>>;

/** Writes the files that are compared, of random weights. */
async function makeFiles(folder: string, name: string): Promise<readonly string[]> {
  const float = await bytesOf(randomCheckpoint(resnet(name, resnetSpec(name)), 1));
  const noise = {
    width: 256,
    height: 256,
    data: Uint8ClampedArray.from({ length: 4 * 256 ** 2 }, (_, i) => (i * i) >> 3),
  };
  const int8 = (await quantize(float, [noise], { arch: name })).bytes;
  const files: string[] = [];
  for (const [dtype, bytes] of [["int8", int8] as const, ["f32", float] as const]) {
    const versions = {
      plain: {},
      packed: { layout: "packed" },
      "packed-direct": { layout: "packed", winograd: false },
    } as const;
    for (const [version, options] of Object.entries(versions)) {
      const isAsItIs = dtype === "int8" && version === "plain";
      const pieces: Uint8Array[] = isAsItIs ? [bytes] : [];
      if (!isAsItIs) for await (const piece of convert(bytes, { arch: name, ...options })) pieces.push(piece);
      files.push(join(folder, `${name}-${dtype}-${version}.safetensors`));
      writeFileSync(files.at(-1)!, Buffer.concat(pieces));
    }
  }
  return files;
}

export async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { model: { type: "string", default: "resnet50" }, rounds: { type: "string", default: "9" } },
  });
  const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-load-"));
  try {
    const files = positionals.length > 0 ? positionals : await makeFiles(folder, values.model);
    const seen = new Map<string, ColdLoad[]>(files.map((file) => [file, []]));
    for (let round = 0; round < Number(values.rounds); ++round) {
      // The order is reversed each round.
      for (const file of round % 2 === 0 ? files : files.toReversed()) {
        const out = execFileSync(process.execPath, ["--expose-gc", CHILD, file], { encoding: "utf8" });
        seen.get(file)!.push(JSON.parse(out));
      }
    }
    const rows = [...seen].map(([file, loads]) => {
      const least = Object.values(COLUMNS).map((key) => Math.min(...loads.map((each) => each[key])).toFixed(1));
      return [basename(file), ...least, `${loads[0]!.sum}`];
    });
    process.stdout.write(`${table([["file", ...Object.keys(COLUMNS), "sum of logits"], ...rows])}\n`);
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
