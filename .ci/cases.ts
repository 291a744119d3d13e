/**
 * The files of ../shared/cases, which failed once: each checkpoint and ONNX model gives PyTorch's logits, or is refused by name
 * where its README says so; hostile weights and inputs are refused at once.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type LoadOptions, loadWith } from "../src/classifier.ts";
import { ModelError, OptionError } from "../src/errors.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { check, finish, root } from "./checks.ts";

const cases = join(root, "..", "shared", "cases");
/** Networks with layers that are not run: the tensor that must be named. */
const REFUSED: Readonly<Record<string, RegExp>> = { "bn-before-fc": /^bn_last\./, "cbam-whole": /^(ca|sa)\d*\./ };
/** What the last numbers mean, where it is not classes. */
const OUTPUTS: Readonly<Record<string, string>> = {
  "classes-1": "sigmoid",
  "sigmoid-head": "sigmoid",
  "one-class-sigmoid": "sigmoid",
  moco: "none",
};
const HOSTILE = ["i8-step-huge", "mean-huge", "size-50000", "var-negative", "weight-huge"];
const SOON_MS = 2000;

interface Expected {
  readonly shape: readonly [number, number, number, number];
  readonly input: readonly unknown[];
  readonly logits: readonly unknown[];
}

async function worst(
  path: string,
  expected: Expected,
  options: LoadOptions,
): Promise<{ difference: number; output: string | undefined; keys: string }> {
  const model = await loadWith(nodeRuntime(), path, options);
  try {
    const input = Float32Array.from((expected.input as readonly number[]).flat(9));
    const { data } = await model.logits({ data: input, shape: expected.shape });
    const wanted = (expected.logits as readonly number[]).flat(9);
    const difference = Math.max(...wanted.map((logit, i) => Math.abs(logit - (data[i] ?? Number.NaN))));
    const { graph, guesses } = model.model;
    return { difference, output: graph.output, keys: guesses.map(({ key }) => key).join(" ") };
  } finally {
    await model.dispose();
  }
}

async function one(kind: string, name: string): Promise<void> {
  const folder = join(cases, kind, name);
  const file = readdirSync(folder).find((each) => !each.endsWith(".json"));
  if (file === undefined) return check(name, false, "no file");
  const path = join(folder, file);
  const expected: Expected = JSON.parse(readFileSync(join(folder, "expect.json"), "utf8"));
  const size = kind === "onnx" ? {} : { size: [expected.shape[1], expected.shape[2]] as const };
  const refused = REFUSED[name];
  try {
    const { difference, output, keys } = await worst(path, expected, size);
    const seen = `${difference.toExponential(1)}, ${output}, guesses: ${keys}`;
    // A pool behind a CIFAR stem leaves no trace in a file: what is assumed instead is said.
    const isRight = name === "cifar-stem-pool" ? keys.includes("stem") : difference <= 1e-3;
    check(name, refused === undefined && isRight && output === (OUTPUTS[name] ?? "softmax"), seen);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    check(name, refused?.test(error.subject ?? "") === true, `${error.code} ${error.subject}`);
    if (refused === undefined) return;
    const { keys } = await worst(path, expected, { ...size, arch: "basic-1-1" });
    check(`${name} with --arch`, keys.includes("unused"), `guesses: ${keys}`);
  }
}

if (!existsSync(cases)) {
  process.stdout.write(`left out: ${cases} is not there\n`);
} else {
  for (const kind of ["checkpoints", "onnx"]) {
    for (const name of readdirSync(join(cases, kind))) await one(kind, name);
  }
  for (const name of HOSTILE) {
    const start = performance.now();
    const options = name === "size-50000" ? { size: 50_000 } : {};
    try {
      await (await loadWith(nodeRuntime(), join(cases, "hostile", `${name}.safetensors`), options)).dispose();
      check(name, false, "loads");
    } catch (error) {
      const ms = performance.now() - start;
      const isTyped = error instanceof ModelError || error instanceof OptionError;
      check(name, isTyped && ms < SOON_MS, `${isTyped ? error.code : error} after ${ms.toFixed(0)} ms`);
    }
  }
}
finish();
