/**
 * One model on disk, once for each engine, from the same weights.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { load, quantize } from "../../src/runtimes/node.ts";
import type { ModelFiles, Setting } from "./contest.ts";
import { readInt8 } from "./int8-model.ts";
import { foldAll, imagesOf, network, randomPixels, randomWeights } from "./network.ts";
import { writeOnnx } from "./onnx.ts";
import { writeQdq } from "./qdq.ts";
import { writeTfjs } from "./tfjs.ts";
import { writeTflite, writeTfliteInt8 } from "./tflite.ts";

/** Enough for random weights and random images, whose ranges are all alike. */
const CALIBRATION_IMAGES = 4;

/** Writes a setting's model into `folder`: for us as trained, for the rivals folded, and fixed to the setting's batch. */
export async function writeModel(folder: string, setting: Setting): Promise<ModelFiles> {
  const { model, dtype, batch } = setting;
  const graph = network(model);
  const weights = randomWeights(graph);
  const files: ModelFiles = {
    safetensors: join(folder, `${model}.safetensors`),
    onnx: join(folder, `${model}.onnx`),
    tfjs: join(folder, `${model}.tfjs.json`),
    tflite: join(folder, `${model}.tflite`),
  };
  const tensors = [...weights].map(([name, { shape, data }]) => ({
    name,
    dtype: "F32" as const,
    shape,
    bytes: new Uint8Array(data.buffer),
  }));
  const trained = writeSafetensors(tensors);
  if (dtype === "int8") {
    const { bytes } = await quantize(trained, randomPixels(graph, CALIBRATION_IMAGES), { arch: model });
    await writeFile(files.safetensors, bytes);
    const int8 = await readInt8(bytes);
    await writeFile(files.onnx, await writeQdq(int8, batch));
    await writeFile(files.tflite, writeTfliteInt8(int8, batch, await largestLogit(bytes, setting)));
    return files;
  }
  await writeFile(files.safetensors, trained);
  const folded = foldAll(graph, weights);
  await writeFile(files.onnx, await writeOnnx(folded.graph, folded.weights, batch));
  await writeFile(files.tflite, writeTflite(folded.graph, folded.weights, batch));
  const { specs, data } = writeTfjs(folded.weights);
  await writeFile(files.tfjs, JSON.stringify({ specs, path: `${model}.tfjs.bin` }));
  await writeFile(join(folder, `${model}.tfjs.bin`), data);
  return files;
}

/** The largest magnitude among the logits of a setting's images, by our int8 model. */
async function largestLogit(model: Uint8Array, setting: Setting): Promise<number> {
  await using loaded = await load(model, { threads: 1 });
  const { data, shape } = imagesOf(setting);
  const logits = await loaded.logits({ data, shape: shape as [number, number, number, number] });
  return logits.data.reduce((largest, logit) => Math.max(largest, Math.abs(logit)), 0);
}
