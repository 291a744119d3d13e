/** Files of the command itself: journals, timings, states of a training, lists of labels. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBytes } from "../../../src/bytes.ts";
import { loadWith } from "../../../src/classifier.ts";
import { BEST, isEntryOf } from "../../../src/cli/eval-journal.ts";
import { openJournal } from "../../../src/cli/journal.ts";
import { fromCsv } from "../../../src/cli/labels-csv.ts";
import { readTuning } from "../../../src/cli/tuning-file.ts";
import { openSafetensors } from "../../../src/formats/safetensors.ts";
import { nodeRuntime } from "../../../src/runtimes/node.ts";
import type { Dataset } from "../../../src/train/dataset.ts";
import { type FinetuneOptions, finetuneWith } from "../../../src/train/finetune.ts";
import { goldenInput, goldenPixels } from "../../golden/weights.ts";
import { jsonFile, safetensors } from "../containers.ts";
import { mutateJson } from "../json.ts";
import { f32 } from "../seeds.ts";
import type { Mutator, Target } from "../target.ts";

const runtime = nodeRuntime();
// In memory, where there is such a folder: a disk would have to keep up with what is written through.
const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "resnet-wasm-fuzz-"));
const path = join(folder, "file");
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const encoded = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A text of JSON lines, one of which changes. */
const jsonLine: Mutator = (bytes, random) => {
  const lines = new TextDecoder().decode(bytes).split("\n");
  const at = random.below(lines.length);
  lines[at] = mutateJson(lines[at]!, random);
  return encoded(lines.join("\n"));
};

const RUN = { models: "0123", views: "{}" };
const EXAMPLES = Array.from({ length: 4 }, (_, i) => ({ name: `${i}.jpg`, label: i, image: () => `${i}.jpg` }));
const LINES = EXAMPLES.map(({ name, label }, at) => ({
  at,
  sha256: "ab",
  result: { name, label, best: Array.from({ length: BEST }, (_, i) => [i, 0.2]), members: [] },
}));

const DATA: Dataset = {
  classes: ["a", "b"],
  examples: Array.from({ length: 8 }, (_, i) => ({
    name: `${i}`,
    label: i % 2,
    image: () => ({ width: 24, height: 24, data: goldenPixels(24, 24).map((value) => value ^ (i % 2 ? 255 : 0)) }),
  })),
};
const OPTIONS: FinetuneOptions = { train: "head", epochs: 3, batch: 4, seed: 1 };

async function trainingState(): Promise<Uint8Array> {
  let state: Uint8Array | undefined;
  await finetuneWith(runtime, f32(), DATA, {
    ...OPTIONS,
    onCheckpoint(bytes) {
      state ??= bytes.slice();
    },
  });
  return state!;
}

export const files: readonly Target[] = [
  {
    name: "journal",
    seeds: async () => [
      encoded(`${[{ journal: RUN }, ...LINES].map((line) => JSON.stringify(line)).join("\n")}\n`),
      encoded(`${JSON.stringify({ journal: RUN })}\n`),
    ],
    mutators: [jsonLine, jsonLine],
    async run(bytes) {
      writeFileSync(path, bytes);
      const journal = await openJournal(path, RUN, (value): value is (typeof LINES)[number] =>
        isEntryOf(value, EXAMPLES, 10, 1),
      );
      return journal.known.flatMap(({ result }) => ("best" in result ? result.best.flat() : []));
    },
  },
  {
    name: "tuning",
    seeds: async () => {
      const ms = { "3x3/1 8x8x32x32": { direct: 1, winograd4: 0.5 }, "1x1/1 8x16x32x32": { gemm: 1 } };
      return [encoded(JSON.stringify({ build: "relaxed", ms })), encoded(JSON.stringify({ build: "baseline", ms }))];
    },
    mutators: [jsonFile, jsonFile],
    async run(bytes) {
      writeFileSync(path, bytes);
      const tuning = readTuning(path)!;
      const classifier = await loadWith(runtime, f32(), { tuning, build: tuning.build });
      try {
        return (await classifier.logits({ data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] })).data;
      } finally {
        await classifier.dispose();
      }
    },
  },
  {
    name: "state",
    seeds: async () => [await trainingState()],
    mutators: [safetensors, safetensors, safetensors],
    async run(bytes) {
      const { bytes: model } = await finetuneWith(runtime, f32(), DATA, { ...OPTIONS, resume: bytes });
      const file = await openSafetensors(fromBytes("model", model));
      const values: number[] = [];
      for (const [name, { dtype }] of file.tensors) {
        if (dtype === "F32") values.push(...new Float32Array((await file.read(name)).slice().buffer));
      }
      return values;
    },
  },
  {
    name: "labels",
    seeds: async () => [
      encoded("file,label\na.jpg,0\nb.jpg,1\n"),
      encoded('file,label\n"a,b.jpg",cat\nsub/b.jpg,dog\n'),
      encoded("a.jpg,cat dog\nb.jpg,dog\n"),
    ],
    mutators: [],
    async run(bytes) {
      writeFileSync(path, bytes);
      const { examples } = await fromCsv(folder, path);
      return examples.flatMap(({ label }) => label);
    },
  },
];
