/**
 * One model on disk, once for each engine, from the same weights.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { quantize } from "../../src/runtimes/node.ts";
import type { ModelFiles, Setting } from "./contest.ts";
import { foldAll, network, randomPixels, randomWeights } from "./network.ts";
import { writeOnnx } from "./onnx.ts";
import { writeQdq } from "./qdq.ts";
import { writeTfjs } from "./tfjs.ts";

/** Enough for random weights and random images, whose ranges are all alike. */
const CALIBRATION_IMAGES = 4;

/** Writes a setting's model into `folder`: for us as trained, for the rivals folded, and fixed to the setting's batch. */
export async function writeModel(folder: string, { model, dtype, batch }: Setting): Promise<ModelFiles> {
  const graph = network(model);
  const weights = randomWeights(graph);
  const files: ModelFiles = {
    safetensors: join(folder, `${model}.safetensors`),
    onnx: join(folder, `${model}.onnx`),
    tfjs: join(folder, `${model}.tfjs.json`),
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
    await writeFile(files.onnx, await writeQdq(bytes, batch));
    return files;
  }
  await writeFile(files.safetensors, trained);
  const folded = foldAll(graph, weights);
  await writeFile(files.onnx, await writeOnnx(folded.graph, folded.weights, batch));
  const { specs, data } = writeTfjs(folded.weights);
  await writeFile(files.tfjs, JSON.stringify({ specs, path: `${model}.tfjs.bin` }));
  await writeFile(join(folder, `${model}.tfjs.bin`), data);
  return files;
}
