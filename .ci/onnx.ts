/**
 * The ONNX files that are written here, in onnxruntime: of every family of networks the logits of this runtime, and on photos the
 * classes of ResNet-50 in f32 and in int8.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ResNetSpec, resnetSpec } from "../src/models/resnet.ts";
import { convert, load, quantize } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "../test/golden/checkpoint.ts";
import { check, data, finish, hasData } from "./checks.ts";

interface Session {
  run(feeds: Readonly<Record<string, unknown>>): Promise<{ readonly logits: { readonly data: Float32Array } }>;
}
interface OnnxRuntime {
  readonly InferenceSession: { create(path: string): Promise<Session> };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => unknown;
}
const ort: OnnxRuntime = createRequire(join(import.meta.dirname, "../test/onnxruntime/package.json"))(
  "onnxruntime-node",
);

const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-onnx-"));
const path = join(folder, "model.onnx");

/** A session of the model, written as ONNX. */
async function sessionOf(
  source: string | Uint8Array<ArrayBuffer>,
  options: Parameters<typeof convert>[1] = {},
): Promise<Session> {
  const pieces: Uint8Array[] = [];
  for await (const piece of convert(source, { ...options, format: "onnx" })) pieces.push(piece);
  writeFileSync(path, Buffer.concat(pieces));
  return ort.InferenceSession.create(path);
}

/** What onnxruntime makes of an image `[h, w, c]`. */
async function logitsIn(
  session: Session,
  image: Float32Array,
  [h, w, c]: readonly [number, number, number],
): Promise<Float32Array> {
  const planes = new Float32Array(image.length);
  for (let pixel = 0; pixel < h * w; ++pixel) {
    for (let i = 0; i < c; ++i) planes[i * h * w + pixel] = image[pixel * c + i]!;
  }
  return (await session.run({ input: new ort.Tensor("float32", planes, [1, c, h, w]) })).logits.data;
}

/** The largest difference, in parts of the largest logit. */
function difference(a: Float32Array, b: Float32Array): number {
  const largest = b.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
  return a.reduce((most, each, i) => Math.max(most, Math.abs(each - b[i]!)), 0) / largest;
}

const best = (logits: Float32Array): number => logits.indexOf(Math.max(...logits));

const NETWORKS: readonly (readonly [string, Partial<ResNetSpec>, number])[] = [
  ["resnet20", {}, 32],
  ["resnet20", { shortcut: "B" }, 32],
  ["plain20", {}, 32],
  ["resnet18", {}, 224],
  ["resnet50", { stride: "1x1" }, 97],
  ["resnet26d", {}, 75],
  ["seresnet18", {}, 64],
  ["resnetv2_18", {}, 64],
  ["resnext50_32x4d", { depths: [1, 1, 1, 1] }, 64],
];
for (const [name, changes, side] of NETWORKS) {
  const source = goldenCheckpoint({ ...resnetSpec(name), ...changes }) as Uint8Array<ArrayBuffer>;
  await using model = await load(source, { size: side });
  const shape = [1, side, side, 3] as const;
  const image = Float32Array.from({ length: side * side * 3 }, (_, i) => Math.sin(i * 0.7) + Math.cos(i * 0.013));
  const here = (await model.logits({ data: image, shape })).data;
  const there = await logitsIn(await sessionOf(source, { size: side }), image, [side, side, 3]);
  const far = difference(there, here);
  check(`${name} ${JSON.stringify(changes)}, ${side} pixels: the logits within 1e-4`, far < 1e-4, far.toExponential(1));
}

if (hasData("photos in onnxruntime")) {
  const photos = join(data, "imagenet-val-300");
  const files = readdirSync(photos).filter((name) => name.endsWith(".JPEG"));
  const { bytes: int8 } = await quantize(
    "resnet50",
    files.slice(-16).map((name) => join(photos, name)),
  );
  for (const [name, source, dtype, count, least] of [
    ["f32", "resnet50", "f32", 20, 1],
    ["f16", "resnet50", "f16", 20, 1],
    ["int8", int8, "f32", 100, 0.98],
  ] as const) {
    await using model = await load(source);
    const session = await sessionOf(source, { dtype });
    let [same, far] = [0, 0];
    for (const file of files.slice(0, count)) {
      const image = await model.preprocess(join(photos, file));
      const here = (await model.logits(image)).data;
      const there = await logitsIn(session, image.data, [224, 224, 3]);
      if (best(here) === best(there)) same += 1;
      far = Math.max(far, difference(there, here));
    }
    const seen = `${same} of ${count}; logits differ by ${far.toExponential(1)} at most`;
    check(`ResNet-50 in ${name}: the same class of photos`, same >= least * count, seen);
  }
}
rmSync(folder, { recursive: true });
finish();
