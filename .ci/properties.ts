/**
 * Random networks saved in random forms by PyTorch (properties.py), loaded and compared: a file runs with PyTorch's logits, or
 * is refused with an error that has a code. There is no third way: a silent difference fails.
 *
 *     node .ci/properties.ts [count] [seed]
 */
import { execFileSync } from "node:child_process";
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { loadWith } from "../src/classifier.ts";
import { ModelError } from "../src/errors.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { check, finish, root } from "./checks.ts";

interface Case {
  readonly file: string;
  /** `either`: a network that a format cannot always hold may be refused. */
  readonly kind: "runs" | "refuses" | "either";
  readonly subject?: string;
  readonly what: readonly unknown[];
  readonly size: readonly [number, number];
  readonly shape: readonly [number, number, number, number];
  readonly input: readonly number[];
  readonly logits: readonly number[];
  /** What a graph ends in. */
  readonly output?: string | null;
  /** Whether the file leaves something open that must be announced. */
  readonly ambiguous: boolean;
}

const TOLERANCE = 1e-3;
const [count = "500", seed = "1"] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "properties-"));

/** How one file fared: undefined where it did as it must. */
async function fault(each: Case): Promise<string | undefined> {
  const path = join(directory, each.file);
  try {
    const size = each.file.endsWith(".onnx") ? {} : { size: each.size };
    const model = await loadWith(nodeRuntime(), path, size);
    try {
      if (each.kind === "refuses") return `loads, though nothing is known of "${each.subject}"`;
      const { data } = await model.logits({ data: Float32Array.from(each.input), shape: each.shape });
      const scale = Math.max(1, ...each.logits.map(Math.abs));
      const differences = each.logits.map((logit, i) => Math.abs(logit - (data[i] ?? Number.NaN)) / scale);
      const worst = Math.max(...differences);
      const { graph, guesses } = model.model;
      if (!(worst <= TOLERANCE) || data.length !== each.logits.length) return `differs by ${worst}`;
      if (each.output && graph.output !== each.output) return `output ${graph.output} instead of ${each.output}`;
      const isAnnounced = each.file.endsWith(".onnx") || guesses.some(({ key }) => key === "stride" || key === "stem");
      return each.ambiguous && !isAnnounced ? "says nothing of its stem or strides" : undefined;
    } finally {
      await model.dispose();
    }
  } catch (error) {
    if (!(error instanceof ModelError)) return `ends in ${error instanceof Error ? error.stack : error}`;
    if (each.kind === "either") return undefined;
    if (each.kind === "runs") return `is refused (${error.code}): ${error.message}`;
    return error.subject?.includes(each.subject!) ? undefined : `is refused for another reason: ${error.message}`;
  }
}

try {
  execFileSync("/usr/bin/python3", [join(root, ".ci/properties.py"), directory, count, seed], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  let [good, refused] = [0, 0];
  for await (const line of createInterface({ input: createReadStream(join(directory, "cases.jsonl")) })) {
    const each = JSON.parse(line) as Case;
    const wrong = await fault(each);
    if (each.kind === "refuses") refused += 1;
    if (wrong === undefined) good += 1;
    else check(`${each.file} ${JSON.stringify(each.what)}`, false, wrong);
  }
  check(
    `random checkpoints as PyTorch computes them, ${refused} of them refused by name`,
    good === Number(count),
    `${good} of ${count}`,
  );
} finally {
  rmSync(directory, { recursive: true, force: true });
}
finish();
