/**
 * One model on disk, once for each engine, from the same weights.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import type { ModelFiles } from "./contest.ts";
import { foldAll, network, randomWeights } from "./network.ts";
import { writeOnnx } from "./onnx.ts";
import { writeTfjs } from "./tfjs.ts";

/**
 * Writes the model into `folder`: for us as trained, for the rivals folded.
 *
 * @param batch what the ONNX model is fixed to
 */
export async function writeModel(folder: string, model: string, batch: number): Promise<ModelFiles> {
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
  await writeFile(files.safetensors, writeSafetensors(tensors));
  const folded = foldAll(graph, weights);
  await writeFile(files.onnx, await writeOnnx(folded.graph, folded.weights, batch));
  const { specs, data } = writeTfjs(folded.weights);
  await writeFile(files.tfjs, JSON.stringify({ specs, path: `${model}.tfjs.bin` }));
  await writeFile(join(folder, `${model}.tfjs.bin`), data);
  return files;
}
