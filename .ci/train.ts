/**
 * Fine-tuning on the real thing: ants and bees by ResNet-50's head, and by its last stage; what comes out in PyTorch, in
 * the classifier and in int8.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, cli, data, finish, hasData, percent } from "./checks.ts";

const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-train-"));
const file = (name: string): string => join(folder, name);

interface Result {
  /** Absent where the head takes none. */
  readonly epochs?: number;
  readonly head?: string;
  readonly leaveOneOut?: number;
  readonly valTop1: number;
  readonly seconds: number;
}

function tuned(out: string, ...options: readonly string[]): Result {
  const start = performance.now();
  const set = join(data, "hymenoptera");
  const text = cli("finetune", set, "--model", "resnet50", "--out", out, "--json", "--quiet", ...options);
  return { ...JSON.parse(text), seconds: (performance.now() - start) / 1000 };
}

if (hasData("ants and bees")) {
  const head = file("head.safetensors");
  const first = tuned(head);
  const seen = `${percent(first.valTop1)} in ${first.seconds.toFixed(0)} s`;
  check("head only: 94 % in under 3 minutes, by ridge regression", first.valTop1 >= 0.94 && first.seconds < 180, seen);
  const isRidge = first.head === "ridge" && first.epochs === undefined;
  check("left out one by one, 96 % are right", isRidge && first.leaveOneOut! >= 0.96, percent(first.leaveOneOut!));
  const means = tuned(file("prototype.safetensors"), "--head", "prototype");
  check("class means: 94.8 %, PyTorch's linear probe", means.valTop1 >= 0.9477, percent(means.valTop1));
  const epochs = tuned(file("logistic.safetensors"), "--head", "logistic");
  check("by epochs too: 94 %", epochs.valTop1 >= 0.94 && epochs.epochs === 40, percent(epochs.valTop1));
  const evaluated = JSON.parse(cli("eval", join(data, "hymenoptera/val"), "--model", head, "--json", "--quiet"));
  check("the classifier sees the same", Math.abs(evaluated.top1 - first.valTop1) < 1e-5, percent(evaluated.top1));
  const torch = execFileSync("/usr/bin/python3", [join(import.meta.dirname, "train.py"), head], { encoding: "utf8" });
  check("PyTorch loads it, every tensor", torch.trim() === "<All keys matched successfully>", torch.trim());
  const int8 = file("int8.safetensors");
  cli("quantize", head, "--calibrate", join(data, "hymenoptera/train"), "--out", int8, "--quiet");
  const small = JSON.parse(cli("eval", join(data, "hymenoptera/val"), "--model", int8, "--json", "--quiet"));
  check("in int8 it loses a point at most", small.top1 >= first.valTop1 - 0.01, percent(small.top1));
  const stage = tuned(file("layer4.safetensors"), "--train", "layer4", "--epochs", "4", "--threads", "2");
  check("layer4 too: 95 %", stage.valTop1 >= 0.95, `${percent(stage.valTop1)} in ${stage.seconds.toFixed(0)} s`);
}
rmSync(folder, { recursive: true });
finish();
