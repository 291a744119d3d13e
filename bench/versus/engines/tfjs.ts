/**
 * TensorFlow.js on its wasm backend (XNNPACK), by its own fused operations: what its graph optimiser makes of such a
 * network, without the interpreter around it. A tensor goes when its last reader has run, as in `GraphModel`.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setThreadsCount } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { fold } from "../../../src/fold.ts";
import { network } from "../network.ts";
import { type Open, Unavailable } from "./engine.ts";
import { forward } from "./tfjs-forward.ts";

export const open: Open = async (files, { model, dtype, threads }, images) => {
  if (dtype === "int8") throw new Unavailable("TensorFlow.js: expected int8 kernels, got none: it computes in f32");
  tf.enableProdMode();
  setThreadsCount(threads);
  await tf.setBackend("wasm");
  if (threads > 1 && !(await tf.env().getAsync("WASM_HAS_MULTITHREAD_SUPPORT"))) {
    throw new Unavailable(
      "TensorFlow.js: expected threads, got one: its wasm backend has none in Node (tfjs issue 3830)",
    );
  }
  const { specs, path } = JSON.parse(await readFile(files.tfjs, "utf8"));
  const bytes = await readFile(join(dirname(files.tfjs), path));
  const weights = tf.io.decodeWeights(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength), specs);
  const graph = fold(network(model));
  return {
    async run() {
      const logits = tf.tidy(() => forward(graph, weights, tf.tensor4d(images.data, images.shape)));
      const data = logits.dataSync();
      logits.dispose();
      return data;
    },
    close: async () => tf.dispose(weights),
  };
};
