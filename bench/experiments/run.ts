/** One run of an experiment: where its files go, and what is said of it. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { environment } from "../../src/cli/environment.ts";
import { writeAtomically } from "../../src/cli/output.ts";
import { csv, type Row } from "./csv.ts";
import { type Plot, svg } from "./plot.ts";

export interface RunOptions {
  readonly name: string;
  /** Minutes instead of hours: less data, fewer epochs, to see that everything works and which way results point. */
  readonly quick: boolean;
  readonly seed: number;
  readonly threads: number;
  /** Folder of the results. */
  readonly out: string;
  /** Folder of photos, for those who need one. */
  readonly data?: string | undefined;
  readonly signal: AbortSignal;
}

export interface Run extends RunOptions {
  /** Folder of weights and checkpoints. */
  readonly state: string;
  say(text: string): void;
  table(file: string, rows: readonly Row[]): Promise<void>;
  plot(file: string, plot: Plot): Promise<void>;
}

/** What an experiment found, for its JSON file. */
export type Summary = Readonly<Record<string, unknown>>;

/** Runs an experiment and writes `result.json` beside its tables and plots. */
export async function perform(
  options: RunOptions,
  experiment: (run: Run) => Promise<Summary>,
  command: string,
): Promise<Summary> {
  const { name, quick, seed, threads, out } = options;
  const state = join(out, "state");
  mkdirSync(state, { recursive: true });
  const write = async (file: string, text: string): Promise<void> => {
    await writeAtomically(join(out, file), [new TextEncoder().encode(text)]);
  };
  const machine = environment();
  const began = performance.now();
  const summary = await experiment({
    ...options,
    state,
    say: (text) => process.stderr.write(`${text}\n`),
    table: (file, rows) => write(file, csv(rows)),
    plot: async (file, plot) => write(file, await svg(plot)),
  });
  const seconds = Math.round((performance.now() - began) / 1000);
  const result = {
    experiment: name,
    quick,
    seed,
    threads,
    command,
    ...machine,
    packages: versions(),
    seconds,
    ...summary,
  };
  await write("result.json", `${JSON.stringify(result, undefined, 2)}\n`);
  return result;
}

/** Versions of what makes kernels and plots. */
function versions(): Readonly<Record<string, string>> {
  const { devDependencies } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const { assemblyscript, binaryen, vega, "vega-lite": vegaLite } = devDependencies;
  return { assemblyscript, binaryen, vega, "vega-lite": vegaLite };
}
